"""An evaluation to read and to publish: Markdown, one HTML file, sections for model cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pipelines.datasets.samples import plain_name
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation import contact_sheet, findings, link, plots
from pipelines.evaluation.card import Card, card
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.setup import setup_of
from pipelines.evaluation.tables import (
    comparison_table,
    cost_table,
    differing_table,
    figure,
    score_table,
)
from pipelines.metrics.interval import in_words
from pipelines.settings import Limits
from pipelines.sharing import documents
from pipelines.sharing.documents import (
    REPORT,
    Cell,
    Document,
    Items,
    Measured,
    Note,
    Part,
    Picture,
    Section,
    Table,
    as_html,
    as_markdown,
    as_png,
    escaped,
    markdown_table,
    publish,
)
from pipelines.sharing.links import address
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS

MARKDOWN = "report.md"
HOW_TO_READ = (
    "Intervals are of 95%, by the bootstrap-t, or by Student's t of a jackknife or Wilson's method "
    "where signatures say so; fewer than 8 samples have none. A value with (!) has too few samples "
    "to be compared."
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


def write(result: EvaluationResult, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``report.md``, ``report.html``, the figures and a sheet of the samples
    that differ most as PNG, and for each model a ``model-index`` section as YAML; their paths."""
    found = card(result)
    figures, pictures = plots.drawn(found), contact_sheet.drawn(result)
    indexes = {
        f"model-index-{number}-{plain_name(model.name)}.yaml": model_index(found, model.name)
        for number, model in enumerate(result.models, start=1)
    }
    texts = {
        MARKDOWN: markdown(found, [*figures, *pictures]),
        REPORT: html_report(result, figures),
    }
    return publish(folder, found, {**texts, **indexes, **figures, **pictures})


def markdown(found: Card, figures: Iterable[str] = ()) -> str:
    """The card as Markdown: conclusion, tables, and what is needed to run it again.

    Args:
        figures: names of ``plots.drawn`` and ``contact_sheet.FILE`` that lie as files beside it;
            they are shown.
    """
    names = set(figures)
    by = Note(f"By {found['differing']['by']}, whose values are in brackets.")
    samples: list[Part] = [by, Table(*differing_table(found))]
    if contact_sheet.FILE in names:
        samples.append(Picture(contact_sheet.FILE, b"", contact_sheet.TITLE))
        samples.append(_SHEETS[TASKS[found["task"]].makes])
    shown = {name: b"" for name in plots.TITLES if name in names}
    return as_markdown(_document(found, shown, samples))


def html_report(result: EvaluationResult, figures: Mapping[str, bytes] | None = None) -> str:
    """One self-contained HTML file of the evaluation.

    Args:
        figures: what ``plots.drawn`` has made of it; drawn here where it is not given.
    """
    found = card(result)
    shown = plots.drawn(found) if figures is None else figures
    headers = ["sample", *(model["name"] for model in found["models"])]
    pictures = [[as_png(contact_sheet.small(file)) for file, _ in row]
                for row in contact_sheet.rows(result)]  # fmt: skip
    is_described = TASKS[found["task"]].takes == "picture"
    rows = []
    for sample, row in zip(found["differing"]["samples"], pictures, strict=True):
        given, painted = (row[0], []) if is_described else (None, row)
        made = zip_longest(sample["outputs"], sample["values"], painted)
        cells = [Cell(output["text"], figure(value), png) for output, value, png in made]
        rows.append([Cell(sample["text"], png=given), *cells])
    by = Note(f"By {found['differing']['by']}.")
    return as_html(_document(found, shown, [by, Table(headers, rows)]))


