"""Ends a training in the middle, as a power cut does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pipelines.recipes import training


class Killed(Exception):
    """Stands for the end of the process."""


def kill_in_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Keeps the state after every step, and raises ``Killed`` in this one, counted from 0."""
    hours = iter(range(0, 10_000 * 3600, 3600))
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(hours)))
    update = training.Run.update

    def killed(run: training.Run, loss: torch.Tensor, clip_norm: float = 1.0) -> None:
        if run.step == step:
            raise Killed
        update(run, loss, clip_norm)

    monkeypatch.setattr(training.Run, "update", killed)
