"""The verdict on a comparison, its table of measures, and its report.

None says which output is better. Verdict and table are made of numbers and of names of settings,
so they may be shown as Markdown; the report's templates escape all other texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from pipelines.runtime.receipts import fields_of, hash_text
from pipelines.sharing import documents
from pipelines.sharing.cards import Card
from pipelines.sharing.documents import Section
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS, TaskRecord
from pipelines.text_to_image.pipeline import PaintResult

NOTICEABLE_RATIO = 1.1
"""Speeds nearer to each other than this are called about equal: one run each cannot show more."""

SHORTEST_SECONDS = 0.5
"""Where both runs took less, whatever else the machine did may decide which was faster."""

_ONE_RUN = "one run on one input, which measures speed and says nothing of quality"
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


def document(result: ComparisonResult, made: Card) -> documents.Document:
    """The comparison as it is read: verdict, outputs, measures, and how to make it again."""
    headers, rows = measures_rows(
        result.request, {side: getattr(result, side).measures for side in SIDES}
    )
    measures: list[documents.Part] = [documents.Table(headers, rows), documents.Note(HOW_TO_READ)]
    return documents.Document(
        f"{TASKS[made['task']].title}: {' and '.join(_named(made, side) for side in SIDES)}",
        made["verdict"],
        [
            Section("Input", _input(result.request)),
            *(Section(_named(made, side), _output(result, side)) for side in SIDES),
            Section("Measures", measures),
            Section("How it was made", [documents.Items(_made(made))]),
        ],
    )


def write(result: ComparisonResult, made: Card, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``card.md``, ``report.html``, the pictures as PNG, and for each side
    a ``model-index`` section as YAML; their paths.

    Args:
        made: the result's card.
    """
    indexes = {f"model-index-{NAMES[side].lower()}.yaml": index_of(made, side) for side in SIDES}
    texts = documents.texts_of(document(result, made), "card.md")
    return documents.publish(folder, made, {**texts, **indexes})


def index_of(made: Card, side: Side) -> str:
    """The ``model-index`` section of one side: what it took, for a comparison gives no score."""
    receipt, measures = made["receipts"][side], made["measures"][side]
    where = f"{receipt['device']['kind']}, {receipt['device']['dtype']}"
    signature = (
        f"{where}|machine:{receipt['device']['machine']}|torch:{receipt['versions']['torch']}"
        f"|seed:{receipt['request']['seed']}|runs:1"
    )
    found = {
        "rate": (f"Rate in {measures['rate_unit']}", measures["rate"]),
        "seconds": ("Seconds in all", measures["seconds"]),
        "first_output_seconds": ("Seconds to the first output", measures["first_output_seconds"]),
        "load_seconds": ("Seconds to load", measures["load_seconds"]),
        "peak_bytes": ("Peak memory of the process in bytes", measures["peak_bytes"]),
    }
    return documents.model_index(
        _model(made, side),
        made["task"],
        ("one input", _input_hash(made)),
        [
            documents.Measured(metric, f"{label} ({where}; {_ONE_RUN})", value, signature)
            for metric, (label, value) in found.items()
        ],
    )


def _input_hash(made: Card) -> str:
    asked = made["request"]["left"]
    return str(asked.get("picture_sha256") or hash_text(asked["prompt"]))


def _model(made: Card, side: Side) -> str:
    return str(made["request"][side]["model"])


def _named(made: Card, side: Side) -> str:
    return f"{NAMES[side]} ({_model(made, side)})"


def _input(request: CompareRequest) -> list[documents.Part]:
    given: Any = request.left
    if TASKS[request.task].takes == "picture":
        return [
            documents.Picture(
                "input.png", documents.as_png(given.picture), "The picture that was described"
            )
        ]
    return [documents.Quote(given.prompt)]


def _output(result: ComparisonResult, side: Side) -> list[documents.Part]:
    outcome = getattr(result, side).result
    if isinstance(outcome, PaintResult):
        name = NAMES[side]
        return [
            documents.Picture(
                f"{name.lower()}-{number}.png",
                documents.as_png(picture),
                f"Picture {number} of {name}",
            )
            for number, picture in enumerate(outcome.pictures, start=1)
        ]
    if TASKS[result.request.task].makes == "text":
        return [documents.Quote(outcome.prompt + outcome.text)]
    rows = [[each.text, f"{100 * each.probability:.1f} %"] for each in outcome.captions]
    return [documents.Table(["caption", "probability"], rows)]


def _made(made: Card) -> list[str]:
    """What another needs to make the same comparison."""
    lines = []
    for side in SIDES:
        receipt = made["receipts"][side]
        asked = {k: v for k, v in made["request"][side].items() if k not in ("model", "prompt")}
        lines.append(f"{NAMES[side]}: {with_commits(receipt['model'])}")
        lines.append(f"{NAMES[side]}: {', '.join(f'{k} {v}' for k, v in asked.items())}")
        lines.append(f"{NAMES[side]}: output sha256 {receipt['output_sha256']}")
    return lines + documents.how_to_repeat(made, made["link"])
