"""The recipe of the common space: its loss, its lessons, its checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.repocard import metadata_load
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderModel,
)

from pipelines.errors import InvalidValue
from pipelines.metrics.clip import PREFIX
from pipelines.recipes import command_line, results
from pipelines.recipes.captioner.model import build as build_captioner
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip import train
from pipelines.recipes.clip.data import draw_batch
from pipelines.recipes.clip.model import build, contrastive_loss, encode, features_of
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.data import Scene, World, scene_words, world_named
from pipelines.recipes.emoji_scenes.vocabulary import everyday

NOWHERE = Path("there is no captioner")


@pytest.fixture(scope="module")
def world() -> World:
    return World(everyday()[27:39])


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(scene_words(world))


def tiny(tokenizer: PreTrainedTokenizerFast) -> Any:
    torch.manual_seed(0)
    return build(tokenizer, 32, (1, 1), 32, 1)


def options(*arguments: str) -> command_line.Options:
    parser = command_line.parser("", "clip", "emoji-clip", 4, 1e-3)
    return command_line.options_from(parser.parse_args(arguments))


def test_the_loss_by_hand() -> None:
    vectors = torch.eye(2)
    apart = torch.eye(2, dtype=torch.bool)
    loss = contrastive_loss(vectors * 3, vectors * 0.5, torch.tensor(2.0), apart)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))
    blind = contrastive_loss(torch.ones(2, 3), torch.ones(2, 3), torch.tensor(2.0), apart)
    assert blind.item() == pytest.approx(math.log(2))


def test_the_scale_ends_at_100() -> None:
    turned = torch.eye(2).flip(0)
    apart = torch.eye(2, dtype=torch.bool)
    loss = contrastive_loss(torch.eye(2), turned, torch.tensor(1e6), apart)
    assert loss.item() == pytest.approx(100)


def test_equal_captions_are_no_mistakes() -> None:
    vectors = torch.eye(3)[[0, 0, 1]]
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    loss = contrastive_loss(vectors, vectors, torch.tensor(100.0), same)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    apart = contrastive_loss(vectors, vectors, torch.tensor(100.0), torch.eye(3, dtype=torch.bool))
    assert apart.item() == pytest.approx(2 / 3 * math.log(2), rel=1e-5)


def test_a_batch_marks_the_pairs_that_say_the_same(world: World) -> None:
    batch = draw_batch(World(world.emoji[:1]), 40, np.random.default_rng(0))
    same = batch.is_same.numpy()
    assert same.diagonal().all()
    assert (same == same.T).all()
    equal = np.array([[a == b for b in batch.texts] for a in batch.texts])
    assert equal.sum() > 40
    assert same[equal].all()
    assert not same.all()


def test_half_of_a_batch_are_siblings_and_held_out_ones_have_none(world: World) -> None:
    drawn: list[Scene] = []
    watched = World(world.emoji)
    watched.draw = lambda scene, boxes: drawn.append(scene) or world.draw(scene, boxes)  # type: ignore[method-assign, func-returns-value]
    draw_batch(watched, 101, np.random.default_rng(1))
    assert len(drawn) == 101
    assert not any(scene.is_held_out() for scene in drawn)
    kinds = [_changes(*pair) for pair in zip(drawn[:50], drawn[51:], strict=True)]
    assert all(len(kind) == 1 for kind in kinds)
    assert set().union(*kinds) == {"colour", "emoji", "size", "order"}
    drawn.clear()
    draw_batch(watched, 9, np.random.default_rng(1), held_out=True)
    assert len(drawn) == 9
    assert all(scene.is_held_out() for scene in drawn)


def _changes(first: Scene, second: Scene) -> set[str]:
    """In what two scenes of as many things differ."""
    assert len(first.items) == len(second.items)
    assert first.place == second.place
    changes = {"colour"} if first.colour != second.colour else set()
    if first.items == second.items[::-1] and first.items != second.items:
        return changes | {"order"}
    for ours, theirs in zip(first.items, second.items, strict=True):
        changes |= {"emoji"} if ours.emoji != theirs.emoji else set()
        changes |= {"size"} if ours.size != theirs.size else set()
    return changes


def test_it_overfits_one_batch(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny(tokenizer)
    batch = draw_batch(world, 4, np.random.default_rng(4), held_out=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.99))
    first = train.loss_of(model, tokenizer, batch).item()
    assert first == pytest.approx(math.log(4), abs=0.6)
    for _ in range(200):  # at first it tells one from all others, and stays there for a while
        loss = train.loss_of(model, tokenizer, batch)
        if loss.item() < 0.1 * first:
            break
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1 * first
    scores = train.held_out_scores(model, tokenizer, batch)
    assert scores["text_at_1"] == scores["picture_at_1"] == 1
    assert set(scores) == {f"{what}_at_{k}" for what in ("text", "picture") for k in (1, 5, 10)}


def test_a_trained_encoder_is_frozen_at_first(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends while it is frozen leaves the captioner's weights; a longer one does not."""
    monkeypatch.setattr(train, "starting_model", lambda *given: (tiny(tokenizer), True))
    monkeypatch.setattr(train, "build_tokenizer", lambda words: tokenizer)
    before = tiny(tokenizer).vision_model.half().state_dict()
    for until, is_unchanged in ((2.0, True), (0.0, False)):
        monkeypatch.setattr(train, "FROZEN_UNTIL", until)
        output = tmp_path / f"until-{until}"
        train.main(["--smoke", "--run-dir", str(tmp_path / "run"), "--output", str(output)])
        saved: Any = AutoModel.from_pretrained(output)
        same = [torch.equal(saved.vision_model.state_dict()[name], before[name]) for name in before]
        assert all(same) == is_unchanged


