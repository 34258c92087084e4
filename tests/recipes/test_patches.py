"""The crisp autoencoder: its components, its decoder, its training, a pipeline that uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from pipelines.hub import resolve
from pipelines.recipes.autoencoders import load_autoencoder
from pipelines.recipes.diffusion import train as diffusion
from pipelines.recipes.emoji_scenes.data import World, world_named
from pipelines.recipes.patches import train
from pipelines.recipes.patches.model import PatchAutoencoder
from pipelines.recipes.vae.train import reconstructed, reconstruction_loss, scenes_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.pipeline import PaintRequest, generate
from tests.running import finished

TINY = ((8, 8, 16, 16), (1, 1, 1))


@pytest.fixture(scope="module")
def world() -> World:
    return world_named("twelve", smoke=True)


def test_the_untrained_autoencoder_reconstructs_as_its_components_do(world: World) -> None:
    pictures = scenes_of(world, 16, seed=1)
    for power in (0.0, 1.0):
        model = PatchAutoencoder(*TINY)
        model.begin_at_components(pictures, power)
        error = (reconstructed(model, pictures) - pictures).abs().mean().item()
        assert error < 0.05, "sixteen components of 192 hold nearly all of a scene"


def test_cells_have_mean_zero_and_deviate_as_the_power_says(world: World) -> None:
    pictures = scenes_of(world, 32, seed=1)
    for power, least in ((0.0, 0.99), (1.0, 0.0)):
        model = PatchAutoencoder(*TINY)
        model.begin_at_components(pictures, power)
        cells = model.encode(pictures).latent_dist.mode()
        deviations = cells.std(dim=(0, 2, 3))
        assert cells.mean(dim=(0, 2, 3)).abs().max() < 0.02
        assert cells.square().mean().item() == pytest.approx(1, abs=0.02)
        assert deviations.min() / deviations.max() > least
        assert deviations.min() / deviations.max() < 1.01 if power == 0 else 0.2


def test_it_overfits_one_batch(world: World) -> None:
    torch.manual_seed(0)
    scenes = scenes_of(world, 16, seed=2)
    model = PatchAutoencoder((32, 32, 64, 64), (1, 1, 1))
    model.begin_at_components(scenes)
    pictures = scenes[:2, :, 32:96, 32:96]
    optimizer = torch.optim.AdamW(model.residual.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        output = model.decode(model.encode(pictures).latent_dist.mode()).sample
        loss = reconstruction_loss(output, pictures)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_each_side_learns_from_its_own_loss_alone(world: World) -> None:
    pair = train.Pair(PatchAutoencoder(*TINY), train.Discriminator(8))
    target = scenes_of(world, 2, seed=3)
    output = pair.autoencoder.decode(torch.randn(2, 16, 16, 16)).sample
    painter, judge = train.adversarial_loss(pair, output, target)
    painter.backward(retain_graph=True)
    assert all(p.grad is None for p in pair.discriminator.parameters())
    assert pair.autoencoder.residual[-2].weight.grad is not None
    pair.autoencoder.zero_grad()
    judge.backward()
    assert all(p.grad is None for p in pair.autoencoder.parameters())
    assert any(p.grad is not None for p in pair.discriminator.parameters())


@pytest.mark.slow
def test_a_painter_on_it_is_trained_and_paints_on_the_page(tmp_path: Path) -> None:
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "vae")]
    train.main(["--smoke", "--world", "twelve", "--learn-cells", *folders])
    assert isinstance(load_autoencoder(tmp_path / "vae"), PatchAutoencoder)
    output = tmp_path / "models" / "crisp"
    folders = ["--run-dir", str(tmp_path / "run2"), "--output", str(output)]
    diffusion.main(["--smoke", "--world", "twelve", "--vae", str(tmp_path / "vae"), *folders])
    pipeline = StableDiffusionPipeline.from_pretrained(output, dtype=torch.float32)
    assert pipeline.unet.config.in_channels == 16

    settings = Settings(models_dir=tmp_path / "models")
    assert resolve("crisp", "paint", settings).family == "StableDiffusionPipeline"
    studio = Studio(settings)
    painted = finished(generate, studio, PaintRequest("crisp", "a dog", steps=2))
    assert painted.pictures[0].size == (128, 128)


def test_a_folder_without_an_autoencoder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="train an autoencoder first"):
        load_autoencoder(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel"}', encoding="utf-8")
    with pytest.raises(SystemExit, match="VQModel; known are"):
        load_autoencoder(tmp_path)