def _document(found: Card, figures: Mapping[str, bytes], samples: Sequence[Part]) -> Document:
    """What both forms say: ``samples`` shows those on which the models are farthest apart."""
    pictures = [Picture(name, png, plots.TITLES[name]) for name, png in figures.items()]
    sections = [Section("Scores", [Table(*score_table(found)), Note(HOW_TO_READ), *pictures])]
    if found["comparisons"]:
        tests: list[Part] = [Table(*comparison_table(found)), Note(HOW_TO_READ_DIFFERENCES)]
        sections.append(Section("Differences", tests))
    sections.append(Section("Cost", [Table(*cost_table(found))]))
    if found["differing"]["samples"]:
        sections.append(Section("Samples that differ most", samples))
    sections.append(Section("How it was made", [Items(_made(found))]))
    return Document(_heading(found), found["verdict"], sections)


def pasted(found: Card) -> str:
    """What a README needs of the card: scores with intervals, what they show, and of what."""
    # In a code span nothing but its own end means anything.
    signatures = ", ".join(f"`{text.replace('`', chr(39))}`" for text in _signatures(found))
    of = f"{_heading(found)} (sha256 {found['data']['sha256'][:16]}), {_asked(found)}"
    parts = [
        markdown_table(Table(*score_table(found))),
        *(escaped(line) for line in found["verdict"].splitlines()),
        f"{escaped(of)}; in brackets 95% intervals. Signatures: {signatures}.",
        *(escaped(note) for note in found["notes"]),
    ]
    return "\n\n".join(parts) + "\n"


def model_index(found: Card, model: str) -> str:
    """The ``model-index`` section of a model card, as YAML, for one of the card's models.

    Raises:
        InvalidValue: the card has no model of that name.
    """
    scored = {each["name"]: each for each in found["models"]}
    if model not in scored:
        raise InvalidValue(
            f"The card has no model {abbreviated(model)}; it has {', '.join(scored)}."
        )
    data, _, commit = found["data"]["name"].partition("@")
    measured = [
        Measured(
            metric,
            f"{found['metrics'][metric]['label']}, 95% interval "
            f"{in_words(score['low'], score['high'])}, n = {score['samples']}{_warned(score)}",
            score["value"],
            score["signature"],
        )
        for metric, score in scored[model]["scores"].items()
        if score["value"] is not None
    ]
    of = data, commit or found["data"]["sha256"]
    return documents.model_index(model, found["task"], of, measured)


def _warned(score: dict[str, Any]) -> str:
    """A score that must not be ranked says so wherever it goes."""
    return "" if score["warning"] is None else f". Not to be ranked: {score['warning']}"


def _heading(found: Card) -> str:
    samples, name, models = len(found["samples"]), found["data"]["name"], found["models"]
    who = "1 model" if len(models) == 1 else f"{len(models)} models"
    return f"{TASKS[found['task']].title}: {who} on {samples} samples of {name}"


def _made(found: Card) -> list[str]:
    """What an other needs to make the same evaluation, and the signatures of its scores."""
    return [
        f"data {found['data']['name']}, sha256 {found['data']['sha256']}",
        f"{len(found['samples'])} samples, {_asked(found)}",
        *(f"{model['name']}: {with_commits(model)}" for model in found["models"]),
        f"device {', '.join(found['device'].values())}",
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        *_signatures(found),
        *found["notes"],
        *_again(found),
    ]


def _again(found: Card) -> list[str]:
    """How to open it on the page, where a link can hold it, and how to run it again."""
    lines = ["to run it again: python -m pipelines.model_comparison replay card.json"]
    opened_by, _ = address(link.PARAMETER, lambda: link.encode(setup_of(found, Limits())))
    if opened_by is None:  # on a file of one's own, say
        return lines
    return [f"to open it, add to the page's address: {opened_by}", *lines]


def _asked(found: Card) -> str:
    request = found["request"]
    settings = (f"{name} {value}" for name, value in request["settings"].items())
    return ", ".join([f"seed {request['seed']}", *settings])


def _signatures(found: Card) -> list[str]:
    """Those of all scores, each once."""
    scores = (score for model in found["models"] for score in model["scores"].values())
    return list(dict.fromkeys(score["signature"] for score in scores))
