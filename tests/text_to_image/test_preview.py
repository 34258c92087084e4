"""Previews: the linear map, and where each scheduler keeps its clean estimate."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)

from pipelines.errors import LoadFailed
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS
from pipelines.settings import ROOT
from pipelines.text_to_image.preview import KNOWN, LatentPreview, clean_estimates


def preview(weights: Any, bias: Any = (0, 0, 0)) -> LatentPreview:
    return LatentPreview.from_json({"weights": weights, "bias": list(bias)})


def test_colours_are_a_linear_map_of_the_latents() -> None:
    latents = torch.zeros(2, 2, 4, 4)
    latents[0, 0] = 1.0  # the first channel is red
    one, other = preview([[1, 0, 0], [0, 1, 0]], (0, 0, -1)).render(latents)
    assert one.getpixel((128, 128)) == (255, 127, 0)
    assert other.getpixel((128, 128)) == (127, 127, 0)


def test_colours_beyond_the_range_are_clipped() -> None:
    (picture,) = preview([[9, -9, 0]]).render(torch.ones(1, 1, 2, 2))
    assert picture.getpixel((5, 5)) == (255, 0, 127)


def test_the_picture_keeps_its_shape() -> None:
    (picture,) = preview([[1, 1, 1]]).render(torch.zeros(1, 1, 8, 32))
    assert picture.size == (256, 64)


def test_half_precision_latents_are_shown_too() -> None:
    assert len(preview([[1, 1, 1]]).render(torch.zeros(3, 1, 4, 4, dtype=torch.float16))) == 3


def test_latents_of_another_kind_are_not_shown() -> None:
    assert preview([[1, 0, 0]] * 8).render(torch.zeros(1, 4, 16, 16)) == []


@pytest.mark.parametrize(
    "value",
    [{}, {"weights": [[1, 2]], "bias": [0, 0, 0]}, {"weights": [[1, 2, 3]], "bias": [0]}],
)
def test_a_map_of_wrong_shape_is_told(value: dict[str, Any]) -> None:
    with pytest.raises(LoadFailed, match=r"\(channels, 3\)"):
        LatentPreview.from_json(value)


def test_products_of_channels_are_added_where_a_map_has_them() -> None:
    value = {
        "weights": [[0, 0, 0]] * 2,
        "bias": [0, 0, 0],
        "products": [[0] * 3, [1, 0, 0], [0] * 3],
    }
    latents = torch.tensor([2.0, 0.5])[None, :, None, None]
    (picture,) = LatentPreview.from_json(value).render(latents)
    assert picture.getpixel((5, 5)) == (255, 127, 127)
    with pytest.raises(LoadFailed, match=r"\(3, 3\) is needed"):
        LatentPreview.from_json({**value, "products": [[0, 0, 0]]})


@pytest.mark.parametrize("known", KNOWN)
def test_a_well_known_autoencoder_is_told_by_channels_and_scaling_factor(known: Any) -> None:
    channels, scaling_factor = known
    vae = SimpleNamespace(config={"latent_channels": channels, "scaling_factor": scaling_factor})
    found = LatentPreview.of_known(vae)
    assert found is not None
    assert found.weights.shape == (channels, 3)
    assert len(found.render(torch.zeros(1, channels, 4, 4))) == 1
    vae.config["scaling_factor"] = 1.0
    assert LatentPreview.of_known(vae) is None
    assert LatentPreview.of_known(None) is None


@pytest.mark.parametrize("colour", COLOURS)
def test_a_background_of_the_embedded_world_is_previewed_in_its_colour(
    embedded: tuple[Any, LatentPreview], colour: str
) -> None:
    """White came out yellow, and black purple."""
    vae, embedded_preview = embedded
    plain = torch.tensor(COLOURS[colour]).float() / 127.5 - 1
    with torch.no_grad():
        latents = vae.encode(plain[None, :, None, None].expand(1, 3, 64, 64)).latent_dist.mode()
    (picture,) = embedded_preview.render(latents * vae.config.scaling_factor)
    shown = np.asarray(picture, float).mean(axis=(0, 1))
    if colour == "white":
        assert shown.min() > 245
    nearest = min(COLOURS, key=lambda name: float(np.abs(shown - COLOURS[name]).sum()))
    assert nearest == colour or np.abs(shown - COLOURS[colour]).max() < 100


@pytest.fixture(scope="module")
def embedded() -> tuple[Any, LatentPreview]:
    folder = ROOT / "assets/models/emoji-painter"
    world = json.loads((folder / "world.json").read_text("utf-8"))
    return AutoencoderKL.from_pretrained(folder / "vae"), LatentPreview.from_json(world["preview"])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_estimate_is_worked_out_where_a_scheduler_keeps_none(prediction_type: str) -> None:
    """Stable Diffusion 1.5 comes with PNDM, which gives the next latents alone."""
    scheduler = PNDMScheduler(prediction_type=prediction_type, skip_prk_steps=True)
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    timestep = scheduler.timesteps[1]
    alpha = scheduler.alphas_cumprod[timestep]
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    answer = noise if prediction_type == "epsilon" else velocity
    estimate = clean_estimates(scheduler)
    noisy = scheduler.add_noise(clean, noise, timestep[None])
    scheduler.step(answer, timestep, noisy, return_dict=False)
    found = estimate()
    assert found is not None
    np.testing.assert_allclose(found.numpy(), clean.numpy(), atol=1e-3)


def test_the_estimate_of_flow_matching_is_worked_out() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    estimate = clean_estimates(scheduler)
    sample = noise
    for timestep in scheduler.timesteps[:2]:
        (sample,) = scheduler.step(noise - clean, timestep, sample, return_dict=False)
        found = estimate()
        assert found is not None
        np.testing.assert_allclose(found.numpy(), clean.numpy(), atol=1e-3)


@pytest.mark.parametrize(
    "kind", [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler]
)
def test_with_a_perfect_model_the_estimate_is_the_clean_picture(kind: Any) -> None:
    """The model here knows the noise, so each estimate must be what the noise was added to."""
    options = {"clip_sample": False} if kind is DDIMScheduler else {}
    scheduler = kind(num_train_timesteps=100, **options)
    scheduler.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(1, 4, 8, 8, generator=generator)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    estimate = clean_estimates(scheduler)
    assert estimate() is None
    timestep = scheduler.timesteps[1]
    noisy = scheduler.add_noise(clean, noise, timestep[None])
    scheduler.step(noise, timestep, noisy, return_dict=False)
    found = estimate()
    assert found is not None
    np.testing.assert_allclose(found.numpy(), clean.numpy(), atol=1e-3)


def test_a_watched_step_still_tells_its_parameters() -> None:
    scheduler = DDIMScheduler()
    clean_estimates(scheduler)
    assert "eta" in inspect.signature(scheduler.step).parameters
