"""A run is measured from its base to its end, and a short one by the clock hardly longer for it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.events import Progress
from pipelines.recipes.command_line import Options
from pipelines.recipes.finetune.painter import Painter
from pipelines.recipes.finetune.schedule import SHARE, Schedule
from pipelines.recipes.finetune.tuning import HELD_OUT, tune
from tests.recipes.finetune.conftest import PlanFor
from tests.recipes.finetune.test_tuning import Sums


class Clock:
    """Goes on when it is made to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Slow(Sums):
    """Takes seconds by the clock for a step, and for each sample that it is measured on."""

    evaluate_every = 100

    def __init__(self, clock: Clock, step: float, sample: float) -> None:
        super().__init__()
        self.glanced = 64
        self._clock, self._step, self._sample = clock, step, sample
        self.measured = 0.0

    @property
    def work(self) -> tuple[int, int]:  # type: ignore[override]
        return 64, self.glanced

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        self._clock.now += self._step
        return super().loss(rng)

    def held_out(self) -> dict[str, float]:
        self._clock.now += self._sample * self.glanced
        self.measured += self._sample * self.glanced
        return super().held_out()


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(tmp_path, tmp_path, None, 1.0, True, False, 0, 4, 0.1)


@pytest.mark.parametrize(
    ("step", "sample", "glanced"),
    [(0.01, 0.001, 64), (0.1, 0.2, 8), (2.0, 0.5, 2), (9.0, 0.05, 32), (2.0, 0.0, 64)],
)
def test_a_run_by_time_is_measured_at_the_start_in_between_and_at_the_end(
    options: Options, monkeypatch: pytest.MonkeyPatch, step: float, sample: float, glanced: int
) -> None:
    lesson = Slow(Clock(monkeypatch), step, sample)
    told: list[Progress] = []
    tuned = tune(lesson, options, None, told.append)
    assert told[-1].message.startswith("Measuring")
    assert told[-1].seconds_left == pytest.approx(sample * glanced), "beyond the minutes"
    lines = map(json.loads, (options.run_dir / "log.jsonl").read_text().splitlines())
    steps = [line["step"] for line in lines if HELD_OUT in line]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, tuned.steps)
    assert len(steps) >= 4
    assert lesson.glanced == glanced
    assert lesson.measured <= 60 * SHARE
    if sample == 0.001:
        assert len(steps) > 20, "there is time for more"


def test_a_resumed_run_is_measured_on_the_same_samples(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    tune(Slow(clock, 2.0, 0.5), options, None)
    resumed = Slow(clock, 2.0, 0.5)
    tune(resumed, replace(options, minutes=2.0, resume=True), None)
    assert resumed.glanced == 2


def test_a_run_by_steps_is_measured_ten_times_or_more(options: Options) -> None:
    lengths = {3: 1, 50: 5, 10_000: 100}
    for steps, every in lengths.items():
        schedule = Schedule(replace(options, steps=steps, minutes=None), 100)
        due = [step for step in range(1, steps + 1) if schedule.is_due(step, step / steps)]
        assert due == list(range(every, steps + 1, every))


@pytest.mark.usefixtures("tiny_extractor")
def test_a_painter_short_of_time_leaves_out_painting_first(
    imagefolder: Path, plan_for: PlanFor
) -> None:
    painter = Painter(plan_for("painter", imagefolder, validation=0.4), imagefolder)
    (_, full), most = painter.work, painter.glanced
    assert set(painter.held_out()) == {"held_out_loss", "held_out_fid", "held_out_kid"}
    painter.glanced = most - 1
    assert painter.work[1] == most - 1 < full
    assert set(painter.held_out()) == {"held_out_loss"}
