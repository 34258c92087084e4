"""The conditional GAN: its two sides and their losses, its training, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import CLIPTextModel

from pipelines.errors import InvalidValue
from pipelines.recipes.diffusion.checkpoint import text_parts
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.data import World, world_named
from pipelines.recipes.gan import train
from pipelines.recipes.gan.discriminator import Discriminator, Pair, augmentation, losses, slope
from pipelines.recipes.gan.model import ConditionalGANPipeline, GANGenerator, exactly
from pipelines.recipes.vae.train import scenes_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, generate
from pipelines.text_to_image.schedulers import OWN_SCHEDULER
from tests.recipes.killing import killed_in_step
from tests.running import finished

PAINTER = Path("assets/models/emoji-painter")
OWN = PaintRequest("gan", "a dog and a cat", scheduler=OWN_SCHEDULER, seed=3)


@cache
def scenes() -> torch.Tensor:
    """``(32, 3, 128, 128)`` in [-1, 1]."""
    return scenes_of(world_named("twelve", smoke=True), 32, seed=7)


def small_pair() -> Pair:
    torch.manual_seed(0)
    channels, blocks = (24, 24, 24), (1, 1, 1)
    pair = Pair(GANGenerator(32, 16, 32, channels, blocks), Discriminator(32, channels))
    pair.begin_at_components(scenes())
    return pair


def some_words(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states and mask of that many captions."""
    words = torch.randn(count, 5, 32, generator=torch.Generator().manual_seed(5))
    return words, torch.ones(count, 5).long()