def test_a_saved_model_loads_by_its_config_alone(
    world: World, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = tiny(tokenizer).eval()
    results.save(model, tmp_path, tokenizer, build_image_processor())
    loaded = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
    batch = draw_batch(world, 3, np.random.default_rng(0))
    words = encode(AutoTokenizer.from_pretrained(tmp_path), batch.texts)
    assert torch.equal(words["input_ids"], encode(tokenizer, batch.texts)["input_ids"])
    pictures = [Image.fromarray(pixels) for pixels in batch.pictures]
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor(pictures, return_tensors="pt").pixel_values
    torch.testing.assert_close(pixels, batch.images())
    logits = loaded(pixel_values=pixels, **words).logits_per_image
    expected = model(pixel_values=pixels, **words).logits_per_image
    torch.testing.assert_close(logits, expected, atol=5e-2, rtol=0)


def test_the_standard_model_is_small(tmp_path: Path) -> None:
    tokenizer = build_tokenizer({f"word{number}" for number in range(691)})
    results.save(build(tokenizer), tmp_path, tokenizer, build_image_processor())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_000_000


def test_padding_changes_no_text(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny(tokenizer).eval()
    short = encode(tokenizer, ["a small dog"])
    padded = encode(tokenizer, ["a small dog", "a small dog and a small dog on a red background"])
    alone = model.get_text_features(**short).pooler_output[0]
    together = model.get_text_features(**padded).pooler_output[0]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_a_run_begins_with_the_captioners_encoder(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    captioner: VisionEncoderDecoderModel = build_captioner(tokenizer)
    captioner.save_pretrained(tmp_path)
    model, has_learned = train.starting_model(options("--steps", "1"), tokenizer, tmp_path)
    assert has_learned
    theirs = captioner.encoder.state_dict()
    for name, mine in model.vision_model.state_dict().items():
        assert torch.equal(mine, theirs[name])
    assert len(theirs) > len(model.vision_model.state_dict())
    _, has_learned = train.starting_model(options("--steps", "1"), tokenizer, NOWHERE)
    assert not has_learned


def test_a_run_begins_with_the_weights_that_it_is_given(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    saved = results.save(tiny(tokenizer), tmp_path, tokenizer, build_image_processor())
    given = options("--smoke", "--init-from", str(tmp_path))
    begun, has_learned = train.starting_model(given, tokenizer, NOWHERE)
    assert not has_learned
    for mine, theirs in zip(begun.parameters(), saved.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(SystemExit, match="another vocabulary"):
        train.starting_model(given, build_tokenizer(["red"]), NOWHERE)


def test_a_smoke_run_leaves_a_checkpoint_with_its_card_and_resumes(tmp_path: Path) -> None:
    places = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "emoji-clip")]
    train.main(["--smoke", *places])
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    last = lines[-1]
    assert 0 <= last["text_at_1"] <= last["text_at_5"] <= last["text_at_10"] <= 1
    kept = (tmp_path / "emoji-clip/training_log.jsonl").read_text()
    assert [json.loads(line) for line in kept.splitlines()] == lines
    card = (tmp_path / "emoji-clip/README.md").read_text(encoding="utf-8")
    metadata = metadata_load(tmp_path / "emoji-clip/README.md")
    assert metadata is not None
    assert metadata["license"] == "apache-2.0"
    assert metadata["tags"] == ["emoji-scenes"]
    assert f"| recall: picture at 10 | {last['picture_at_10']:.3f} |" in card
    assert "| steps | 3 of 4 pictures |" in card
    assert "On 16 held-out scenes" in card
    saved = AutoModel.from_pretrained(tmp_path / "emoji-clip", dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(tmp_path / "emoji-clip")
    rng = np.random.default_rng(train.HELD_OUT_SEED)
    batch = draw_batch(world_named("everyday", smoke=True), 16, rng, held_out=True)
    again = train.held_out_scores(saved, known, batch)
    assert again == pytest.approx({name: last[name] for name in again}, abs=1e-5)
    train.main(["--smoke", "--resume", *places])
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["step"] == 3


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    """A ``CLIPModel`` of random weights, a tokenizer and an image processor."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer("a photo depicts red blue apple cat".split())
    narrow = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config=narrow
        | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "eos_token_id": 2},
        vision_config=narrow | {"image_size": 128, "patch_size": 64},
        projection_dim=8,
    )
    return CLIPModel(config).eval(), tokenizer, build_image_processor()


def test_features_are_those_of_the_models_own_similarities(parts: tuple[Any, Any, Any]) -> None:
    model, tokenizer, processor = parts
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "white")]
    texts = ["a red apple", "a blue cat"]
    shown, told = features_of(model, tokenizer, processor, pictures, texts)
    assert (shown.shape, told.shape) == ((3, 8), (2, 8))
    words = tokenizer([PREFIX + text for text in texts], padding=True, return_tensors="pt")
    pixels = processor(pictures, return_tensors="pt").pixel_values
    with torch.no_grad():
        logits = model(pixel_values=pixels, **words).logits_per_image / model.logit_scale.exp()
    directions = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (shown, told)]
    np.testing.assert_allclose(directions[0] @ directions[1].T, logits.numpy(), atol=1e-5)


def test_the_prefix_can_be_left_out(parts: tuple[Any, Any, Any]) -> None:
    _, with_prefix = features_of(*parts, texts=["a cat"])
    nothing, without = features_of(*parts, texts=["a cat"], prefix="")
    _, spelt = features_of(*parts, texts=[PREFIX + "a cat"], prefix="")
    assert nothing.shape == (0, 0)
    assert not np.allclose(with_prefix, without)
    np.testing.assert_array_equal(with_prefix, spelt)


def test_a_text_that_does_not_fit_is_refused(parts: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InvalidValue, match=r"a text has 25 tokens with its prefix; .* at most 16"):
        features_of(*parts, texts=["cat " * 20])
