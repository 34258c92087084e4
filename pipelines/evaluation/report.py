"""An evaluation to read and to publish: Markdown, one HTML file, sections for model cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation import findings, link, plots, tables
from pipelines.evaluation.card import Card, card
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.setup import setup_of
from pipelines.evaluation.tables import figure
from pipelines.metrics.interval import in_words
from pipelines.settings import Limits
from pipelines.sharing import documents
from pipelines.sharing.documents import Cell, Note, Part, Picture, Section, Table, escaped
from pipelines.sharing.links import address
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS

HOW_TO_READ = (
    "Intervals are of 95%, by the bootstrap-t, or by Student's t of a jackknife or Wilson's method "
    "where signatures say so; fewer than 8 samples have none. A value with (!) must not be "
    "compared; the notes say why."
)
HOW_TO_READ_DIFFERENCES = (
    "Differences are against the first model, on the same samples. Both tests, a studentised "
    "bootstrap and approximate randomisation, have to show one: shown means that the larger "
    "p-value is below 0.05 after Holm's correction over all rows; anything else is no difference "
    "shown, which is not the same as none. "
) + findings.RULE
_SHEETS = {
    "captions": "The pictures, in the order of the rows.",
    "pictures": "What was painted: a row for each sample and a column for each model, in the order "
    "of the table.",
}


def write(result: EvaluationResult, made: Card, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``report.md``, ``report.html``, the figures and a sheet of the samples
    that differ most as PNG, and for each model a ``model-index`` section as YAML; their paths.

    Args:
        made: the result's card.
    """
    figures, pictures = plots.drawn(made), plots.sheet(result)
    indexes = {
        documents.index_name(number, model.name): model_index(made, model.name)
        for number, model in enumerate(result.models, start=1)
    }
    texts = {
        "report.md": markdown(made, [*figures, *pictures]),
        documents.REPORT: html_report(result, figures),
    }
    return documents.publish(folder, made, {**texts, **indexes, **figures, **pictures})


def markdown(made: Card, figures: Iterable[str] = ()) -> str:
    """The card as Markdown: conclusion, tables, and what is needed to run it again.

    Args:
        figures: names of ``plots.drawn`` and ``plots.SHEET`` that lie as files beside it;
            they are shown.
    """
    names = set(figures)
    by = Note(f"By {made['differing']['by']}, whose values are in brackets.")
    samples: list[Part] = [by, Table(*tables.differing_table(made))]
    if plots.SHEET in names:
        samples.append(Picture(plots.SHEET, b"", "Samples that differ most"))
        samples.append(_SHEETS[TASKS[made["task"]].makes])
    shown = {name: b"" for name in plots.TITLES if name in names}
    return documents.as_markdown(_document(made, shown, samples))


def html_report(result: EvaluationResult, figures: Mapping[str, bytes] | None = None) -> str:
    """One self-contained HTML file of the evaluation.

    Args:
        figures: what ``plots.drawn`` has made of it; drawn here where it is not given.
    """
    made = card(result)
    shown = plots.drawn(made) if figures is None else figures
    headers = ["sample", *(model["name"] for model in made["models"])]
    pictures = [[documents.as_png(plots.small(file)) for file, _ in row]
                for row in plots.files_of(result)]  # fmt: skip
    is_described = TASKS[made["task"]].takes == "picture"
    rows = []
    for sample, row in zip(made["differing"]["samples"], pictures, strict=True):
        given, painted = (row[0], []) if is_described else (None, row)
        outputs = zip_longest(sample["outputs"], sample["values"], painted)
        cells = [Cell(output["text"], figure(value), png) for output, value, png in outputs]
        rows.append([Cell(sample["text"], png=given), *cells])
    by = Note(f"By {made['differing']['by']}.")
    return documents.as_html(_document(made, shown, [by, Table(headers, rows)]))


