"""Trains the trainable weights of a model: held-out scores, early stopping, resuming.

``training.Run`` gets a module with the trainable weights alone, so that state, optimiser and
moving average are as small as the adapter. The first evaluation is of the base, each later one of
the averaged weights; the best of these stay in the state and are the result of the run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from pipelines.errors import InvalidValue
from pipelines.events import Progress, Report
from pipelines.recipes import results, training
from pipelines.recipes.command_line import Options
from pipelines.recipes.finetune.schedule import Glancing, Schedule

HELD_OUT = "held_out_loss"
"""The score to minimise; ``held_out`` must return it."""

_SEED_DISTANCE = 1_000_000_007


class Tunable(Glancing, Protocol):
    """A model, its loss on a random batch, and its held-out scores: see ``lesson.Lesson``."""

    model: nn.Module
    evaluate_every: int

    def loss(self, rng: np.random.Generator) -> torch.Tensor: ...

    def held_out(self) -> dict[str, float]: ...


class Weights(nn.Module):
    """The trainable weights of a model, shared with it, and the best of them so far.

    ``best`` is no buffer, because ``training.Run`` copies buffers in every step; it is part
    of the state all the same, as are the step of the latest evaluation and the number of samples
    that each is of.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trained = nn.ParameterList(p for p in model.parameters() if p.requires_grad)
        self.best: list[torch.Tensor] = []
        self.best_value = math.inf
        self.evaluations_since = 0
        self.evaluated_at = -1
        self.glanced: int | None = None

    def judge(self, value: float, weights: Iterable[torch.Tensor]) -> None:
        """Copies the weights if their score is the lowest so far; NaN never is."""
        if value < self.best_value:
            self.best = [tensor.detach().clone() for tensor in weights]
            self.best_value, self.evaluations_since = value, 0
        else:
            self.evaluations_since += 1

    @torch.no_grad()
    def load(self, weights: Iterable[torch.Tensor]) -> None:
        """Writes the weights into the model."""
        for parameter, tensor in zip(self.trained, weights, strict=True):
            parameter.copy_(tensor)

    @contextmanager
    def replaced_by(self, weights: Iterable[torch.Tensor]) -> Iterator[None]:
        """The model has these weights within the block."""
        own = [parameter.detach().clone() for parameter in self.trained]
        self.load(weights)
        try:
            yield
        finally:
            self.load(own)

    def get_extra_state(self) -> dict[str, Any]:
        return {
            "best": self.best, "value": self.best_value, "since": self.evaluations_since,
            "evaluated_at": self.evaluated_at, "glanced": self.glanced,
        }  # fmt: skip

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.best, self.best_value = state["best"], state["value"]
        self.evaluations_since = state["since"]
        self.evaluated_at, self.glanced = state.get("evaluated_at", -1), state.get("glanced")


@dataclasses.dataclass(frozen=True)
class Tuned:
    """How a run went; the model has its best weights.

    ``log`` adds a line at the run's last step, for the scores of the saved files.
    """

    steps: int
    seconds: float
    stopped_early: bool
    best_value: float
    trained_parameters: int
    log: Callable[..., None]


def tune(
    lesson: Tunable,
    options: Options,
    patience: int | None,
    report: Report = lambda progress: None,
) -> Tuned:
    """Trains until the budget is used, or ``patience`` evaluations brought no improvement.

    Raises:
        InvalidValue: no evaluation gave a number, or several processes have a budget by time.
    """
    weights = Weights(lesson.model)
    run = training.Run(options_of_process(options), weights)
    share_gradients(weights.trained, run.accelerator)
    schedule = Schedule(options, lesson.evaluate_every)

    def measure() -> dict[str, float]:
        report(_progress("Measuring on held-out data", run, schedule.latest))
        averaged = weights.replaced_by(run.average.trained)
        with averaged, run.accelerator.autocast(), torch.no_grad():
            lesson.model.train(False)
            return lesson.held_out()

    def evaluate(step: int) -> None:
        scores = schedule.timed(measure)
        mean = run.accelerator.reduce(torch.tensor(scores[HELD_OUT]).to(weights.trained[0]), "mean")
        weights.judge(float(mean), run.average.trained)
        weights.evaluated_at = step
        run.log(step, **scores)

    if run.step == 0:
        run.log(**schedule.first(lesson, measure))
        weights.glanced = lesson.glanced
    elif weights.glanced is not None:
        lesson.glanced = weights.glanced
    for rng in run.steps():
        if patience is not None and weights.evaluations_since >= patience:
            break
        report(_progress("Training", run))
        lesson.model.train()
        with run.accelerator.autocast():
            loss = lesson.loss(rng)
        run.update(loss)
        if run.step < 10 or run.step % 10 == 0:  # a short run on a slow machine has few steps
            run.log(loss=loss.item())
        if schedule.is_due(run.step + 1, run.progress):
            evaluate(run.step + 1)
    if weights.evaluated_at != run.step:
        evaluate(run.step)
    run.save_state()
    results.draw_curves(run.options.run_dir)
    if not weights.best:
        raise InvalidValue(
            f"The {HELD_OUT} was never a finite number in {run.step} steps. Lower --learning-rate."
        )
    weights.load(weights.best)
    lesson.model.train(False)
    trained, is_early = sum(p.numel() for p in weights.trained), run.progress < 1
    return Tuned(run.step, run.elapsed_seconds, is_early, weights.best_value, trained, run.log)


def _progress(stage: str, run: training.Run, least: float = 0.0) -> Progress:
    """The share of the budget that is used, and the seconds left at the pace so far.

    Args:
        least: seconds that this stage takes itself, also beyond the budget.
    """
    left = run.elapsed_seconds * (1 / run.progress - 1) if run.progress > 0 else None
    return Progress(
        f"{stage} · step {run.step:,}", run.progress, None if left is None else max(left, least)
    )


def options_of_process(options: Options) -> Options:
    """The options, with its own seed and folder for each process but the first.

    Raises:
        InvalidValue: several processes with a budget by time; they would not stop together.
    """
    state = PartialState()
    if state.num_processes > 1 and options.minutes is not None:
        raise InvalidValue(
            f"--minutes is given and {state.num_processes} processes train together; "
            "they need the same number of steps. Give --steps."
        )
    if state.is_main_process:
        return options
    run_dir = options.run_dir / f"process-{state.process_index}"
    seed = options.seed + _SEED_DISTANCE * state.process_index
    return dataclasses.replace(options, run_dir=run_dir, seed=seed)


def share_gradients(parameters: Iterable[nn.Parameter], accelerator: Any) -> None:
    """Makes each gradient the mean over all processes as soon as it is computed."""
    if accelerator.num_processes > 1:
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(partial(_share, accelerator.reduce))


def _share(reduce: Callable[..., torch.Tensor], parameter: torch.Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad = reduce(parameter.grad, reduction="mean")
