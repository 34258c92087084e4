"""What all trainings share: budget, schedule, state, averaged weights, log."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes import command_line, results, training


def parsed(*arguments: str) -> argparse.Namespace:
    return command_line.parser("A recipe.", "runs", "model", 8, 1e-3).parse_args(arguments)


@pytest.fixture
def options(tmp_path: Path) -> command_line.Options:
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "model")]
    arguments = parsed("--steps", "12", *folders)
    return dataclasses.replace(command_line.options_from(arguments), learning_rate=0.05)


def tiny_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))


class Killed(Exception):
    """Stands for the end of the process."""


def train(options: command_line.Options, killed_in: int | None = None) -> training.Run:
    """Fits a sum of random inputs, with state kept after every step."""
    run = training.Run(options, tiny_model(), save_every_seconds=0.0)
    for rng in run.steps():
        inputs = torch.from_numpy(rng.normal(size=(16, 4))).float()
        run.update((run.model(inputs) - inputs.sum(1, keepdim=True)).square().mean())
        if run.step == killed_in:
            raise Killed
    return run


def test_a_killed_and_resumed_run_ends_in_the_same_bits(options: command_line.Options) -> None:
    """The step in which it was killed had changed the weights; it is done again."""
    whole = train(options)
    other = dataclasses.replace(options, run_dir=options.run_dir.with_name("killed"))
    with pytest.raises(Killed):
        train(other, killed_in=5)
    assert torch.load(other.run_dir / training.STATE_FILE, weights_only=True)["step"] == 5
    resumed = train(dataclasses.replace(other, resume=True))
    assert resumed.step == whole.step == 12
    for first, second in [(whole.model, resumed.model), (whole.averaged, resumed.averaged)]:
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)


def test_resuming_nothing_says_so(options: command_line.Options) -> None:
    with pytest.raises(FileNotFoundError, match="--resume"):
        training.Run(dataclasses.replace(options, resume=True), tiny_model())


def test_the_average_forgets_the_weights_it_began_with(options: command_line.Options) -> None:
    run = train(dataclasses.replace(options, steps=60))
    untrained = tiny_model()
    for start, average, end in zip(
        untrained.parameters(), run.averaged.parameters(), run.model.parameters(), strict=True
    ):
        assert (average - end).norm() < 0.5 * (start - end).norm()


def test_every_log_line_is_json_with_step_and_time(options: command_line.Options) -> None:
    run = training.Run(options, tiny_model())
    run.log(loss=0.1234567)
    run.step = 3
    run.log(loss=torch.tensor(2.0).item(), score=1.0)
    lines = (options.run_dir / training.LOG_FILE).read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["step"] == 0
    assert first["loss"] == 0.12346
    assert first["seconds"] >= 0
    assert second["step"] == 3
    assert second["score"] == 1.0


def test_a_fresh_run_begins_a_fresh_log(options: command_line.Options) -> None:
    training.Run(options, tiny_model()).log(loss=1.0)
    training.Run(options, tiny_model())
    assert not (options.run_dir / training.LOG_FILE).exists()


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    rates = [training.learning_rate_at(step / 1000, 2.0) for step in range(1001)]
    assert 0 < rates[0] < 0.1
    assert max(rates) == pytest.approx(2.0, abs=1e-4)
    assert rates.index(max(rates)) in (20, 21)
    assert rates[-1] == pytest.approx(0.02)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[21:]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("--steps", "0"), ("--minutes", "-1"), ("--minutes", "nan"), ("--batch-size", "0")],
)
def test_a_budget_that_is_not_positive_is_refused(name: str, value: str) -> None:
    budget = [] if name in ("--steps", "--minutes") else ["--steps", "1"]
    with pytest.raises(SystemExit, match=f"{name} is {float(value):g}|{name} is {value}"):
        command_line.options_from(parsed(*budget, name, value))


@pytest.mark.parametrize("arguments", [(), ("--steps", "5", "--minutes", "1")])
def test_exactly_one_budget_is_needed(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)


def test_a_smoke_run_is_a_few_steps_of_a_small_batch() -> None:
    options = command_line.options_from(parsed("--smoke"))
    assert options.steps is not None
    assert options.steps < 10
    assert options.minutes is None
    assert options.batch_size <= 4


def test_the_learning_rate_begins_low_after_a_long_preparation(
    options: command_line.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the minutes went into data: the first step was one at the full rate."""
    run = training.Run(dataclasses.replace(options, steps=None, minutes=1), tiny_model())
    monkeypatch.setattr(training.Run, "elapsed_seconds", 20.0)
    steps = run.steps()
    next(steps)
    (rate,) = {group["lr"] for group in run.optimizer.param_groups}
    assert rate < 0.01 * options.learning_rate
    monkeypatch.setattr(training.Run, "elapsed_seconds", 40.0)
    next(steps)
    (rate,) = {group["lr"] for group in run.optimizer.param_groups}
    assert rate == pytest.approx(training.learning_rate_at(0.5, options.learning_rate))


def test_minutes_measure_progress_by_the_clock(options: command_line.Options) -> None:
    run = training.Run(dataclasses.replace(options, steps=None, minutes=60.0), tiny_model())
    assert 0 <= run.progress < 0.01
    run = training.Run(dataclasses.replace(options, steps=None, minutes=1e-9), tiny_model())
    assert run.progress == 1.0
    assert list(run.steps()) == []


def test_beginning_with_weights_that_are_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--init-from: there is no directory"):
        command_line.options_from(parsed("--smoke", "--init-from", str(tmp_path / "gone")))


def test_untrained_weights_are_those_of_the_seed(options: command_line.Options) -> None:
    """The autoencoder and the painter once began with other weights in each run by steps."""

    def first_weight(seed: int) -> torch.Tensor:
        torch.rand(3)
        seeded = dataclasses.replace(options, seed=seed)
        model = training.starting_model(seeded, torch.nn.Linear, lambda: torch.nn.Linear(3, 3))
        return model.weight

    assert torch.equal(first_weight(1), first_weight(1))
    assert not torch.equal(first_weight(1), first_weight(2))


def test_the_curves_are_drawn_from_the_log(options: command_line.Options) -> None:
    run = training.Run(options, tiny_model())
    run.log(loss=1.0)
    results.draw_curves(options.run_dir)
    assert not (options.run_dir / "curves.png").exists(), "one point is no curve"
    for _ in run.steps():
        run.log(loss=1 / (1 + run.step), held_out_loss=0.5)
    results.draw_curves(options.run_dir)
    height = Image.open(options.run_dir / "curves.png").height
    run.log(score=0.1)
    run.log(score=0.2)
    options.output.mkdir()
    results.keep_log(options)
    assert Image.open(options.run_dir / "curves.png").height > height
    kept = (options.output / TRAINING_LOG).read_text()
    assert kept == (options.run_dir / training.LOG_FILE).read_text()


def test_a_caption_of_many_lines_is_not_cut_in_a_sample_sheet() -> None:
    """Its last line once ran into the next row of pictures."""
    pictures = [Image.new("RGB", (128, 128), "white")] * 2
    caption = "a small red apple to the left of a big cat face " * 4
    sheet = results.sheet(pictures, 1, [caption, ""])
    row = sheet.height // 2
    ink = np.asarray(sheet.convert("L"))[:row].min(axis=1) < 128
    assert ink[128:].any()
    assert not ink[-3:].any()
    words = np.asarray(sheet.convert("L"))[row:]
    assert words.min() == 255, "nothing of it reaches the next row"
