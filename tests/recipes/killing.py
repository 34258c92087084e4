"""Ends a training in the middle, as a power cut does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from pipelines.recipes import training


class _Killed(Exception):
    """Stands for the end of the process."""


def killed_in_step(step: int, train: Callable[[], object]) -> None:
    """Runs a training that keeps its state after every step, and ends it in this one, from 0."""
    update = training.Run.update

    def killed(run: training.Run, loss: torch.Tensor, clip_norm: float = 1.0) -> None:
        if run.step == step:
            raise _Killed
        update(run, loss, clip_norm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, "update", killed)
        patch.setattr(training, "Run", partial(training.Run, save_every_seconds=0.0))
        with pytest.raises(_Killed):
            train()
