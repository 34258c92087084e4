"""The table of presets: its rows are sound, complete, and found by what a machine has."""

from __future__ import annotations

from typing import get_args

import pytest

from pipelines.hub import parse_reference
from pipelines.models.presets import GPU_GIGABYTES, PRESETS, Hardware, Preset, presets_for
from pipelines.tasks import Task

GB = 10**9
TASKS: tuple[Task, ...] = get_args(Task)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.reference)
def test_a_row_is_sound(preset: Preset) -> None:
    parsed = parse_reference(preset.reference)
    assert parsed is not None
    assert parsed.name == preset.reference
    assert preset.task in TASKS
    assert preset.hardware in get_args(Hardware)
    assert preset.licence.strip() == preset.licence != ""
    assert preset.purpose.strip() == preset.purpose != ""
    assert preset.gigabytes > 0
    if preset.hardware != "CPU":  # a quarter is left for what a run needs
        assert preset.gigabytes <= 0.75 * GPU_GIGABYTES[preset.hardware]


def test_no_model_stands_twice() -> None:
    assert len({preset.reference for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("task", TASKS)
def test_every_hardware_has_a_model_for_every_task(task: Task) -> None:
    found = {preset.hardware for preset in PRESETS if preset.task == task}
    assert found == set(get_args(Hardware))


@pytest.mark.parametrize("task", TASKS)
def test_a_machine_without_gpu_gets_those_for_one(task: Task) -> None:
    presets = presets_for(task, 64 * GB, on_gpu=False)
    assert {preset.hardware for preset in presets} == {"CPU"}
    assert {preset.task for preset in presets} == {task}


@pytest.mark.parametrize(
    ("memory_bytes", "largest"),
    [(6 * GB, "CPU"), (8 * 1024**3, "8 GB"), (int(15.7 * GB), "16 GB"), (80 * GB, "48 GB")],
)
def test_a_gpu_gets_what_fits_it_the_largest_first(memory_bytes: int, largest: str) -> None:
    for task in TASKS:
        presets = presets_for(task, memory_bytes, on_gpu=True)
        assert presets[0].hardware == largest
        assert presets[-1].hardware == "CPU"


def test_what_does_not_fit_the_memory_is_left_out() -> None:
    references = [preset.reference for preset in presets_for("write", GB, on_gpu=False)]
    assert "google/flan-t5-small" in references
    assert "Qwen/Qwen2.5-0.5B-Instruct" not in references
    assert presets_for("write", 0, on_gpu=True) == []
