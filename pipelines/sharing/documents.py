"""Documents to read and to publish: one description, as Markdown and as one HTML file.

Whatever models and visitors wrote is escaped. The HTML file holds all its pictures, has no
scripts and asks for nothing; Markdown names its pictures as files beside it.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_HUB_TASKS: Mapping[str, str] = {
    "write": "text-generation",
    "describe": "image-to-text",
    "paint": "text-to-image",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#1d1b19;background:#fbf9f5}h1,h2{font-family:Georgia,serif}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:.9rem;display:block;overflow-x:auto}"
    "th,td{border-bottom:1px solid #e7e0d3;padding:.35rem .9rem .35rem 0;text-align:left;"
    "vertical-align:top}img{max-width:100%}li,code{overflow-wrap:anywhere}code{font-size:.8rem}"
    ".verdict{white-space:pre-line;font-size:1.1rem}.small{color:#5a5247;font-size:.85rem}"
    "blockquote{white-space:pre-wrap;margin:1rem 0;padding-left:1rem;"
    "border-left:3px solid #aed2ce}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Table:
    """Headers and rows of plain text."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Items:
    """A list, a line for each."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Quote:
    """What a model wrote, its line breaks kept."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG's content, and the name of its file beside a Markdown document."""

    file: str
    png: bytes
    alt: str


Part = str | Table | Items | Quote | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a ``str`` is a paragraph."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Document:
    """A title, a line that says what was found, and sections."""

    title: str
    lead: str
    sections: Sequence[Section]

    @property
    def pictures(self) -> dict[str, bytes]:
        """The contents of all picture files by their names."""
        parts = (part for section in self.sections for part in section.parts)
        return {part.file: part.png for part in parts if isinstance(part, Picture)}


@dataclass(frozen=True)
class Measured:
    """One value for a model card's index: what it is called, and how it was made."""

    metric: str
    label: str
    value: float
    signature: str


def as_markdown(document: Document) -> str:
    """The document as Markdown; its pictures are named, not held."""
    parts = [f"# {escaped(document.title)}", escaped(document.lead)]
    for section in document.sections:
        parts += [f"## {escaped(section.heading)}", *map(_markdown, section.parts)]
    return "\n\n".join(parts) + "\n"


def as_html(document: Document) -> str:
    """The document as one HTML file that needs nothing else."""
    body = [f"<h1>{html.escape(document.title)}</h1>", f"<p>{html.escape(document.lead)}</p>"]
    for section in document.sections:
        body += [f"<h2>{html.escape(section.heading)}</h2>", *map(_html, section.parts)]
    return page(document.title, body)


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML file of parts that are HTML themselves; the title is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def model_index(model: str, task: str, data: tuple[str, str], measured: Iterable[Measured]) -> str:
    """The ``model-index`` section of a model card, as YAML.

    Args:
        data: what was measured on: its name, and the commit or hash that tells which one.
    """
    from huggingface_hub import EvalResult, ModelCardData

    name, revision = data
    results = [
        EvalResult(
            task_type=_HUB_TASKS[task],
            dataset_type=name.replace(" ", "-"),
            dataset_name=name,
            dataset_revision=revision,
            metric_type=each.metric,
            metric_value=each.value,
            metric_name=each.label,
            metric_config=each.signature,
        )
        for each in measured
    ]
    return str(ModelCardData(model_name=model, eval_results=results).to_yaml())


def _markdown(part: Part) -> str:
    if isinstance(part, Table):
        return markdown_table(part.headers, part.rows)
    if isinstance(part, Items):
        return "\n".join(f"- {escaped(line)}" for line in part.lines)
    if isinstance(part, Quote):
        return "\\\n".join(f"> {escaped(line)}" for line in part.text.splitlines()) or "> "
    if isinstance(part, Picture):
        return f"![{escaped(part.alt)}]({part.file})"
    return escaped(part)


def _html(part: Part) -> str:
    if isinstance(part, Table):
        return html_table(part.headers, [list(map(html.escape, row)) for row in part.rows])
    if isinstance(part, Items):
        return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in part.lines)}</ul>"
    if isinstance(part, Quote):
        return f"<blockquote>{html.escape(part.text)}</blockquote>"
    if isinstance(part, Picture):
        return f"<p>{image(part.png, part.alt)}</p>"
    return f"<p>{html.escape(part)}</p>"


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    lines = [list(map(escaped, headers)), ["---"] * len(headers)]
    lines += [list(map(escaped, row)) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def html_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose headers are plain text, and whose cells are HTML."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headers)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(png: bytes, alt: str) -> str:
    """A PNG as HTML that holds it."""
    content = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{content}">'


def escaped(text: str) -> str:
    """One line of others' text, with what Markdown reads as its own taken literally."""
    return re.sub(r"([\\`*_\[\]<>|#!~&$])", r"\\\1", " ".join(text.split()))
