"""A card to read and to publish: Markdown, one HTML file, and a section for a model card.

Whatever models and visitors wrote is escaped. The HTML file holds all its pictures, has no
scripts and asks for nothing.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.errors import InvalidValue, abbreviated
from pipelines.model_comparison.evaluation import plots
from pipelines.model_comparison.evaluation.card import Card, card
from pipelines.model_comparison.evaluation.result import EvaluationResult
from pipelines.model_comparison.evaluation.tables import (
    Table,
    comparison_table,
    cost_table,
    figure,
    score_table,
)

HOW_TO_READ = (
    "Differences are against the first model, on the same samples: paired bootstrap and "
    "approximate randomisation, the latter's p-values with Holm's correction over all rows. "
    "Shown means below 0.05 after it; anything else is no difference shown, which is not the "
    "same as none. Intervals are of 95%. A value with (!) has too few samples to be compared."
)
_TITLES = {"write": "Writing", "describe": "Describing", "paint": "Painting"}
_HUB_TASKS = {"write": "text-generation", "describe": "image-to-text", "paint": "text-to-image"}
_EDGE = 192
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#1d1b19;background:#fbf9f5}h1,h2{font-family:Georgia,serif}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:.9rem;display:block;overflow-x:auto}"
    "th,td{border-bottom:1px solid #e7e0d3;padding:.35rem .9rem .35rem 0;text-align:left;"
    "vertical-align:top}img{max-width:100%}code{font-size:.8rem;overflow-wrap:anywhere}"
    ".verdict{white-space:pre-line;font-size:1.1rem}.small{color:#5a5247;font-size:.85rem}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def markdown(found: Card) -> str:
    """The card as Markdown: verdict, tables, and what is needed to run it again."""
    parts = [
        f"# {_heading(found)}",
        *(_escaped(line) for line in found["verdict"].splitlines()),
        "## Scores",
        _markdown_table(score_table(found)),
        "## Differences",
        _markdown_table(comparison_table(found)),
        HOW_TO_READ,
        "## Cost",
        _markdown_table(cost_table(found)),
        "## How it was made",
        *(f"- {_escaped(line)}" for line in _made(found)),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def pasted(found: Card) -> str:
    """What a README needs of the card: scores with intervals, what they show, and of what."""
    # In a code span nothing but its own end means anything.
    signatures = ", ".join(f"`{text.replace('`', chr(39))}`" for text in _signatures(found))
    of = f"{_heading(found)} (sha256 {found['data']['sha256'][:16]}), {_asked(found)}"
    parts = [
        _markdown_table(score_table(found)),
        *(_escaped(line) for line in found["verdict"].splitlines()),
        f"{_escaped(of)}; in brackets 95% intervals. Signatures: {signatures}.",
        *(_escaped(note) for note in found["notes"]),
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
        f"<h1>{_safe(_heading(found))}</h1>",
        f'<p class="verdict">{_safe(found["verdict"])}</p>',
        _html_table(score_table(found)),
        *(_image(png, "Figure") for png in shown.values()),
        "<h2>Differences</h2>",
        _html_table(comparison_table(found)),
        f'<p class="small">{_safe(HOW_TO_READ)}</p>',
        "<h2>Cost</h2>",
        _html_table(cost_table(found)),
        _html_samples(found, result),
        "<h2>How it was made</h2>",
        "<ul>" + "".join(f"<li><code>{_safe(line)}</code></li>" for line in _made(found)) + "</ul>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_safe(_heading(found))}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def model_index(found: Card, model: str) -> str:
    """The ``model-index`` section of a model card, as YAML, for one of the card's models.

    Raises:
        InvalidValue: the card has no model of that name.
    """
    from huggingface_hub import EvalResult, ModelCardData

    scored = {each["name"]: each for each in found["models"]}
    if model not in scored:
        raise InvalidValue(
            f"The card has no model {abbreviated(model)}; it has {', '.join(scored)}."
        )
    data, _, commit = found["data"]["name"].partition("@")
    results = [
        EvalResult(
            task_type=_HUB_TASKS[found["task"]],
            dataset_type=data,
            dataset_name=data,
            dataset_revision=commit or found["data"]["sha256"],
            metric_type=metric,
            metric_value=score["value"],
            metric_name=f"{found['metrics'][metric]['label']}, 95% interval "
            f"{figure(score['low'])} to {figure(score['high'])}, n = {score['samples']}",
            metric_config=score["signature"],
        )
        for metric, score in scored[model]["scores"].items()
        if score["value"] is not None
    ]
    return str(ModelCardData(model_name=model, eval_results=results).to_yaml())


def _heading(found: Card) -> str:
    count, name = len(found["samples"]), found["data"]["name"]
    return f"{_TITLES[found['task']]}: {len(found['models'])} models on {count} samples of {name}"


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
    ]


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


def _markdown_table(table: Table) -> str:
    headers, rows = table
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text if text == "---" else _escaped(text)


def _escaped(text: str) -> str:
    """Text of others with what Markdown reads as its own taken literally."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _html_table(table: Table) -> str:
    headers, rows = table
    head = "".join(f"<th>{_safe(text)}</th>" for text in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{_safe(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_samples(found: Card, result: EvaluationResult) -> str:
    """The samples on which the models are farthest apart, a column for each model."""
    if not result.differing:
        return ""
    names = [model["name"] for model in found["models"]]
    head = "".join(f"<th>{_safe(name)}</th>" for name in ["sample", *names])
    rows = []
    for differing, told in zip(result.differing, found["differing"]["samples"], strict=True):
        sample = differing.sample
        shown = _thumbnail(sample.file) if result.request.task == "describe" else ""
        cells = [f"{shown}<br>{_safe(sample.text)}"]
        for model, value in zip(result.models, told["values"], strict=True):
            output = model.output_of(differing.place)
            looks = _thumbnail(model.evidence.files[differing.place]) if output.picture else ""
            cells.append(
                f'{looks}<br>{_safe(output.text)}<br><span class="small">{figure(value)}</span>'
            )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f"<h2>Samples that differ most</h2><p class='small'>By {_safe(result.differing_by)}.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _thumbnail(file: Path | None) -> str:
    assert file is not None
    with Image.open(file) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_EDGE, _EDGE))
    content = io.BytesIO()
    small.save(content, format="PNG")
    return _image(content.getvalue(), "")


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _safe(text: str) -> str:
    return html.escape(text, quote=True)