@pytest.fixture(scope="module")
def world() -> World:
    return world_named("twelve", smoke=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a ``--smoke`` run leaves."""
    folder = tmp_path_factory.mktemp("gan")
    run(folder, "gan")
    return folder


def run(folder: Path, name: str, *more: str) -> None:
    folders = ["--run-dir", str(folder / f"run-{name}"), "--output", str(folder / name)]
    train.main(["--smoke", "--world", "twelve", *folders, *more])


@pytest.fixture
def studio(trained: Path, tmp_path: Path) -> Studio:
    return Studio(Settings(models_dir=trained, data_dir=tmp_path, hub_enabled=False))


def test_it_overfits_one_batch() -> None:
    """Two pictures of one colour each, and their captions: each is painted in its colour."""
    pair = small_pair()
    words, mask = some_words(2)
    drawn = torch.tensor([[0.8, -0.8, -0.8], [-0.8, -0.8, 0.8]])[:, :, None, None]
    drawn = drawn.expand(-1, -1, 128, 128)
    optimizer = train.adam(pair, 2e-3, 0.0)

    @torch.no_grad()
    def error() -> float:
        painted = pair.generator(torch.randn(2, 16), words, mask)
        return float((painted.mean(dim=(2, 3)) - drawn.mean(dim=(2, 3))).abs().mean())

    first = error()
    for step in range(120):
        torch.manual_seed(step)
        found = losses(pair, drawn, words, mask, 0.0 if step % 4 else 0.4)
        optimizer.zero_grad()
        torch.stack([*found.values()]).sum().backward()
        optimizer.step()
    assert error() < 0.5 * first


def test_each_side_learns_from_its_own_losses_alone() -> None:
    pair = small_pair()
    drawn = torch.rand(3, 3, 128, 128) * 2 - 1
    found = losses(pair, drawn, *some_words(3), 1.0)
    found["painter"].backward(retain_graph=True)
    assert all(p.grad is None for p in pair.discriminator.parameters())
    assert pair.generator.components.weight.grad is not None
    pair.generator.zero_grad()
    (found["judge"] + found["caption"] + found["penalty"]).backward()
    assert all(p.grad is None for p in pair.generator.parameters())
    assert all(p.grad is not None for p in pair.discriminator.parameters() if p.requires_grad)


def test_an_untrained_generator_paints_no_more_detail_than_pictures_have() -> None:
    """Patches written pixel by pixel had one pattern in each, which 182 steps did not remove."""
    pair = small_pair()
    painted = pair.generator(torch.randn(4, 16), *some_words(4))

    def share_of_detail(pictures: torch.Tensor) -> float:
        smooth = functional.avg_pool2d(pictures, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
        return float((pictures - smooth).var() / pictures.var())

    assert share_of_detail(painted.detach()) < share_of_detail(scenes()) + 0.05


def test_patches_are_read_and_written_without_loss() -> None:
    pair = small_pair()
    cells = pair.discriminator.to_cells(scenes())
    assert cells.mean(dim=(0, 2, 3)).abs().max() < 0.02
    loud = cells.std(dim=(0, 2, 3))
    assert loud[0] > 3 * loud[100] > 0
    both = torch.randn(2, 192, 4, 4)
    pixels = exactly(pair.generator.to_pixels, both)
    assert pixels.shape == (2, 3, 32, 32)
    again = pair.discriminator.to_cells(pixels)
    assert torch.linalg.matrix_rank(again.permute(1, 0, 2, 3).flatten(1)) == 32


def test_untrained_sides_are_even() -> None:
    """Before training nothing is told apart: each loss is that of a guess."""
    pair = small_pair()
    for parameter in pair.discriminator.is_drawn.parameters():
        torch.nn.init.zeros_(parameter)
    for parameter in pair.discriminator.caption.parameters():
        torch.nn.init.zeros_(parameter)
    found = losses(pair, torch.zeros(2, 3, 128, 128), *some_words(2), 1.0)
    assert {name: round(v.item(), 4) for name, v in found.items()} == {
        "painter": 0.6931, "judge": 0.6931, "caption": 0.6931, "penalty": 0.0,
    }  # fmt: skip


def test_the_slope_is_that_of_the_verdict() -> None:
    """Against a finite difference along the gradient itself."""
    judge = small_pair().discriminator.double()
    words, mask = some_words(1)
    words = words.double()
    pictures = torch.rand(1, 3, 128, 128).double()
    found = slope(judge, pictures, words, mask)
    leaf = pictures.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(leaf, words, mask).sum(), leaf)
    ahead, behind = (judge(pictures + s * gradient, words, mask).item() for s in (50, -50))
    assert found.item() == pytest.approx((ahead - behind) / 100, rel=1e-2)


def test_a_verdict_depends_on_the_caption_and_not_on_padding() -> None:
    pair = small_pair()
    words, mask = some_words(2)
    pictures = torch.rand(2, 3, 128, 128)
    plain = pair.discriminator(pictures, words, mask)
    assert not torch.allclose(pair.discriminator(pictures, words.roll(1, 0), mask), plain)
    for reading in pair.generator.read:
        torch.nn.init.normal_(reading.get_parameter("out.weight"))
    noise = torch.randn(2, 16)
    painted = pair.generator(noise, words, mask)
    padding = torch.randn(2, 3, 32)
    padded = torch.cat([words, padding], dim=1), torch.cat([mask, torch.zeros(2, 3).long()], dim=1)
    assert torch.allclose(pair.discriminator(pictures, *padded), plain, atol=1e-6)
    assert torch.allclose(pair.generator(noise, *padded), painted, atol=1e-6)


def test_a_pair_of_pictures_is_changed_alike_by_whole_cells_and_holes() -> None:
    torch.manual_seed(0)
    change = augmentation(16, torch.device("cpu"))
    ramp = torch.linspace(0.1, 1, 16).repeat_interleave(8).expand(16, 3, 128, 128).clone()
    first, second = change(ramp), change(2 * ramp)
    assert torch.allclose(second, 2 * first)
    holes = (first == 0).float().mean(dim=(1, 2, 3))
    assert 0 < (holes > 0).float().mean() < 1
    assert holes.max() <= 0.17
    levels = ramp.unique()
    assert torch.isin(first, torch.cat([levels, torch.zeros(1)])).all()
    assert len(first[:, 0, -1].unique(dim=0)) > 3, "pictures are moved by different numbers"
    leaf = ramp.requires_grad_()
    change(leaf).sum().backward()
    assert leaf.grad is not None and leaf.grad.any()


def test_a_smoke_run_saves_half_precision_and_the_scores_of_the_saved_files(trained: Path) -> None:
    files = list((trained / "gan").rglob("*.safetensors"))
    assert all(t.dtype == torch.float16 for file in files for t in load_file(file).values())
    log = (trained / "gan/training_log.jsonl").read_text().splitlines()
    assert {"painter", "judge", "caption", "penalty"} <= json.loads(log[0]).keys()
    assert "colour_right" in json.loads(log[-1])
    assert "in one step" in (trained / "gan/README.md").read_text()
    assert (trained / "run-gan/samples.png").is_file()


def test_the_standard_size_has_at_most_eight_megabytes_in_half_precision() -> None:
    encoder = CLIPTextModel.from_pretrained(PAINTER / "text_encoder")
    parameters = GANGenerator().num_parameters() + encoder.num_parameters()
    assert 2 * parameters <= 8e6


def test_a_resumed_run_ends_in_the_same_weights(trained: Path) -> None:
    killed_in_step(2, lambda: run(trained, "resumed"))
    run(trained, "resumed", "--resume")
    whole, resumed = (
        load_file(trained / name / "gan/diffusion_pytorch_model.safetensors")
        for name in ("gan", "resumed")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_text_encoder_that_lacks_words_of_the_world_is_refused(
    tmp_path: Path, world: World
) -> None:
    with pytest.raises(SystemExit, match="train a painter first"):
        text_parts(tmp_path, world)
    (tmp_path / "text_encoder").mkdir()
    build_tokenizer(["red"]).save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(SystemExit, match=r"does not know .* words of this world"):
        text_parts(tmp_path, world)


def test_the_page_paints_with_it_as_with_any_model_and_repeats_it(studio: Studio) -> None:
    result = paint(studio, OWN)
    assert result.pictures[0].size == (128, 128)
    assert result.notes == []
    fields = result.receipt["request"]
    assert (fields["steps"], fields["guidance_scale"]) == (1, 0.0)
    assert pixels(paint(studio, PaintRequest(**fields))) == pixels(result)
    for change in ({"seed": 4}, {"prompt": "a rose"}):
        assert pixels(paint(studio, replace(OWN, **change))) != pixels(result), change


def test_what_one_step_cannot_take_is_said(studio: Studio) -> None:
    plain = pixels(paint(studio, OWN))
    for change, said in (
        ({"steps": 9}, "paints in 1 step"),
        ({"guidance_scale": 3.0}, "no guidance"),
        ({"negative_prompt": "a rose"}, "no negative prompt"),
        ({"width": 256, "height": 256}, "painted 128 × 128"),
    ):
        result = paint(studio, replace(OWN, **change))
        assert any(said in note for note in result.notes), change
        assert pixels(result) == plain
    with pytest.raises(InvalidValue, match=r"^scheduler is 'DDIM'"):
        paint(studio, replace(OWN, scheduler="DDIM"))


def test_a_batch_paints_what_single_runs_paint(trained: Path) -> None:
    """As evaluations do: a generator for each prompt, shorter ones padded."""
    pipeline = ConditionalGANPipeline.from_pretrained(trained / "gan", dtype=torch.float32)
    prompts = ["a dog", "a small cat to the left of a dog on a red background"]
    both, *alone = (
        pipeline(
            [prompts[i] for i in which],
            generator=[torch.Generator().manual_seed(i) for i in which],
            output_type="pt",
        ).images
        for which in ([0, 1], [0], [1])
    )
    assert torch.allclose(both, torch.cat(alone), atol=1e-5)


def paint(studio: Studio, request: PaintRequest) -> PaintResult:
    result: PaintResult = finished(generate, studio, request)
    return result


def pixels(result: PaintResult) -> bytes:
    return result.pictures[0].tobytes()
