"""What to say of a comparison: a verdict on what can be measured, and a table.

Never which output is better. All text is made here of numbers and of names of settings,
so it may be shown as Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.device import mebibytes
from pipelines.errors import listed
from pipelines.model_comparison.pipeline import (
    NAMES,
    SIDES,
    CompareRequest,
    ComparisonResult,
    Measures,
    Side,
)
from pipelines.runtime.receipts import fields_of
from pipelines.tasks import TASKS, TaskRecord

NOTICEABLE_RATIO = 1.1
"""Speeds nearer to each other than this are called alike: one run each cannot tell."""

SHORTEST_SECONDS = 0.5
"""Where both runs took less, whatever else the machine did may decide which was faster."""

HOW_TO_READ = (
    "Each side ran alone, after a tiny run to warm up. Peak memory is that of the whole program, "
    "both models included; in brackets, how much more than just before the run."
)


def differing_settings(request: CompareRequest) -> list[str]:
    """The names of what is not the same on both sides, ``model`` among them."""
    left, right = fields_of(request.left), fields_of(request.right)
    return [name for name in left if left[name] != right[name]]


def verdict(result: ComparisonResult) -> str:
    """What was measured, in words: what differs, which was faster, same output or not.

    Writers are compared by their rate, for they end their texts where they like; the
    others by the time they took.
    """
    names = [name.replace("_", " ") for name in differing_settings(result.request)]
    given = f"A and B differ in {listed(names)}" if names else "A and B are the same"
    speed = _faster(TASKS[result.request.task], result.left.measures, result.right.measures)
    outputs = "identical" if result.is_identical else "different"
    return f"{given}. In one run each, {speed}; the outputs are {outputs}."


def _faster(task: TaskRecord, left: Measures, right: Measures) -> str:
    if max(left.seconds, right.seconds) < SHORTEST_SECONDS:
        return "both ended too soon to compare speeds"
    if task.makes == "text":
        speeds, what = (left.rate, right.rate), "wrote {} times as many tokens per second"
    else:
        speeds, what = (1 / left.seconds, 1 / right.seconds), "was {} times as fast"
    slow, fast = sorted(speeds)
    if slow == 0:
        return "too little was written to compare speeds"
    if fast / slow < NOTICEABLE_RATIO:
        return "they were about equally fast"
    return f"{NAMES[SIDES[speeds.index(fast)]]} {what.format(f'{fast / slow:.1f}')}"


def measures_rows(
    request: CompareRequest, measures: Mapping[Side, Measures]
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: a column for each side that has ended."""
    cells = [_cells(TASKS[request.task].first_output, measured) for measured in measures.values()]
    headers = ["Measure", *(NAMES[side] for side in measures)]
    return headers, [[name, *(side[name] for side in cells)] for name in cells[0]]


def measures_table(request: CompareRequest, measures: Mapping[Side, Measures]) -> str:
    """A Markdown table, a column for each side that has ended, and how to read it."""
    headers, rows = measures_rows(request, measures)
    lines = [
        f"| {' | '.join(headers)} |",
        f"| --- |{' ---: |' * len(measures)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join([*lines, "", HOW_TO_READ])


def _cells(first_output: str, measured: Measures) -> dict[str, str]:
    earlier = " (earlier)" if measured.was_in_memory else ""
    peak, increase = mebibytes(measured.peak_bytes), mebibytes(measured.increase_bytes)
    return {
        "Load time": f"{measured.load_seconds:.2f} s{earlier}",
        first_output: f"{measured.first_output_seconds * 1000:.0f} ms",
        "Total": f"{measured.seconds:.2f} s",
        "Rate": f"{measured.rate:.1f} {measured.rate_unit}",
        "Model's size": mebibytes(measured.model_bytes),
        "Peak memory": f"{peak} (+{increase})",
        "Seed": str(measured.seed),
    }
