"""The image GPT: its codes, both directions from one batch, its checkpoint on two tabs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from pipelines.errors import NotFinite
from pipelines.events import with_result
from pipelines.hub.selection import TRAINING_LOG
from pipelines.image_captioning import pipeline as describe
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.metrics.retrieval import recall
from pipelines.model_comparison.pipeline import CompareRequest
from pipelines.model_comparison.pipeline import generate as compare
from pipelines.recipes import results, training
from pipelines.recipes.diffusion.checkpoint import paint as pictures_of
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.data import World, as_images, scene_words, world_named
from pipelines.recipes.image_gpt import codes, data, train
from pipelines.recipes.image_gpt.model import (
    CELLS,
    ImageGPTPipeline,
    PictureGPT,
    PictureReader,
    PictureTokenizer,
    TokenSampler,
    build,
    prompt_rows,
)
from pipelines.recipes.vae.train import scenes_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.replay import replay
from pipelines.text_to_image import pipeline as paint
from pipelines.text_to_image.batch import paint_batch, takes_batches
from pipelines.text_to_image.pipeline import PaintRequest, Preview
from tests.recipes.killing import killed_in_step
from tests.running import finished, loaded


@pytest.fixture(scope="module")
def world() -> World:
    return world_named("twelve", smoke=True)


@pytest.fixture(scope="module")
def words(world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(scene_words(world))


@pytest.fixture(scope="module")
def pictures(world: World) -> PictureTokenizer:
    torch.manual_seed(0)
    tokenizer: PictureTokenizer = PictureTokenizer(64, (8, 8, 16, 16), (1, 1, 1))
    tokenizer.fit(scenes_of(world, 32, seed=7), torch.Generator().manual_seed(0))
    return tokenizer


STEPS = 160


class Overfitted(NamedTuple):
    pipeline: ImageGPTPipeline
    batch: data.Batch
    captions: list[str]
    first: dict[str, float]
    last: dict[str, float]


@pytest.fixture(scope="module")
def overfitted(
    world: World, words: PreTrainedTokenizerFast, pictures: PictureTokenizer
) -> Overfitted:
    torch.manual_seed(0)
    batch = data.draw_batch(world, words, pictures, 3, np.random.default_rng(0))
    gpt = build(words, codes=64, width=64, layers=2)
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=3e-3, betas=training.BETAS)
    history = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate_at(step / STEPS, 3e-3)
        parts = train.losses(gpt, batch)
        history.append({name: value.item() for name, value in parts.items()})
        train.total(parts).backward()
        optimizer.step()
        optimizer.zero_grad()
    pipeline = ImageGPTPipeline(words, gpt.train(False), pictures, TokenSampler(top_p=0.5))
    pipeline.set_progress_bar_config(disable=True)
    captions = words.batch_decode(batch.words, skip_special_tokens=True)
    return Overfitted(pipeline, batch, captions, history[0], history[-1])


def test_one_model_overfits_one_batch_both_ways(overfitted: Overfitted) -> None:
    pipeline, batch, captions, first, last = overfitted
    assert all(last[name] < 0.1 * first[name] for name in ("painted", "alone", "words"))
    assert train.captions_of(pipeline.gpt, pipeline.tokenizer, batch.codes) == captions
    painted = as_images([np.asarray(picture) for picture in pictures_of(pipeline, captions)])
    wanted = pipeline.picture_tokenizer(batch.codes).clamp(-1, 1)
    is_right = (painted - wanted).abs().amax(dim=1) < 0.05
    assert is_right.float().mean() > 0.9


def test_its_captions_and_pictures_find_each_other_in_shared_space(overfitted: Overfitted) -> None:
    gpt, batch = overfitted.pipeline.gpt, overfitted.batch
    texts = gpt.shared(batch.prompts).detach().numpy()
    shown = gpt.shared(gpt.picture_rows(batch.codes)).detach().numpy()
    assert texts.shape == shown.shape == (3, gpt.config.shared_width)
    is_right = batch.is_same.numpy()
    assert overfitted.last["shared"] < 0.6 * overfitted.first["shared"]
    assert recall(shown, texts, is_right, "x@00000000")[1].value >= 2 / 3
    assert recall(texts, shown, is_right.T, "x@00000000")[1].value >= 2 / 3


def test_guidance_moves_away_from_what_stands_behind_the_negative_prompt(
    overfitted: Overfitted,
) -> None:
    parts, first = overfitted.pipeline.components, overfitted.captions[:1]
    pipeline = ImageGPTPipeline(**(parts | {"scheduler": TokenSampler(top_p=0.999)}))
    pipeline.set_progress_bar_config(disable=True)

    def painted(scale: float, **options: Any) -> bytes:
        generator = [torch.Generator().manual_seed(3)]
        images = pipeline([""], guidance_scale=scale, generator=generator, **options).images
        return bytes(images[0].tobytes())

    plain = painted(1.0)
    assert painted(0.0) == plain
    assert painted(4.0, negative_prompt=[""]) == plain, "there is nothing between them"
    assert painted(4.0, negative_prompt=first) != plain


def test_a_word_and_a_code_have_the_same_position_in_both_orders(
    words: PreTrainedTokenizerFast, pictures: PictureTokenizer, world: World
) -> None:
    batch = data.draw_batch(world, words, pictures, 6, np.random.default_rng(2))
    gpt = build(words, codes=64, width=32, layers=1)
    rows = data.rows_of(gpt, batch)
    assert len({part.shape for part in (rows.ids, rows.mask, rows.positions)}) == 1
    for painted, described in zip(range(6), range(6, 12), strict=True):
        places = [
            sorted(
                (int(position), int(token))
                for token, position, counts in zip(*each, strict=True)
                if counts and int(token) not in (gpt.config.bos_token_id, gpt.config.eos_token_id)
            )
            for each in (
                (rows.ids[row], rows.positions[row], rows.mask[row]) for row in (painted, described)
            )
        ]
        places[1].remove((CELLS + 2, gpt.caption_token))
        assert places[0] == places[1]


def test_padding_changes_nothing(words: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    gpt = build(words, codes=64, width=32, layers=2).train(False)
    short, long = "a dog face", "a small dog face to the left of a big rose on a red background"
    together = gpt.shared(prompt_rows(words, [short, long]))
    alone = gpt.shared(prompt_rows(words, [short]))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-4)


def test_backgrounds_have_codes_of_their_own_and_training_begins_at_the_patches_means(
    world: World, pictures: PictureTokenizer
) -> None:
    scenes = scenes_of(world, 32, seed=7)[:16]
    back = codes.reconstructed(pictures, scenes)
    assert (back - scenes).abs().mean() < 0.15
    corners = (back - scenes)[:, :, :8, :8].abs().mean(dim=(1, 2, 3))
    assert corners.max() < 0.05
    assert pictures.encode(scenes[:, :, :64, :64]).shape == (16, 64)
    assert pictures.colours().shape == (64, 3)
    few = scenes[:1].clone().fill_(0.5)
    with pytest.raises(ValueError, match="1 different patches are fewer than 64 codes"):
        PictureTokenizer(64, (8, 8, 16, 16), (1, 1, 1)).fit(few, torch.Generator())


def test_the_sampler_draws_from_the_likeliest_and_shows_what_is_painted() -> None:
    sampler = TokenSampler(rows=2, top_p=0.7)
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    drawn = []
    for seed in range(200):
        generator = [torch.Generator().manual_seed(seed)]
        tokens, estimate = sampler.step(logits, 0, torch.zeros(1, 1, dtype=torch.long), generator)
        drawn.append(int(tokens[0, 1]))
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / 200 == pytest.approx(2 / 3, abs=0.1)
    assert estimate.shape == (1, 3, 2, 2)
    assert estimate.sum() == 2
    assert estimate[0, drawn[-1], 0, 1] == 1
    other = torch.tensor([[0.9, 0.05, 0.05]]).log()
    tokens = torch.zeros(1, 0, dtype=torch.long)
    guided = [
        int(sampler.step(logits, 0, tokens, [torch.Generator().manual_seed(seed)], other, 4.0)[0])
        for seed in range(50)
    ]
    assert guided.count(1) >= 48, "away from what the other makes likely, among the likely"
    with pytest.raises(NotFinite):
        sampler.step(logits * torch.nan, 0, torch.zeros(1, 0, dtype=torch.long), generator)


def test_the_standard_one_has_under_twelve_megabytes_and_no_large_file(tmp_path: Path) -> None:
    tokenizer = build_tokenizer({f"word{number}" for number in range(691)})
    pipeline = ImageGPTPipeline(tokenizer, build(tokenizer), PictureTokenizer(), TokenSampler())
    results.save(pipeline, tmp_path)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(sizes) < 12_000_000
    assert max(sizes) < 9_000_000


def smoke(folder: Path, name: str, *options: str) -> Path:
    folders = ["--run-dir", str(folder / f"run-{name}"), "--output", str(folder / "models" / name)]
    train.main(["--smoke", "--world", "twelve", *folders, *options])
    return folder / "models" / name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smoke(tmp_path_factory.mktemp("smoke"), "both-ways")


@pytest.fixture
def studio(checkpoint: Path) -> Studio:
    return Studio(Settings(models_dir=checkpoint.parent, hub_enabled=False))


def test_a_smoke_run_leaves_samples_log_and_card(checkpoint: Path) -> None:
    assert Image.open(checkpoint.parents[1] / "run-both-ways/samples.png").width > 400
    assert (checkpoint / TRAINING_LOG).is_file()
    assert "recall" in (checkpoint / "README.md").read_text("utf-8")


def test_its_checkpoint_paints_on_the_page_and_a_receipt_repeats_it(studio: Studio) -> None:
    request = PaintRequest("both-ways", "a dog face on a red background", seed=5)
    *events, result = with_result(paint.generate(studio, request))
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == list(range(1, 17))
    assert all(len(preview.pictures) == 1 for preview in previews)
    assert result.pictures[0].size == (128, 128)
    assert result.notes == []
    assert result.own_values.startswith("16 steps: one for each row")
    replayed = finished(replay, studio, result.receipt)
    assert replayed.is_equal, replayed.lines
    other = finished(paint.generate, studio, replace(request, seed=6))
    assert other.pictures[0].tobytes() != result.pictures[0].tobytes()
    with loaded(studio) as painter:
        assert takes_batches(painter)
        requests = [replace(request, seed=seed, scheduler="Model's own") for seed in (5, 6)]
        together = paint_batch(painter, requests, lambda: None, ())
    for picture, alone in zip(together, (result, other), strict=True):
        offset = np.asarray(picture).astype(int) - np.asarray(alone.pictures[0])
        assert np.abs(offset).max() <= 1


def test_other_numbers_of_steps_are_not_read_and_the_page_says_so(studio: Studio) -> None:
    request = PaintRequest("both-ways", "a dog face", steps=3, seed=0)
    result = finished(paint.generate, studio, request)
    (note,) = result.notes
    assert note == "This model paints in 16 steps; the number of steps is not read."
    assert result.receipt["request"]["steps"] == 16


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_the_same_checkpoint_describes_on_the_page(
    studio: Studio, world: World, method: str
) -> None:
    scene = data.held_out_scenes(world, 1, seed=0)
    picture = Image.fromarray(scene.pictures[0])
    request = CaptionRequest("both-ways", picture, method=method, count=3, max_new_tokens=9, seed=1)
    result = finished(describe.generate, studio, request)
    assert 1 <= len(result.captions) <= 3
    assert all(0 < caption.probability <= 1 for caption in result.captions)
    again = finished(describe.generate, studio, request)
    assert again.captions == result.captions
    with loaded(studio) as captioner:
        assert isinstance(captioner.model, PictureGPT)
        assert isinstance(captioner.processor, PictureReader)


def test_a_run_that_is_killed_and_resumed_ends_the_same(checkpoint: Path, tmp_path: Path) -> None:
    killed_in_step(2, lambda: smoke(tmp_path, "again"))
    again = smoke(tmp_path, "again", "--resume")
    for weights in ("gpt/model", "picture_tokenizer/diffusion_pytorch_model"):
        first, second = (each / f"{weights}.safetensors" for each in (checkpoint, again))
        assert first.read_bytes() == second.read_bytes()


def test_a_run_begins_with_the_weights_of_a_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_training(*arguments: object) -> None:
        pytest.fail("the tokenizer is trained already")

    monkeypatch.setattr(train, "trained_tokenizer", no_training)
    seen: list[torch.Tensor] = []
    losses: Callable[..., dict[str, torch.Tensor]] = train.losses

    def noted(gpt: PictureGPT, batch: data.Batch) -> dict[str, torch.Tensor]:
        seen.append(gpt.to_shared.weight.detach().clone())
        return losses(gpt, batch)

    monkeypatch.setattr(train, "losses", noted)
    smoke(tmp_path, "further", "--init-from", str(checkpoint))
    begun = PictureGPT.from_pretrained(checkpoint / "gpt", dtype=torch.float32)
    assert torch.equal(seen[0], begun.to_shared.weight)


def test_one_page_paints_with_it_and_describes_with_it(studio: Studio) -> None:
    """Both were held in memory under one name: Describe got the pipeline that paints."""
    painting = PaintRequest("both-ways", "a dog face", seed=0)
    picture = finished(paint.generate, studio, painting).pictures[0]
    captioning = CaptionRequest("both-ways", picture, max_new_tokens=4, seed=1)
    assert finished(describe.generate, studio, captioning).captions
    assert finished(paint.generate, studio, painting).pictures[0].tobytes() == picture.tobytes()
    names = {each.key.partition("@")[0] for each in studio.residency.residents()}
    assert names == {"both-ways", "both-ways (captioner)"}
    compared = CompareRequest("describe", captioning, replace(captioning, method="sampling"))
    *_, result = with_result(compare(studio, compared))
    assert result.left.measures.model_bytes > 0
    assert result.left.measures.was_in_memory
