"""What the file says that others read while a fine-tune goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.events import Progress
from pipelines.recipes.finetune.progress import FILE, Countdown, ProgressFile


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a test sets; the system's own time is never asked."""
    now = [100.0]
    monkeypatch.setattr("pipelines.recipes.finetune.progress.time.monotonic", lambda: now[0])
    return now


def test_a_new_stage_is_written_immediately_and_steps_now_and_then(
    tmp_path: Path, clock: list[float]
) -> None:
    write = ProgressFile(tmp_path / "run")

    def written() -> str:
        return str(json.loads((tmp_path / "run" / FILE).read_text())["message"])

    write(Progress("Training · step 1"))
    write(Progress("Training · step 2"))
    assert written() == "Training · step 1"
    clock[0] += 1
    write(Progress("Training · step 3"))
    assert written() == "Training · step 3"
    write(Progress("Saving", 0.5, 3.0))
    assert json.loads((tmp_path / "run" / FILE).read_text()) == {
        "message": "Saving", "fraction": 0.5, "seconds_left": 3.0,
    }  # fmt: skip


def test_the_time_left_follows_from_the_time_that_the_first_part_took(clock: list[float]) -> None:
    told: list[Progress] = []
    countdown = Countdown(told.append, 10)
    countdown.message = "Measuring a"
    clock[0] += 4
    countdown(2)
    clock[0] += 4
    countdown(8)
    assert told == [Progress("Measuring a", 0.2, 16.0), Progress("Measuring a", 1.0, 0.0)]
