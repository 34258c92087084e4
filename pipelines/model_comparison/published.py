"""A comparison to keep and to publish: card, Markdown, one HTML file, pictures, index sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.model_comparison.card import Card, card
from pipelines.model_comparison.pipeline import (
    NAMES,
    SIDES,
    CompareRequest,
    ComparisonResult,
    Side,
)
from pipelines.model_comparison.report import HOW_TO_READ, measures_rows
from pipelines.runtime.receipts import hash_text
from pipelines.sharing.documents import (
    CARD,
    REPORT,
    Document,
    Items,
    Measured,
    Note,
    Part,
    Picture,
    Quote,
    Section,
    Table,
    as_html,
    as_markdown,
    as_png,
    model_index,
    publish,
)
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS
from pipelines.text_to_image.pipeline import PaintResult

MARKDOWN = "card.md"
_ONE_RUN = "one run on one input, which measures speed and says nothing of quality"


def document(result: ComparisonResult) -> Document:
    """The comparison as it is read: verdict, outputs, measures, and how to make it again."""
    made = card(result)
    headers, rows = measures_rows(
        result.request, {side: getattr(result, side).measures for side in SIDES}
    )
    return Document(
        f"{TASKS[made['task']].title}: {' and '.join(_named(made, side) for side in SIDES)}",
        made["verdict"],
        [
            Section("Input", _input(result.request)),
            *(Section(_named(made, side), _output(result, side)) for side in SIDES),
            Section("Measures", [Table(headers, rows), Note(HOW_TO_READ)]),
            Section("How it was made", [Items(_made(made))]),
        ],
    )


def write(result: ComparisonResult, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``card.md``, ``report.html``, the pictures as PNG, and for each side
    a ``model-index`` section as YAML; their paths."""
    made, told = card(result), document(result)
    indexes = {f"model-index-{NAMES[side].lower()}.yaml": index_of(made, side) for side in SIDES}
    texts = {MARKDOWN: as_markdown(told), REPORT: as_html(told)}
    return publish(folder, made, {**texts, **indexes, **told.pictures})


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
    return model_index(
        _model(made, side),
        made["task"],
        ("one input", _input_hash(made)),
        [
            Measured(metric, f"{label} ({where}; {_ONE_RUN})", value, signature)
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


def _input(request: CompareRequest) -> list[Part]:
    given: Any = request.left
    if TASKS[request.task].takes == "picture":
        return [Picture("input.png", as_png(given.picture), "The picture that was described")]
    return [Quote(given.prompt)]


def _output(result: ComparisonResult, side: Side) -> list[Part]:
    outcome = getattr(result, side).result
    if isinstance(outcome, PaintResult):
        name = NAMES[side]
        return [
            Picture(f"{name.lower()}-{number}.png", as_png(picture), f"Picture {number} of {name}")
            for number, picture in enumerate(outcome.pictures, start=1)
        ]
    if TASKS[result.request.task].makes == "text":
        return [Quote(outcome.prompt + outcome.text)]
    rows = [[each.text, f"{100 * each.probability:.1f} %"] for each in outcome.captions]
    return [Table(["caption", "probability"], rows)]


def _made(made: Card) -> list[str]:
    """What another needs to make the same comparison."""
    lines = []
    for side in SIDES:
        receipt = made["receipts"][side]
        asked = {k: v for k, v in made["request"][side].items() if k not in ("model", "prompt")}
        lines.append(f"{NAMES[side]}: {with_commits(receipt['model'])}")
        lines.append(f"{NAMES[side]}: {', '.join(f'{k} {v}' for k, v in asked.items())}")
        lines.append(f"{NAMES[side]}: output sha256 {receipt['output_sha256']}")
    lines.append(f"device {', '.join(made['device'].values())}")
    lines.append(", ".join(f"{name} {version}" for name, version in made["versions"].items()))
    if made["link"] is not None:
        lines.append(f"to open it, add to the page's address: {made['link']}")
    return [*lines, f"to run it again: python -m pipelines.model_comparison replay {CARD}"]
