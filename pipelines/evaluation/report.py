"""A card to read and to publish: Markdown, one HTML file, and a section for a model card.

Whatever models and visitors wrote is escaped. The HTML file holds all its pictures, has no
scripts and asks for nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.evaluation import contact_sheet, link, plots
from pipelines.evaluation.card import Card, card
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.setup import setup_of
from pipelines.evaluation.tables import (
    Table,
    comparison_table,
    cost_table,
    differing_table,
    figure,
    score_table,
)
from pipelines.settings import Limits
from pipelines.sharing import documents
from pipelines.sharing.documents import (
    Measured,
    escaped,
    html_table,
    image,
    markdown_table,
)

if TYPE_CHECKING:
    from PIL import Image

HOW_TO_READ = "Intervals are of 95%. A value with (!) has too few samples to be compared."
HOW_TO_READ_DIFFERENCES = (
    "Differences are against the first model, on the same samples: paired bootstrap and "
    "approximate randomisation, the latter's p-values with Holm's correction over all rows. "
    "Shown means below 0.05 after it; anything else is no difference shown, which is not the "
    "same as none."
)
_TITLES = {"write": "Writing", "describe": "Describing", "paint": "Painting"}
_SHEETS = {
    "describe": "The pictures, in the order of the rows.",
    "paint": "What was painted: a row for each sample and a column for each model, in the order "
    "of the table.",
}


def markdown(found: Card, figures: Iterable[str] = ()) -> str:
    """The card as Markdown: verdict, tables, and what is needed to run it again.

    Args:
        figures: names of ``plots.drawn`` and ``contact_sheet.FILE`` that lie as files beside it;
            they are shown.
    """
    names = list(figures)
    parts = [
        f"# {escaped(_heading(found))}",
        *(escaped(line) for line in found["verdict"].splitlines()),
        "## Scores",
        markdown_table(*score_table(found)),
        HOW_TO_READ,
        *(f"![{plots.TITLES[name]}]({name})" for name in names if name != contact_sheet.FILE),
        *_markdown_differences(found),
        "## Cost",
        markdown_table(*cost_table(found)),
        *_markdown_samples(found, contact_sheet.FILE in names),
        "## How it was made",
        *(f"- {escaped(line)}" for line in _made(found)),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def pasted(found: Card) -> str:
    """What a README needs of the card: scores with intervals, what they show, and of what."""
    # In a code span nothing but its own end means anything.
    signatures = ", ".join(f"`{text.replace('`', chr(39))}`" for text in _signatures(found))
    of = f"{_heading(found)} (sha256 {found['data']['sha256'][:16]}), {_asked(found)}"
    parts = [
        markdown_table(*score_table(found)),
        *(escaped(line) for line in found["verdict"].splitlines()),
        f"{escaped(of)}; in brackets 95% intervals. Signatures: {signatures}.",
        *(escaped(note) for note in found["notes"]),
    ]
    return "\n\n".join(parts) + "\n"


def html_report(result: EvaluationResult, figures: Mapping[str, bytes] | None = None) -> str:
    """One self-contained HTML file of the evaluation.

    Args:
        figures: what ``plots.drawn`` has made of it; drawn here where it is not given.
    """
    found = card(result)
    shown = plots.drawn(found) if figures is None else figures
    body = [
        f"<h1>{html.escape(_heading(found))}</h1>",
        f'<p class="verdict">{html.escape(found["verdict"])}</p>',
        _html_table(score_table(found)),
        _small(HOW_TO_READ),
        *(image(png, plots.TITLES[name]) for name, png in shown.items()),
        *_html_differences(found),
        "<h2>Cost</h2>",
        _html_table(cost_table(found)),
        _html_samples(found, result),
        "<h2>How it was made</h2>",
        "<ul>",
        *(f"<li><code>{html.escape(line)}</code></li>" for line in _made(found)),
        "</ul>",
    ]
    return documents.page(_heading(found), body)


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
            f"{found['metrics'][metric]['label']}, 95% interval {figure(score['low'])} to "
            f"{figure(score['high'])}, n = {score['samples']}{_warned(score)}",
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
    return f"{_TITLES[found['task']]}: {who} on {samples} samples of {name}"


def _made(found: Card) -> list[str]:
    """What an other needs to make the same evaluation, and the signatures of its scores."""
    return [
        f"data {found['data']['name']}, sha256 {found['data']['sha256']}",
        f"{len(found['samples'])} samples, {_asked(found)}",
        *(_model_line(model) for model in found["models"]),
        f"device {', '.join(found['device'].values())}",
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        *_signatures(found),
        *found["notes"],
        *_again(found),
    ]


def _again(found: Card) -> list[str]:
    """How to open it on the page, where a link can hold it, and how to run it again."""
    lines = ["to run it again: python -m pipelines.model_comparison replay card.json"]
    try:
        address = f"?{link.PARAMETER}={link.encode(setup_of(found, Limits()))}"
    except StudioError:  # on a file of one's own, say
        return lines
    return [f"to open it, add to the page's address: {address}", *lines]


def _asked(found: Card) -> str:
    request = found["request"]
    settings = (f"{name} {value}" for name, value in request["settings"].items())
    return ", ".join([f"seed {request['seed']}", *settings])


def _signatures(found: Card) -> list[str]:
    """Those of all scores, each once."""
    scores = (score for model in found["models"] for score in model["scores"].values())
    return list(dict.fromkeys(score["signature"] for score in scores))


def _model_line(model: dict[str, Any]) -> str:
    adapters = [f"{a['reference']}@{a['commit']}:{a['weight']:g}" for a in model["adapters"]]
    return f"{model['name']}: {' + '.join([model['reference'] + '@' + model['commit'], *adapters])}"


def _markdown_differences(found: Card) -> list[str]:
    """The tests; a model alone has none."""
    if not found["comparisons"]:
        return []
    table = markdown_table(*comparison_table(found))
    return ["## Differences", table, HOW_TO_READ_DIFFERENCES]


def _markdown_samples(found: Card, has_sheet: bool) -> list[str]:
    """The samples on which the models are farthest apart, in words; their pictures are one file."""
    headers, rows = differing_table(found)
    if not rows:
        return []
    by = f"By {escaped(found['differing']['by'])}, whose values are in brackets."
    parts = ["## Samples that differ most", by, markdown_table(headers, rows)]
    if has_sheet:
        parts += [f"![{contact_sheet.TITLE}]({contact_sheet.FILE})", _SHEETS[found["task"]]]
    return parts


def _html_differences(found: Card) -> list[str]:
    if not found["comparisons"]:
        return []
    table = _html_table(comparison_table(found))
    return ["<h2>Differences</h2>", table, _small(HOW_TO_READ_DIFFERENCES)]


def _small(text: str) -> str:
    return f'<p class="small">{html.escape(text)}</p>'


def _html_table(table: Table) -> str:
    headers, rows = table
    return html_table(headers, [list(map(html.escape, row)) for row in rows])


def _html_samples(found: Card, result: EvaluationResult) -> str:
    """The samples on which the models are farthest apart, a column for each model."""
    if not result.differing:
        return ""
    names = [model["name"] for model in found["models"]]
    rows = []
    for differing, told in zip(result.differing, found["differing"]["samples"], strict=True):
        sample = differing.sample
        is_of_pictures = result.request.task == "describe"
        shown = _shown(contact_sheet.of_sample(differing)) if is_of_pictures else ""
        cells = [f"{shown}<br>{html.escape(sample.text)}"]
        for model, value in zip(result.models, told["values"], strict=True):
            output = model.output_of(differing.place)
            looks = _shown(contact_sheet.of_model(differing, model)) if output.picture else ""
            told_value = f'<span class="small">{figure(value)}</span>'
            cells.append(f"{looks}<br>{html.escape(output.text)}<br>{told_value}")
        rows.append(cells)
    by = _small(f"By {result.differing_by}.")
    return f"<h2>Samples that differ most</h2>{by}{html_table(['sample', *names], rows)}"


def _shown(picture: Image.Image) -> str:
    return image(contact_sheet.as_png(picture), "")
