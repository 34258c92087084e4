"""What the Paint tab begins with when a model is chosen."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.settings import Settings
from pipelines.text_to_image.schedulers import OWN_SCHEDULER
from pipelines.text_to_image.tab import _own_settings


@pytest.mark.parametrize("model", ["ada/painter", "", None, 7])
def test_of_a_painter_that_tells_nothing_the_models_own_are_taken(
    settings: Settings, model: object
) -> None:
    assert _own_settings(settings, model) == (-1, -1, OWN_SCHEDULER)


@pytest.mark.parametrize("model", ["painter", "painter + night:0.7", "night"])
def test_a_painter_of_the_small_world_begins_with_its_own_numbers(
    settings: Settings, tmp_path: Path, model: str
) -> None:
    shutil.copytree(settings.models_dir / "tiny-painter", tmp_path / "own/painter")
    (tmp_path / "own/night").mkdir()
    (tmp_path / "own/night/pytorch_lora_weights.safetensors").write_bytes(b"")
    own = replace(settings, extra_models_dir=tmp_path / "own")
    assert _own_settings(own, model) == (20, 4.0, "DDIM")
