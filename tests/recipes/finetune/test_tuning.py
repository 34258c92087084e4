"""The loop that all fine-tunes share: the best is kept, stopping stops, resuming resumes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.errors import InvalidValue
from pipelines.recipes import training
from pipelines.recipes.command_line import Options
from pipelines.recipes.finetune import tuning
from tests.recipes.finetune.conftest import train_until_killed


class Line(nn.Module):
    """A frozen layer and a trainable one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.trained = nn.Linear(4, 1)


class Sums:
    """Learns sums of four numbers; what ``held_out`` tells may be written down beforehand."""

    evaluate_every = 2
    glanced = 1
    work = (1, 1)

    def __init__(self, told: Sequence[float] = ()) -> None:
        self.model: nn.Module = Line()
        self.told = list(told)
        self.asked = 0
        self.seen: list[torch.Tensor] = []

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        self.asked += 1
        return self._error(torch.from_numpy(rng.normal(size=(16, 4))).float())

    def _error(self, inputs: torch.Tensor) -> torch.Tensor:
        told = nn.functional.dropout(self.model.trained(inputs), 0.2, self.model.training)  # type: ignore[operator]
        return (told - inputs.sum(1, keepdim=True)).square().mean()

    def held_out(self) -> dict[str, float]:
        self.seen.append(next(self.model.trained.parameters()).clone())  # type: ignore[union-attr]
        assert not self.model.training
        value = self.told.pop(0) if self.told else self._error(torch.eye(4)).item()
        return {tuning.HELD_OUT: value}


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(tmp_path, tmp_path, 12, None, True, False, 0, 4, 0.1)


def weights_of(lesson: Sums) -> list[torch.Tensor]:
    return [p.detach().clone() for p in lesson.model.parameters() if p.requires_grad]


def test_the_trained_weights_alone_are_in_state_and_optimiser(options: Options) -> None:
    lesson = Sums()
    frozen = lesson.model.frozen.weight.clone()  # type: ignore[union-attr,operator]
    tuned = tuning.tune(lesson, options, None)
    state = torch.load(options.run_dir / training.STATE_FILE, weights_only=True)
    tensors = [value for value in state["model"].values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.numel() for tensor in tensors) == 5 == tuned.trained_parameters
    assert len(state["optimizer"]["state"]) == 2
    assert torch.equal(lesson.model.frozen.weight, frozen)  # type: ignore[union-attr,arg-type]


def test_a_run_ends_with_its_best_weights(options: Options) -> None:
    base = 0.5
    lesson = Sums([base, 3.0, 1.0, *[2.0] * 10])
    tuned = tuning.tune(lesson, options, None)
    assert tuned.best_value == 1.0, "the base is no result"
    assert not tuned.stopped_early
    assert torch.equal(next(lesson.model.trained.parameters()), lesson.seen[2])  # type: ignore[union-attr]
    assert not torch.equal(lesson.seen[2], lesson.seen[-1])


def test_a_run_stops_when_patience_is_used_up(options: Options) -> None:
    told = [9.0, 3.0, 2.0, 2.5, 2.0]
    lesson = Sums(told)
    tuned = tuning.tune(lesson, dataclasses.replace(options, steps=100), patience=2)
    assert lesson.asked == tuned.steps == 8
    assert tuned.stopped_early
    assert torch.equal(next(lesson.model.trained.parameters()), lesson.seen[2])  # type: ignore[union-attr]

    again = Sums()
    resumed = tuning.tune(again, dataclasses.replace(options, steps=100, resume=True), patience=2)
    assert again.asked == 0, "a run that has stopped stays so"
    assert resumed.steps == 8
    assert all(map(torch.equal, weights_of(again), weights_of(lesson)))


@pytest.mark.parametrize("after", [3, 6])
def test_a_killed_and_resumed_run_ends_in_the_same_bits(options: Options, after: int) -> None:
    whole, resumed = Sums(), Sums()
    tuning.tune(whole, options, patience=4)
    other = dataclasses.replace(options, run_dir=options.run_dir / "killed")
    train_until_killed(Sums(), other, after)
    tuning.tune(resumed, dataclasses.replace(other, resume=True), patience=4)
    assert resumed.asked == 12 - after
    assert all(map(torch.equal, weights_of(whole), weights_of(resumed)))


def test_a_run_that_never_gives_a_number_says_what_to_do(options: Options) -> None:
    with pytest.raises(InvalidValue, match="Lower --learning-rate"):
        tuning.tune(Sums([math.nan] * 13), options, None)


class Processes:
    """Stands for the second of two."""

    num_processes, process_index, is_main_process = 2, 1, False


def test_each_process_draws_its_own_batches_and_keeps_its_own_state(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuning.options_of_process(options) == options
    monkeypatch.setattr(tuning, "PartialState", Processes)
    second = tuning.options_of_process(options)
    assert second.seed != options.seed
    assert second.run_dir.parent == options.run_dir
    with pytest.raises(InvalidValue, match="Give --steps"):
        tuning.options_of_process(dataclasses.replace(options, steps=None, minutes=2.0))


class Doubling:
    """Stands for two processes with the same gradient; ``reduce`` is seen to be used."""

    num_processes = 2

    @staticmethod
    def reduce(tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        assert reduction == "mean"
        return tensor * 2


def test_gradients_are_shared_before_a_step_uses_them() -> None:
    layer = nn.Linear(2, 1)
    tuning.share_gradients(layer.parameters(), Doubling)
    layer(torch.ones(1, 2)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 2.0]]
