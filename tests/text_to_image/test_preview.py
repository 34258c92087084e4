"""Previews: the linear map, and where each scheduler keeps its clean estimate."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from pipelines.errors import LoadFailed
from pipelines.text_to_image.preview import LatentPreview, clean_estimates


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
