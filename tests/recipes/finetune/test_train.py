"""A fine-tune from top to bottom: what its curves end with is what its files are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.events import Progress
from pipelines.recipes.finetune import train
from pipelines.recipes.finetune.captioner import Captioner
from pipelines.recipes.finetune.painter import Painter
from pipelines.recipes.finetune.train import finetune
from pipelines.recipes.finetune.writer import Writer
from tests.recipes.finetune.conftest import PlanFor

NAMES = {
    "writer": {"held_out_loss", "held_out_bits_per_byte"},
    "painter": {"held_out_loss", "held_out_fid", "held_out_kid"},
    "captioner": {"held_out_loss", "held_out_bleu"},
}


@pytest.mark.usefixtures("tiny_extractor")
@pytest.mark.parametrize(
    ("mode", "rank"), [("writer", None), ("painter", 4), ("painter", None), ("captioner", 4)]
)
def test_the_last_points_of_the_curves_are_the_scores_of_the_saved_files(
    mode: str,
    rank: int | None,
    tale: Path,
    imagefolder: Path,
    plan_for: PlanFor,
) -> None:
    data = tale if mode == "writer" else imagefolder
    plan = plan_for(mode, data, rank=rank, validation=0.4)
    finetune(plan)
    log = (plan.options.output / "training_log.jsonl").read_text().splitlines()
    assert (plan.options.run_dir / "log.jsonl").read_text().splitlines() == log
    *curve, last = [line for line in map(json.loads, log) if NAMES[mode] <= line.keys()]
    lesson: Any
    if mode == "writer":
        lesson = Writer(plan)
    else:
        lesson = (Painter if mode == "painter" else Captioner)(plan, data)
    again = lesson.glance(lesson.open_tuned(lesson.open_base(), plan.options.output))
    assert again.keys() == NAMES[mode]
    assert again == pytest.approx({name: last[name] for name in again}, abs=1e-5)
    assert last["step"] == 6
    steps = [line["step"] for line in curve]
    assert steps == list(range(7)), "the base, and the moving average after every step"
    base = lesson.glance(lesson.open_base())
    assert base == pytest.approx({name: curve[0][name] for name in base}, rel=1e-2)


@pytest.mark.usefixtures("tiny_extractor")
@pytest.mark.parametrize("mode", ["writer", "painter", "captioner"])
def test_each_stage_says_how_far_it_is(
    mode: str,
    tale: Path,
    imagefolder: Path,
    plan_for: PlanFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Progress] = []
    monkeypatch.setattr(train, "ProgressFile", lambda folder: told.append)
    finetune(plan_for(mode, tale if mode == "writer" else imagefolder, validation=0.4, steps=3))
    stages = list(dict.fromkeys(progress.message.split(" · ")[0] for progress in told))
    base, tuned = f"Measuring tiny-{mode}", "Measuring run-out"
    assert stages == [
        f"Loading tiny-{mode} and the data", "Measuring on held-out data", "Training", "Saving",
        base, tuned, "Writing the card",
    ]  # fmt: skip
    steps = [each.message for each in told if each.message.startswith("Training")]
    assert steps == [f"Training · step {step}" for step in range(3)]
    measured = [each for each in told if each.message in (base, tuned)]
    fractions = [each.fraction for each in measured if each.fraction is not None]
    assert len(fractions) == len(measured)
    assert fractions == sorted(set(fractions)), "more was done than was announced"
    assert fractions[-1] == 1, "less was done than was announced"
    assert measured[-1].seconds_left == 0
