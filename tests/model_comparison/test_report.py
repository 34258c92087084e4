"""What is said of a comparison: only what one run each can show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.model_comparison.pipeline import (
    CompareRequest,
    ComparisonResult,
    Measures,
    Outcome,
)
from pipelines.model_comparison.report import measures_table, verdict
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image.pipeline import PaintRequest

MIB = 1024**2
MEASURES = Measures(
    load_seconds=1.5,
    was_in_memory=False,
    first_output_seconds=0.02,
    seconds=2.0,
    rate=10.0,
    rate_unit="steps/s",
    model_bytes=30 * MIB,
    peak_bytes=800 * MIB,
    increase_bytes=4 * MIB,
    seed=7,
)
PAINT = PaintRequest("m", "a cat", seed=7)
TEXT = TextRequest("m", "Once", seed=7)


def said(
    task: Any, left: Any, right: Any, b: Measures, a: Measures = MEASURES, same: bool = False
) -> str:
    none: Any = None
    request = CompareRequest(task, left, right)
    return verdict(ComparisonResult(request, Outcome(none, a), Outcome(none, b), same, {}))


def test_painters_are_compared_by_time() -> None:
    b = replace(MEASURES, seconds=5.0, rate=99.0)
    assert said("paint", PAINT, replace(PAINT, steps=50), b) == (
        "A and B differ in steps. In one run each, A was 2.5 times as fast; "
        "the outputs are different."
    )


def test_writers_are_compared_by_rate() -> None:
    b = replace(MEASURES, seconds=9.0, rate=14.0)
    other = replace(TEXT, model="n", temperature=0.1)
    text = said("write", TEXT, other, b)
    assert "differ in model and temperature" in text
    assert "B wrote 1.4 times as many tokens per second" in text


def test_what_one_run_cannot_tell_is_not_told() -> None:
    alike, short = replace(MEASURES, seconds=2.1), replace(MEASURES, seconds=0.4)
    assert "equally fast" in said("paint", PAINT, PAINT, alike)
    assert "too soon" in said("paint", PAINT, PAINT, replace(short, seconds=0.1), short)
    assert "times as fast" in said("paint", PAINT, PAINT, short), "one of both took long enough"
    assert "too little" in said("write", TEXT, TEXT, replace(MEASURES, rate=0.0))


def test_identical_outputs_are_said() -> None:
    text = said("paint", PAINT, PAINT, MEASURES, same=True)
    assert text.startswith("A and B are the same.")
    assert text.endswith("the outputs are identical.")


def test_the_table_has_a_column_for_each_side_that_ended() -> None:
    request = CompareRequest("paint", PAINT, PAINT)
    half = measures_table(request, {"left": MEASURES})
    whole = measures_table(
        request, {"left": MEASURES, "right": replace(MEASURES, was_in_memory=True)}
    )

    assert "| Measure | A |" in half.splitlines()
    assert "| Measure | A | B |" in whole.splitlines()
    assert "| Load time | 1.50 s | 1.50 s (earlier) |" in whole.splitlines()
    assert "| Peak memory | 800 MB (+4.0 MB) | 800 MB (+4.0 MB) |" in whole.splitlines()
    assert "| First step | 20 ms | 20 ms |" in whole.splitlines()


@pytest.mark.parametrize(("task", "name"), [("write", "First token"), ("describe", "First token")])
def test_the_first_output_has_its_task_s_name(task: Any, name: str) -> None:
    assert name in measures_table(CompareRequest(task, TEXT, TEXT), {"left": MEASURES})