def _document(
    made: Card, figures: Mapping[str, bytes], samples: Sequence[Part]
) -> documents.Document:
    """What both forms say: ``samples`` shows those on which the models are farthest apart."""
    pictures = [Picture(name, png, plots.TITLES[name]) for name, png in figures.items()]
    sections = [Section("Scores", [Table(*tables.score_table(made)), Note(HOW_TO_READ), *pictures])]
    if made["comparisons"]:
        tests: list[Part] = [Table(*tables.comparison_table(made)), Note(HOW_TO_READ_DIFFERENCES)]
        sections.append(Section("Differences", tests))
    sections.append(Section("Cost", [Table(*tables.cost_table(made))]))
    if made["differing"]["samples"]:
        sections.append(Section("Samples that differ most", samples))
    sections.append(Section("How it was made", [documents.Items(_made(made))]))
    return documents.Document(_heading(made), made["verdict"], sections)


def pasted(made: Card) -> str:
    """What a README needs of the card: scores with intervals, what they show, and of what."""
    # In a code span nothing but its own end means anything.
    signatures = ", ".join(f"`{text.replace('`', chr(39))}`" for text in _signatures(made))
    of = f"{_heading(made)} (sha256 {made['data']['sha256'][:16]}), {_asked(made)}"
    parts = [
        documents.markdown_table(Table(*tables.score_table(made))),
        *(escaped(line) for line in made["verdict"].splitlines()),
        f"{escaped(of)}; in brackets 95% intervals. Signatures: {signatures}.",
        *(escaped(note) for note in made["notes"]),
    ]
    return "\n\n".join(parts) + "\n"


def model_index(made: Card, model: str) -> str:
    """The ``model-index`` section of a model card, as YAML, for one of the card's models.

    Raises:
        InvalidValue: the card has no model of that name.
    """
    scored = {each["name"]: each for each in made["models"]}
    if model not in scored:
        raise InvalidValue(
            f"The card has no model {abbreviated(model)}; it has {', '.join(scored)}."
        )
    data, _, commit = made["data"]["name"].partition("@")
    measured = [
        documents.Measured(
            metric,
            f"{made['metrics'][metric]['label']}, 95% interval "
            f"{in_words(score['low'], score['high'])}, n = {score['samples']}{_warned(score)}",
            score["value"],
            score["signature"],
        )
        for metric, score in scored[model]["scores"].items()
        if score["value"] is not None
    ]
    of = data, commit or made["data"]["sha256"]
    return documents.model_index(model, made["task"], of, measured)


def _warned(score: dict[str, Any]) -> str:
    """A score that must not be ranked says so wherever it goes."""
    return "" if score["warning"] is None else f". Not to be ranked: {score['warning']}"


def _heading(made: Card) -> str:
    samples, name, models = len(made["samples"]), made["data"]["name"], made["models"]
    who = "1 model" if len(models) == 1 else f"{len(models)} models"
    return f"{TASKS[made['task']].title}: {who} on {samples} samples of {name}"


def _made(made: Card) -> list[str]:
    """What another needs to make the same evaluation, and the signatures of its scores."""
    # An evaluation on a file of one's own has no link.
    opened_by, _ = address(link.PARAMETER, lambda: link.encode(setup_of(made, Limits())))
    return [
        f"data {made['data']['name']}, sha256 {made['data']['sha256']}",
        f"{len(made['samples'])} samples, {_asked(made)}",
        *(f"{model['name']}: {with_commits(model)}" for model in made["models"]),
        *_signatures(made),
        *made["notes"],
        *documents.how_to_repeat(made, opened_by),
    ]


def _asked(made: Card) -> str:
    request, own = made["request"], "each model's own"
    settings = (
        f"{name} {own if value is None else value}" for name, value in request["settings"].items()
    )
    return ", ".join([f"seed {request['seed']}", *settings])


def _signatures(made: Card) -> list[str]:
    """Those of all scores, each once."""
    scores = (score for model in made["models"] for score in model["scores"].values())
    return list(dict.fromkeys(score["signature"] for score in scores))
