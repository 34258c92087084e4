"""Writes what is to be kept of an evaluation: card, reports, figures, model-index sections."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.datasets.samples import plain_name
from pipelines.evaluation import contact_sheet, plots
from pipelines.evaluation.card import Card, card
from pipelines.evaluation.report import html_report, markdown, model_index
from pipelines.evaluation.result import EvaluationResult

CARD, MARKDOWN, REPORT = "card.json", "report.md", "report.html"


def write(result: EvaluationResult, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``report.md``, ``report.html``, the figures and a sheet of the samples
    that differ most as PNG, and for each model a ``model-index`` section as YAML; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = card(result)
    figures, pictures = plots.drawn(found), contact_sheet.drawn(result)
    texts = {
        CARD: as_json(found),
        MARKDOWN: markdown(found, [*figures, *pictures]),
        REPORT: html_report(result, figures),
    }
    for number, model in enumerate(result.models, start=1):
        name = f"model-index-{number}-{plain_name(model.name)}.yaml"
        texts[name] = model_index(found, model.name)
    contents = {**{name: text.encode() for name, text in texts.items()}, **figures, **pictures}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def as_json(found: Card) -> str:
    """A card as the text of its file."""
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
