"""How far a fine-tune is, in a file beside its log, for whoever watches the process."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from pipelines.events import Progress, Report

FILE = "progress.json"
_INTERVAL_SECONDS = 0.25


class ProgressFile:
    """Keeps the latest progress in ``folder``: a new stage immediately, else four times a second.

    A stage is what a message says before its first `` · ``. Times are durations, so that a
    clock that is set anew changes none.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        self._stage = ""
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        stage, now = progress.message.split(" · ")[0], time.monotonic()
        if stage == self._stage and now < self._next:
            return
        self._stage, self._next = stage, now + _INTERVAL_SECONDS
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        partial.replace(self._file)


class Countdown:
    """Reports how much of some work is done, and the time left at the pace so far."""

    def __init__(self, report: Report, total: float) -> None:
        self.message = ""
        self._report = report
        self._total = total
        self._done = 0.0
        self._began = time.monotonic()

    def __call__(self, amount: float) -> None:
        self._done = min(self._done + amount, self._total)
        left = (time.monotonic() - self._began) * (self._total / self._done - 1)
        self._report(Progress(self.message, self._done / self._total, left))
