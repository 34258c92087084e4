"""The flow transformer: its flow and its blocks, its training, and the page that paints with it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.recipes import command_line
from pipelines.recipes.diffusion.model import build_text_encoder, build_tokenizer
from pipelines.recipes.flow_transformer import train
from pipelines.recipes.flow_transformer.model import (
    SHIFT,
    FlowPainter,
    FlowTransformer,
    FlowTransformerPipeline,
    positions,
    spread_times,
)
from pipelines.recipes.vae.model import build
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, Preview, generate
from pipelines.text_to_image.schedulers import OWN_SCHEDULER
from tests.recipes.killing import killed_in_step
from tests.running import finished

SMALL: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2, "hidden": 64}
OWN = PaintRequest("flow", "a dog and a cat", scheduler=OWN_SCHEDULER, seed=3)


def painter_of(words: list[str]) -> tuple[FlowPainter, torch.Tensor, torch.Tensor]:
    """A small one whose blocks are open, with ids and mask of one caption for each word."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(words)
    encoder = build_text_encoder(len(tokenizer), 32, 1)
    painter = FlowPainter(encoder, FlowTransformer(8, 32, **SMALL))
    return painter, *train.tokenize(tokenizer, words, torch.device("cpu"))


def opened(transformer: FlowTransformer) -> FlowTransformer:
    """With weights where training begins at zero."""
    for layer in (transformer.parts, transformer.last_parts, transformer.cells_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    transformer.eval()
    return transformer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a ``--smoke`` run leaves."""
    folder = tmp_path_factory.mktemp("flow")
    build((8, 8, 8, 8)).save_pretrained(folder / "vae")
    run(folder, "flow")
    return folder


def run(folder: Path, name: str, *more: str) -> None:
    folders = ["--run-dir", str(folder / f"run-{name}"), "--output", str(folder / name)]
    vae = ["--vae", str(folder / "vae")]
    train.main(["--smoke", "--world", "twelve", *vae, *folders, *more])


@pytest.fixture
def studio(trained: Path, tmp_path: Path) -> Studio:
    return Studio(Settings(models_dir=trained, data_dir=tmp_path, hub_enabled=False))


def test_it_overfits_one_batch_and_paints_it() -> None:
    """Two captions with latents of their own: each is what is painted from noise."""
    words = ["red", "blue"]
    painter, ids, mask = painter_of(words)
    latents = torch.randn(2, 8, 4, 4)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    losses = []
    for step in range(200):
        torch.manual_seed(step)
        each = torch.arange(2).repeat(8)
        loss = painter.flow_errors(ids[each], mask[each], latents[each], spread_times(16)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.3 * sum(losses[:20])
    pipeline = train.assemble(painter.eval(), build((8, 8, 8, 8)), build_tokenizer(words))
    painted = pipeline(
        words, 32, 32, 10, guidance_scale=1.0, generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images  # fmt: skip
    for found, wanted in zip(painted, latents, strict=True):
        assert torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.9


def test_before_training_every_block_is_the_identity() -> None:
    transformer = FlowTransformer(8, 32, **SMALL)
    latents, words, mask = torch.randn(2, 8, 8, 8), torch.randn(2, 5, 32), torch.ones(2, 5).long()
    velocity = transformer(latents, torch.tensor([10.0, 900.0]), words, mask)
    assert velocity.shape == latents.shape
    assert not velocity.any()
    x = torch.randn(2, 4, 4, 32)
    assert torch.equal(
        transformer.blocks[0](x, torch.zeros(2, 6, 32), words, torch.zeros(2, 1, 1, 21)), x
    )


def test_words_time_and_order_of_words_count_and_padding_does_not() -> None:
    transformer = opened(FlowTransformer(8, 32, **SMALL))
    torch.manual_seed(1)
    latents, words = torch.randn(1, 8, 8, 8), torch.randn(1, 5, 32)
    mask, time = torch.ones(1, 5).long(), torch.tensor([500.0])
    plain = transformer(latents, time, words, mask)
    assert not torch.allclose(transformer(latents, time, words.flip(1), mask), plain, atol=1e-3)
    assert not torch.allclose(transformer(latents, time / 2, words, mask), plain, atol=1e-3)
    padded = torch.cat([words, torch.randn(1, 3, 32)], dim=1)
    with_padding = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]])
    assert torch.allclose(transformer(latents, time, padded, with_padding), plain, atol=1e-5)


def test_a_window_stands_where_the_middle_of_a_picture_does() -> None:
    """A window of 8 x 8 cells in training is placed as these cells of 16 x 16 in painting."""
    assert torch.allclose(positions(4, 4, 32), positions(8, 8, 32)[2:6, 2:6])
    assert positions(8, 6, 32).shape == (8, 6, 32)


def test_times_are_logit_normal_around_that_of_the_shift() -> None:
    times = spread_times(1000, torch.Generator().manual_seed(0))
    assert times.min() > 0
    assert times.max() < 1
    logits = times.logit()
    assert logits.mean().item() == pytest.approx(math.log(SHIFT), abs=0.02)
    assert logits.std().item() == pytest.approx(1, abs=0.02)


def test_the_right_velocity_leads_from_noise_to_the_latents(trained: Path) -> None:
    """With the straight flow itself in the transformer's place, any number of steps arrives."""
    pipeline = FlowTransformerPipeline.from_pretrained(trained / "flow", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    clean = torch.randn(1, 8, 16, 16)

    def velocity(noisy: torch.Tensor, timestep: torch.Tensor, *words: Any) -> torch.Tensor:
        share = timestep[:, None, None, None] / 1000
        return (noisy - clean) / share  # noise less clean, of (1 - share) clean + share noise

    pipeline.transformer.forward = velocity
    for steps in (1, 7):
        painted = pipeline("a dog", num_inference_steps=steps, output_type="latent").images
        assert torch.allclose(painted, clean, atol=1e-4)


def test_a_smoke_run_saves_half_precision_and_the_scores_of_the_saved_files(trained: Path) -> None:
    files = list((trained / "flow").rglob("*.safetensors"))
    assert all(t.dtype == torch.float16 for file in files for t in load_file(file).values())
    pipeline = FlowTransformerPipeline.from_pretrained(trained / "flow", dtype=torch.float32)
    assert type(pipeline.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    assert pipeline.scheduler.config.shift == SHIFT
    log = (trained / "flow/training_log.jsonl").read_text().splitlines()
    assert {"held_out_loss", "colour_right"} <= json.loads(log[-1]).keys()
    assert "rectified flow" in (trained / "flow/README.md").read_text()
    assert (trained / "run-flow/samples.png").is_file()


def test_the_standard_size_has_at_most_twelve_megabytes_in_half_precision() -> None:
    parts = FlowTransformer(8), build_text_encoder(700)
    assert 2 * sum(p.numel() for part in parts for p in part.parameters()) <= 12e6


def test_a_resumed_run_ends_in_the_same_scores(trained: Path) -> None:
    killed_in_step(2, lambda: run(trained, "resumed"))
    run(trained, "resumed", "--resume")
    whole, resumed = (
        load_file(trained / name / "transformer/diffusion_pytorch_model.safetensors")
        for name in ("flow", "resumed")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_begins_with_the_weights_that_it_is_given(trained: Path) -> None:
    given = FlowPainter.from_pretrained(trained / "flow", dtype=torch.float32)
    tokenizer = FlowTransformerPipeline.from_pretrained(trained / "flow").tokenizer
    options = command_line.Options(
        trained, trained, 3, None, True, False, 0, 4, 1e-3, init_from=trained / "flow"
    )
    encoder = build_text_encoder(len(tokenizer), 192, 3)
    painter = train.starting_painter(options, tokenizer, encoder, 8)
    for mine, theirs in zip(painter.parameters(), given.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(SystemExit, match="another vocabulary"):
        train.starting_painter(options, build_tokenizer(["red"]), encoder, 8)


def test_the_page_paints_with_it_as_with_any_model_and_repeats_it(studio: Studio) -> None:
    *events, result = with_result(generate(studio, OWN))
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == list(range(1, 21))
    assert all(preview.pictures for preview in previews)
    assert result.pictures[0].size == (128, 128)
    assert result.receipt["request"]["guidance_scale"] == 4.0
    assert pixels(finished(generate, studio, PaintRequest(**result.receipt["request"]))) == pixels(
        result
    )


def test_steps_guidance_negative_prompt_seed_and_size_count(studio: Studio) -> None:
    request = replace(OWN, steps=2)
    plain = paint(studio, request)
    for change in ({"steps": 3}, {"guidance_scale": 1.0}, {"negative_prompt": "a rose"},
                   {"seed": 4}, {"prompt": "a rose"}):  # fmt: skip
        assert pixels(paint(studio, replace(request, **change))) != pixels(plain), change
    assert paint(studio, replace(request, width=96, height=160)).pictures[0].size == (96, 160)
    for change in ({"scheduler": "DDIM"}, {"width": 72, "height": 64}):
        with pytest.raises(InvalidValue):
            paint(studio, replace(request, **change))


def test_a_run_of_it_can_be_stopped_between_steps(studio: Studio) -> None:
    stopped = generate(studio, replace(OWN, steps=100))
    for event in stopped:
        if isinstance(event, Preview) and event.step == 2:
            break
    stopped.close()
    assert studio.residency.residents()[0].users == 0


def test_a_batch_paints_what_single_runs_paint(studio: Studio) -> None:
    """As evaluations do: a generator for each prompt."""
    pipeline = FlowTransformerPipeline.from_pretrained(
        studio.settings.models_dir / "flow", dtype=torch.float32
    )
    prompts = ["a dog", "a cat on a red background"]

    def latents(which: list[int]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(i) for i in which]
        found: torch.Tensor = pipeline(
            [prompts[i] for i in which],
            num_inference_steps=2,
            generator=generators,
            output_type="latent",
        ).images
        return found

    assert torch.allclose(latents([0, 1]), torch.cat([latents([0]), latents([1])]), atol=1e-4)


def paint(studio: Studio, request: PaintRequest) -> PaintResult:
    result: PaintResult = finished(generate, studio, request)
    return result


def pixels(result: PaintResult) -> bytes:
    return result.pictures[0].tobytes()
