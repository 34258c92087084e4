"""Trains what of a model is to be trained: held-out scores, early stopping, resume.

``training.Run`` gets a module that holds the trainable weights alone, so that state,
optimiser and moving average are as small as the adapter. Each evaluation is of the
averaged weights; the best of them are kept in the state and are what the run ends with.
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
from pipelines.recipes import training

HELD_OUT = "held_out_loss"
"""The value that must fall; each lesson's ``held_out`` has it."""

EVALUATIONS = 10
"""At least so many in a run by steps."""

_SEED_APART = 1_000_000_007


class Lesson(Protocol):
    """What a mode teaches: a model, its loss on a random batch, its held-out scores."""

    model: nn.Module
    evaluate_every: int

    def loss(self, rng: np.random.Generator) -> torch.Tensor: ...

    def held_out(self) -> dict[str, float]: ...


class Weights(nn.Module):
    """The trainable weights of a model, shared with it, and the best of them so far.

    ``best`` travels in the state as it is, for ``training.Run`` copies a module's buffers
    with every step.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trained = nn.ParameterList(p for p in model.parameters() if p.requires_grad)
        self.best: list[torch.Tensor] = []
        self.best_value = math.inf
        self.evaluations_since = 0

    def judge(self, value: float, values: Iterable[torch.Tensor]) -> None:
        """Keeps a copy of the values if theirs is the least so far; NaN never is."""
        if value < self.best_value:
            self.best = [tensor.detach().clone() for tensor in values]
            self.best_value, self.evaluations_since = value, 0
        else:
            self.evaluations_since += 1

    @torch.no_grad()
    def load(self, values: Iterable[torch.Tensor]) -> None:
        """Writes the values into the model."""
        for parameter, tensor in zip(self.trained, values, strict=True):
            parameter.copy_(tensor)

    @contextmanager
    def holding(self, values: Iterable[torch.Tensor]) -> Iterator[None]:
        """The model with these values, for as long as the block runs."""
        own = [parameter.detach().clone() for parameter in self.trained]
        self.load(values)
        try:
            yield
        finally:
            self.load(own)

    def get_extra_state(self) -> dict[str, Any]:
        return {"best": self.best, "value": self.best_value, "since": self.evaluations_since}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.best, self.best_value = state["best"], state["value"]
        self.evaluations_since = state["since"]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """How a run went; the model holds its best weights.

    ``log`` adds a line at the run's last step, for the scores of what was saved.
    """

    steps: int
    seconds: float
    stopped_early: bool
    best_value: float
    trained_parameters: int
    log: Callable[..., None]


def tune(
    lesson: Lesson,
    options: training.Options,
    patience: int | None,
    report: Report = lambda progress: None,
) -> Tuned:
    """Trains until the budget is used, or until ``patience`` evaluations brought nothing.

    Raises:
        InvalidValue: no evaluation gave a number, or a budget that processes cannot share.
    """
    weights = Weights(lesson.model)
    run = training.Run(options_of_process(options), weights)
    averaged = run.averaged.module
    assert isinstance(averaged, Weights)
    share_gradients(weights.trained, run.accelerator)
    every = evaluation_interval(options, lesson.evaluate_every)

    def evaluate() -> None:
        report(_progress("Measuring on held-out data", run))
        with weights.holding(averaged.trained), run.accelerator.autocast(), torch.no_grad():
            lesson.model.train(False)
            scores = lesson.held_out()
        mean = run.accelerator.reduce(torch.tensor(scores[HELD_OUT]).to(weights.trained[0]), "mean")
        weights.judge(float(mean), averaged.trained)
        run.log(**scores)

    def is_over() -> bool:
        return patience is not None and weights.evaluations_since >= patience

    for rng in run.steps():
        if is_over():
            break
        report(_progress("Training", run))
        lesson.model.train()
        with run.accelerator.autocast():
            loss = lesson.loss(rng)
        run.update(loss)
        if run.is_due(10):
            run.log(loss=loss.item())
        if (run.step + 1) % every == 0:
            evaluate()
    if run.step % every:
        evaluate()
    run.save_state()
    training.draw_curves(run.options.run_dir)
    if not weights.best:
        raise InvalidValue(
            f"The {HELD_OUT} was never a finite number in {run.step} steps. Lower --learning-rate."
        )
    weights.load(weights.best)
    lesson.model.train(False)
    trained = sum(parameter.numel() for parameter in weights.trained)
    stopped_early = run.progress < 1
    return Tuned(run.step, run.elapsed_seconds, stopped_early, weights.best_value, trained, run.log)


def _progress(stage: str, run: training.Run) -> Progress:
    """How much of the budget is used, and the time left at the pace so far."""
    left = run.elapsed_seconds * (1 / run.progress - 1) if run.progress > 0 else None
    return Progress(f"{stage} · step {run.step:,}", run.progress, left)


def evaluation_interval(options: training.Options, every: int) -> int:
    """Steps between two evaluations: the mode's own, or fewer in a short run."""
    if options.steps is None:
        return every
    return max(1, min(every, options.steps // EVALUATIONS))


def options_of_process(options: training.Options) -> training.Options:
    """The options with a seed and a folder of its own for each process but the first.

    Raises:
        InvalidValue: several processes and a budget by the clock, by which they would
            not stop at the same step.
    """
    state = PartialState()
    if state.num_processes > 1 and options.minutes is not None:
        raise InvalidValue(
            f"--minutes is given and {state.num_processes} processes train together; "
            "they need the same number of steps. Give --steps."
        )
    if state.is_main_process:
        return options
    return dataclasses.replace(
        options,
        run_dir=options.run_dir / f"process-{state.process_index}",
        seed=options.seed + _SEED_APART * state.process_index,
    )


def share_gradients(parameters: Iterable[nn.Parameter], accelerator: Any) -> None:
    """Gradients become the mean over all processes as soon as they are there."""
    if accelerator.num_processes > 1:
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(partial(_share, accelerator.reduce))


def _share(reduce: Callable[..., torch.Tensor], parameter: torch.Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad = reduce(parameter.grad, reduction="mean")
