"""Documents to read and to publish: one description, as Markdown and as one HTML file.

The templates beside this file say how they look. Whatever models and visitors wrote is escaped
by the template's environment. The HTML file holds all its pictures, has no scripts and requests
nothing; Markdown names its pictures as files beside it.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup

from pipelines.datasets.samples import plain_name
from pipelines.tasks import TASKS, Task

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL import Image

CARD, REPORT = "card.json", "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#!~&$])")
_AT_LINE_START = re.compile(r"^(\d{0,9})([-+=.)])(?=[\s=-]|$)")
"""What begins a list, a rule or a heading: a sign, or a number with one."""


@dataclass(frozen=True)
class Cell:
    """A text with a remark and, in HTML, a picture above it."""

    text: str
    note: str = ""
    png: bytes | None = None


@dataclass(frozen=True)
class Table:
    """Headers, and rows of plain text or cells."""

    kind: ClassVar = "table"
    headers: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Items:
    """A list, a line for each."""

    kind: ClassVar = "items"
    lines: Sequence[str]


@dataclass(frozen=True)
class Note:
    """A paragraph in small print: how to read what stands above it."""

    kind: ClassVar = "note"
    text: str


@dataclass(frozen=True)
class Quote:
    """What a model wrote, with its line breaks."""

    kind: ClassVar = "quote"
    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG's content, and the name of its file beside a Markdown document."""

    kind: ClassVar = "picture"
    file: str
    png: bytes
    alt: str


Part = str | Table | Items | Note | Quote | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a ``str`` is a paragraph."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Document:
    """A title, the conclusion, and sections."""

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


def as_html(document: Document) -> str:
    """The document as one HTML file that needs nothing else."""
    return _html().get_template("document.html.j2").render(document=document)


def as_markdown(document: Document) -> str:
    """The document as Markdown, which names its pictures as files."""
    text = _markdown().get_template("document.md.j2").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def markdown_table(table: Table) -> str:
    """A table of others' texts as Markdown."""
    rows = [[_cell(each) for each in row] for row in table.rows]
    lines = [[escaped(text) for text in table.headers], ["---"] * len(table.headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(of: str | Cell) -> str:
    if isinstance(of, str):
        return escaped(of)
    note = f" ({of.note})" if of.note and of.text else of.note
    return escaped(of.text + note)


def escaped(text: str) -> str:
    """One line of others' text, with what Markdown reads as its own taken literally."""
    line = _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
    return _AT_LINE_START.sub(r"\1\\\2", line)


def model_index(model: str, task: Task, data: tuple[str, str], measured: Iterable[Measured]) -> str:
    """The ``model-index`` section of a model card, as YAML.

    Args:
        data: the name of the data set, and its commit or hash.
    """
    from huggingface_hub import EvalResult, ModelCardData

    name, revision = data
    results = [
        EvalResult(
            task_type=TASKS[task].hub_tags[0],
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


def as_json(card: Mapping[str, Any]) -> str:
    """A card as the text of its file."""
    return json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_png(picture: Image.Image) -> bytes:
    """A picture as a PNG's content."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def publish(folder: Path, card: Mapping[str, Any], others: Mapping[str, str | bytes]) -> list[Path]:
    """Writes ``card.json`` and the other files by their names into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {CARD: as_json(card), **others}
    for name, content in contents.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in contents]


def texts_of(document: Document, markdown: str) -> dict[str, str | bytes]:
    """The files of a document by their names: Markdown with its pictures, and HTML.

    Args:
        markdown: the name of the Markdown file.
    """
    return {markdown: as_markdown(document), REPORT: as_html(document), **document.pictures}


def index_name(number: int, model: str) -> str:
    """The name of the file with the ``model-index`` section of one of several models."""
    return f"model-index-{number}-{plain_name(model)}.yaml"


def how_to_repeat(card: Mapping[str, Any], link: str | None) -> list[str]:
    """The machine and the versions of a card, what opens it on the page, and what runs it again.

    Args:
        link: the query of the page's address that opens it, if there is one.
    """
    lines = [f"device {', '.join(card['device'].values())}"]
    lines.append(", ".join(f"{name} {version}" for name, version in card["versions"].items()))
    if link is not None:
        lines.append(f"to open it, add to the page's address: {link}")
    return [*lines, f"to run it again: python -m pipelines.model_comparison replay {CARD}"]


@cache
def _html() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment


@cache
def _markdown() -> Environment:
    """Every expression's value is escaped as Markdown but for what is marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else escaped(str(value)),
    )  # autoescape would escape for HTML
    environment.globals["table"] = lambda part: Markup(markdown_table(part))
    environment.globals["backslash"] = Markup("\\")
    return environment
