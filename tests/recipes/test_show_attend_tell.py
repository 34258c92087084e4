"""The captioner of CNN, LSTM and attention: its lessons, its checkpoint, where its words look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from pipelines.image_captioning.batch import caption_batch, takes_batches
from pipelines.image_captioning.pipeline import CaptionRequest, checked, generate
from pipelines.recipes import results
from pipelines.recipes.captioner import data, train
from pipelines.recipes.captioner.attention import attention_sheet
from pipelines.recipes.captioner.model import build as build_transformer
from pipelines.recipes.captioner.model import (
    build_image_processor,
    build_tokenizer,
    word_attention,
)
from pipelines.recipes.emoji_scenes.data import World, arrange, world_named
from pipelines.recipes.show_attend_tell.model import ShowAttendTell, build
from pipelines.recipes.show_attend_tell.train import main, uncovered
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from tests.recipes.killing import killed_in_step
from tests.running import finished, loaded


@pytest.fixture(scope="module")
def world() -> World:
    return world_named("twelve")


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerBase:
    return build_tokenizer(data.words_of(world))


def tiny(tokenizer: PreTrainedTokenizerBase) -> ShowAttendTell:
    torch.manual_seed(0)
    return build(tokenizer, (16, 16, 32), 1)


def test_it_overfits_one_batch(world: World, tokenizer: PreTrainedTokenizerBase) -> None:
    lesson = train.Lesson(tiny(tokenizer), len(world.emoji))
    batch = data.draw_batch(world, tokenizer, 4, np.random.default_rng(0))
    optimizer = torch.optim.AdamW(lesson.parameters(), lr=5e-3)
    history = []
    for _ in range(80):
        words, cells = lesson.losses(lesson.read(batch), batch)
        (words + cells).backward()
        torch.nn.utils.clip_grad_norm_(lesson.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        history.append((words.item(), cells.item()))
    assert history[-1][0] < 0.1 * history[0][0]
    assert history[-1][1] < 0.3 * history[0][1]
    told = train.captions_of(lesson.captioner, tokenizer, batch.images)
    assert told == tokenizer.batch_decode(batch.tokens, skip_special_tokens=True)


def test_the_next_word_depends_on_the_picture_and_on_the_words_before_alone(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = tiny(tokenizer).train(False)
    pictures, words = torch.rand(2, 3, 128, 128), torch.randint(4, 60, (1, 6)).repeat(2, 1)
    logits = model(pixel_values=pictures, decoder_input_ids=words).logits
    assert not torch.allclose(logits[0], logits[1])
    changed = words.clone()
    changed[:, 4] = 3
    other = model(pixel_values=pictures, decoder_input_ids=changed).logits
    torch.testing.assert_close(other[:, :4], logits[:, :4])
    assert not torch.allclose(other[:, 4:], logits[:, 4:])


@pytest.mark.parametrize("beams", [1, 4])
def test_the_attention_kept_while_generating_is_that_of_the_finished_caption(
    tokenizer: PreTrainedTokenizerBase, beams: int
) -> None:
    model = tiny(tokenizer).train(False)
    cells = model.get_encoder()(torch.rand(1, 3, 128, 128)).last_hidden_state
    found = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=cells),
        num_beams=beams, do_sample=False, max_length=6, min_length=6,
        output_attentions=True, return_dict_in_generate=True,
    )  # fmt: skip
    maps = word_attention(model, cells, found.sequences[0, 1:])
    rows = [0] * 5 if beams == 1 else found.beam_indices[0].tolist()
    kept = [step[0][row, 0, -1] for step, row in zip(found.cross_attentions, rows, strict=True)]
    torch.testing.assert_close(maps, torch.stack(kept))


@pytest.mark.parametrize("build_one", [tiny, lambda words: build_transformer(words, 32, (1, 1), 1)])
def test_each_word_has_a_map_over_the_cells_that_sums_to_one(
    tokenizer: PreTrainedTokenizerBase, build_one: Any
) -> None:
    model = build_one(tokenizer).train(False)
    cells = model.get_encoder()(torch.rand(1, 3, 128, 128)).last_hidden_state
    words = torch.tensor(tokenizer.encode("a small dog on a red background"))
    maps = word_attention(model, cells, words)
    assert maps.shape == (7, 64)
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(7))
    assert maps.min() >= 0
    last_changed = torch.cat([words[:-1], words[:1]])
    torch.testing.assert_close(word_attention(model, cells, last_changed), maps)
    assert word_attention(model, cells.flip(1), words).sub(maps).abs().max() > 1e-4


def test_the_sheet_has_a_row_for_each_picture(tokenizer: PreTrainedTokenizerBase) -> None:
    sheet = attention_sheet(tiny(tokenizer).train(False), tokenizer, torch.rand(3, 3, 128, 128))
    assert sheet.width == 13 * 136
    assert sheet.height // 3 in range(136, 170)


def test_what_no_word_looks_at_costs_most() -> None:
    even, one = torch.full((1, 4, 4), 0.25), torch.eye(4)[:1].expand(1, 4, 4)
    is_word = torch.ones(1, 4, dtype=torch.bool)
    assert uncovered(even, is_word).item() == 0
    assert uncovered(one, is_word).item() == pytest.approx((3**2 + 3 * 1) / 4)
    padding = torch.tensor([[True, True, False, False]])
    assert uncovered(even, padding).item() == pytest.approx(0.25)


def test_the_standard_one_is_small(tmp_path: Path) -> None:
    words = build_tokenizer({f"word{number}" for number in range(691)})
    results.save(build(words), tmp_path, words, build_image_processor())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6_000_000


def smoke(folder: Path, name: str, *options: str) -> Path:
    folders = ["--run-dir", str(folder / f"run-{name}"), "--output", str(folder / "models" / name)]
    main(["--smoke", "--world", "twelve", *folders, *options])
    return folder / "models" / name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smoke(tmp_path_factory.mktemp("smoke"), "told")


def test_a_smoke_run_leaves_samples_and_attention(checkpoint: Path) -> None:
    run = checkpoint.parents[1] / "run-told"
    assert Image.open(run / "samples.png").width > 400
    assert Image.open(run / "attention.png").width == 13 * 136
    assert {path.name for path in checkpoint.iterdir()} >= {
        "README.md", "config.json", "generation_config.json", "model.safetensors",
        "preprocessor_config.json", "tokenizer.json", "training_log.jsonl", "world.json",
    }  # fmt: skip


def test_its_checkpoint_describes_on_the_page(checkpoint: Path, world: World) -> None:
    settings = Settings(models_dir=checkpoint.parent, hub_enabled=False)
    studio = Studio(settings)
    scene = world.sample(np.random.default_rng(0))
    picture = Image.fromarray(world.draw(scene, arrange(scene, np.random.default_rng(0))))
    for method in ("beams", "sampling"):
        request = CaptionRequest("told", picture, method=method, count=3, max_new_tokens=9, seed=1)
        result = finished(generate, studio, request)
        assert 1 <= len(result.captions) <= 3
        assert all(0 < caption.probability <= 1 for caption in result.captions)
    with loaded(studio) as captioner:
        assert isinstance(captioner.model, ShowAttendTell)
        assert captioner.familiarity is not None
        assert takes_batches(captioner)
        one = checked(CaptionRequest("told", picture, max_new_tokens=9, seed=1), Limits())
        together = caption_batch(captioner, [one, one], lambda: None, ())
    alone = finished(generate, studio, CaptionRequest("told", picture, max_new_tokens=9))
    assert together == [alone.captions[0].text] * 2


def test_a_run_that_is_killed_and_resumed_ends_the_same(checkpoint: Path, tmp_path: Path) -> None:
    killed_in_step(2, lambda: smoke(tmp_path, "again"))
    again = smoke(tmp_path, "again", "--resume")
    first, second = (each / "model.safetensors" for each in (checkpoint, again))
    assert first.read_bytes() == second.read_bytes()
