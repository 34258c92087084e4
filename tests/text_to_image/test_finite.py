"""Weights that give NaN or infinity were painted as a black picture, and called done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from pipelines.datasets.samples import Sample
from pipelines.device import Device
from pipelines.errors import NotFinite, OutOfBudget
from pipelines.evaluation.generators import GENERATORS, Run
from pipelines.evaluation.request import Painting
from pipelines.evaluation.store import Store
from pipelines.events import Progress, with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.painter import load_painter
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, generate, size_of
from tests.running import finished
from tests.text_to_image.tiny_families import make

REQUEST = PaintRequest("damaged", "a cat", steps=2, seed=0, width=64, height=64)
HALF = Device("cpu", "float16", "for this test")
Damage = Callable[[Any], None]


def _too_large_for_half(pipeline: Any) -> None:
    pipeline.unet.conv_out.weight.mul_(1e6)


def _unet_of_nan(pipeline: Any) -> None:
    pipeline.unet.conv_out.bias[0] = torch.nan


def _infinite_decoder(pipeline: Any) -> None:
    """Clamped to the range of colours it would become white."""
    pipeline.vae.decoder.conv_out.bias.fill_(torch.inf)


def studio_with(tmp_path: Path, damage: Damage, device: Device | None = None) -> Studio:
    make("stable-diffusion", tmp_path / "whole")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "whole")
    with torch.no_grad():
        damage(pipeline)
    pipeline.save_pretrained(tmp_path / "models/damaged")
    shutil.rmtree(tmp_path / "whole")
    studio = Studio(Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False))
    if device is not None:
        studio.__dict__["device"] = device
    return studio


@pytest.mark.parametrize("damage", [_unet_of_nan, _infinite_decoder])
@pytest.mark.parametrize("device", [None, HALF])
def test_what_is_not_finite_is_no_picture(
    tmp_path: Path, damage: Damage, device: Device | None
) -> None:
    studio = studio_with(tmp_path, damage, device)
    with pytest.raises(NotFinite, match=r"not finite in float32, .* choose another"):
        finished(generate, studio, REQUEST)
    assert [resident.users for resident in studio.residency.residents()] == (
        [0] if device is None else [0, 0]
    )


def test_what_half_precision_cannot_hold_is_painted_in_float32_and_said(tmp_path: Path) -> None:
    studio = studio_with(tmp_path, _too_large_for_half, HALF)
    *events, result = with_result(generate(studio, REQUEST))
    assert Progress("Not finite in float16: once more in float32") in events
    assert result.notes[0].startswith("In float16 this model's numbers were not finite")
    assert result.receipt["device"]["dtype"] == "float32"
    wide = studio_with(tmp_path, _too_large_for_half)
    plain: PaintResult = finished(generate, wide, REQUEST)
    assert plain.pictures[0].tobytes() == result.pictures[0].tobytes()
    assert plain.notes == []


def test_where_float32_does_not_fit_both_are_said(tmp_path: Path) -> None:
    studio = studio_with(tmp_path, _too_large_for_half, HALF)
    files = (tmp_path / "models").rglob("*.safetensors")
    parameters = sum(file.stat().st_size for file in files) // 4
    studio.residency.budget_bytes = parameters * 3
    with pytest.raises(OutOfBudget, match=r"^In float16 its numbers were not finite; in float32: "):
        finished(generate, studio, REQUEST)


def test_an_evaluations_batch_that_is_not_finite_is_tried_one_by_one(tmp_path: Path) -> None:
    studio = studio_with(tmp_path, _unet_of_nan)
    *_, loaded = with_result(studio.open("damaged", "paint", load_painter, size_of))
    store = Store(tmp_path / "store")
    run = Run(studio, store, "damaged", loaded, Painting(steps=1), lambda: None)
    samples = [Sample(index, f"sample {index}", "a cat", ("a cat",)) for index in range(2)]
    with loaded.lease:
        assert GENERATORS["picture"].several(run, samples, [0, 1]) is None
