"""The autoencoder and the painter learn, save and come back as what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from pipelines.recipes.diffusion import train as diffusion
from pipelines.recipes.diffusion.model import (
    Painter,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from pipelines.recipes.emoji_scenes.data import World
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, everyday
from pipelines.recipes.vae import train as vae_recipe
from pipelines.recipes.vae.model import build

SMALL = (8, 8, 8, 8)


@pytest.fixture(scope="module")
def world() -> World:
    return World(everyday()[32:38])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both recipes' ``--smoke`` runs leave: an autoencoder and a whole painter."""
    directory = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        for module, extra in ((vae_recipe, []), (diffusion, ["--vae", str(directory / "vae")])):
            name = "vae" if module is vae_recipe else "painter"
            options = ["--smoke", "--run-dir", str(directory / f"run-{name}")]
            patch.setattr(
                "sys.argv", ["train", *options, "--output", str(directory / name), *extra]
            )
            module.main()
    return directory


def test_the_autoencoder_overfits_one_batch(world: World) -> None:
    torch.manual_seed(0)
    vae = build((16, 16, 16, 16))
    rng = np.random.default_rng(0)
    crops = np.stack([vae_recipe.crop_around_item(world, rng) for _ in range(2)])
    images = torch.from_numpy(vae_recipe.to_signed(crops))
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        output = vae.decode(vae.encode(images).latent_dist.mode()).sample
        loss = vae_recipe.reconstruction_loss(output, images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_painter_overfits_one_batch(world: World) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["red", "blue"])
    painter = Painter(
        build_text_encoder(len(tokenizer), 32, 1), build_unet((32, 32), text_width=32)
    )
    ids = diffusion.tokenize(tokenizer, ["red", "blue"] * 4)
    latents = torch.randn(2, 8, 16, 16).repeat(4, 1, 1, 1)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    scheduler = build_scheduler()

    def loss_now() -> torch.Tensor:
        return diffusion.velocity_loss(
            painter, scheduler, latents, ids, torch.Generator().manual_seed(3)
        )

    first = loss_now().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_now()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * first


def test_standardised_latents_decode_to_the_same_pictures(world: World) -> None:
    torch.manual_seed(0)
    vae = build(SMALL).eval()
    images = vae_recipe.held_out_images(world, 8)
    with torch.no_grad():
        before = vae.decode(vae.encode(images).latent_dist.mode()).sample
        latents = vae.encode(images).latent_dist.mode()
        mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        vae_recipe.standardise_in_weights(vae, mean, deviation)
        latents = vae.encode(images).latent_dist.mode()
        after = vae.decode(latents).sample
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(8), atol=1e-3)
    assert torch.allclose(before, after, atol=1e-3)


def test_a_smoke_run_leaves_a_painter_that_diffusers_loads(trained: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(trained / "painter", dtype=torch.float32)
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    generator = torch.Generator().manual_seed(0)
    (picture,) = pipeline("a dog face", num_inference_steps=2, generator=generator).images
    assert picture.size == (128, 128)


def test_a_smoke_run_saves_half_precision_in_files_that_git_takes(trained: Path) -> None:
    files = list((trained / "painter").rglob("*.safetensors"))
    assert len(files) == 3
    assert all(file.stat().st_size < 9 * 1024**2 for file in files)
    assert all(t.dtype == torch.float16 for file in files for t in load_file(file).values())


def test_the_smoke_log_has_the_scores_of_the_saved_files(trained: Path) -> None:
    log = (trained / "run-painter/log.jsonl").read_text()
    assert "colour_right" in log
    assert "autoencoder_error" in log


def test_the_page_can_serve_what_the_recipe_saved(trained: Path, tmp_path: Path) -> None:
    from pipelines.events import with_result
    from pipelines.settings import Settings
    from pipelines.studio import Studio
    from pipelines.text_to_image.pipeline import PaintRequest, Preview, generate

    studio = Studio(Settings(models_dir=trained, data_dir=tmp_path, hub_enabled=False))
    request = PaintRequest("painter", "a dog face and a spoon", steps=2, seed=0)
    *events, result = with_result(generate(studio, request))
    assert any(isinstance(event, Preview) and event.pictures for event in events)
    assert "spoon" in result.notes[0]


@pytest.mark.parametrize("name", sorted(COLOURS))
def test_a_colour_is_read_from_the_frame_whatever_stands_inside(name: str) -> None:
    pixels = np.full((128, 128, 3), COLOURS[name], np.uint8)
    pixels[10:118, 10:118] = 77
    assert diffusion.background_colour(pixels) == name


def test_an_unknown_word_is_one_unknown_token_and_punctuation_none() -> None:
    tokenizer = build_tokenizer(["red", "apple"])
    ids = tokenizer("A RED, apple! 猫")["input_ids"]
    unknown = tokenizer.unk_token_id
    red, apple = (tokenizer.convert_tokens_to_ids(word) for word in ("red", "apple"))
    assert ids == [1, unknown, red, apple, unknown, 2]
