"""When a model in training is measured on held-out data, and on how many samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from pipelines.files.texts import LEAST_HELD_OUT
from pipelines.recipes.command_line import Options

SHARE = 0.15
"""Of a budget by time, at most, for measuring."""

PARTS = 3
"""A run by time is measured at the start, after each part of it, and at the end."""

EVALUATIONS = 10
"""In a run by steps, at least."""

Scores = dict[str, float]


class Glancing(Protocol):
    """What can be measured on more or fewer held-out samples: see ``lesson.Lesson``."""

    glanced: int

    @property
    def work(self) -> tuple[int, int]: ...


class Schedule:
    """A run by steps is measured every so many; one by time also as the time allows.

    ``latest`` is how many seconds the latest measurement took.
    """

    def __init__(self, options: Options, every: int) -> None:
        """
        Args:
            every: steps between two measurements; fewer in a short run by steps.
        """
        steps, minutes = options.steps, options.minutes
        self.every = every if steps is None else max(1, min(every, steps // EVALUATIONS))
        self._budget = None if minutes is None else 60 * minutes
        self._spent = self.latest = 0.0
        self._part = 0

    def is_due(self, step: int, progress: float) -> bool:
        """Whether the model is to be measured after so many steps and that share of the budget."""
        is_full = step % self.every == 0
        if self._budget is None:
            return is_full
        part, self._part = self._part, min(int(progress * PARTS), PARTS - 1)
        allowed = SHARE * progress * self._budget
        return self._part > part or (is_full and self._spent + 2 * self.latest <= allowed)

    def timed(self, measure: Callable[[], Scores]) -> Scores:
        """Measures, and keeps how long it took."""
        began = time.monotonic()
        scores = measure()
        self.latest = time.monotonic() - began
        self._spent += self.latest
        return scores

    def first(self, lesson: Glancing, measure: Callable[[], Scores]) -> Scores:
        """Measures the base; in a run by time on so many samples that all measurements fit it.

        ``lesson.glanced`` is lowered, and then doubled as long as there is time for twice that
        measurement, which this takes in all, and for one after each part.
        """
        if self._budget is None:
            return self.timed(measure)
        allowed = SHARE * self._budget / (2 + PARTS)
        most, lesson.glanced = lesson.glanced, min(LEAST_HELD_OUT, lesson.glanced)
        self.timed(measure)  # the first is slower than any later one
        while True:
            scores, fewer, work = self.timed(measure), lesson.glanced, lesson.work[1]
            lesson.glanced = min(most, 2 * fewer)
            if fewer == most or self.latest * lesson.work[1] > allowed * work:
                lesson.glanced = fewer
                return scores
