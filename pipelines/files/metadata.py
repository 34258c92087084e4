"""The list in an imagefolder that tells the texts of its pictures: JSON lines, or a table.

``metadata.jsonl`` has a JSON object with ``file_name`` and ``text`` in each line, and may have
``wordings``, further right texts; ``metadata.csv`` has columns of the first two names. Other
usual names are read as well, and a picture may have several lines.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.archive import safe_name

METADATA = "metadata.jsonl"
LISTS = (METADATA, "metadata.csv")
"""The names that the list may have; the first that is there counts."""

NAMES = ("file_name", "filename", "file", "image")
TEXTS = ("text", "caption", "captions", "caption_text", "prompt")
"""What the columns are called, in small letters; the first that is there counts."""

NAMED = 3
"""How many files a message names."""

MOST_BYTES = 32 * 1024**2
MOST_CHARACTERS = 2_000
MOST_WORDINGS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can say them, UTF-8 and tokenizers cannot


@dataclass(frozen=True)
class Row:
    """A picture's name, relative to the list, its text, and further right texts.

    ``text`` may be blank, ``wordings`` are not. ``column`` is what the text stood under, and
    ``contradicting`` another column that has another text.
    """

    name: str
    text: str
    wordings: tuple[str, ...] = ()
    column: str = TEXTS[0]
    contradicting: str | None = None


def list_in(folder: Path) -> Path | None:
    """The list that lies in a folder."""
    return next((folder / name for name in LISTS if (folder / name).is_file()), None)


def read_rows(path: Path, most_rows: int) -> list[Row]:
    """The rows of a list, in their order; each picture has one.

    Raises:
        InvalidValue: it is too large, malformed, empty or too long, or a name leads out of
            the folder.
    """
    content = read_file(path)
    found = list(_lines(content) if path.suffix == ".jsonl" else _table(content))
    if not 0 < len(found) <= most_rows:
        raise InvalidValue(
            f"{path.name} has {len(found):,} lines; give from 1 to {most_rows:,}, one for each "
            "picture."
        )
    return merged(_row(f"line {number} of {path.name}", given) for number, given in found)


def read_file(path: Path) -> str:
    """The text of a file that lies with the pictures.

    Raises:
        InvalidValue: it is too large, or not UTF-8.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InvalidValue(
            f"{path.name} has {mebibytes(size)}; at most {mebibytes(MOST_BYTES)} are allowed."
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from error


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row a picture: the texts of further ones are wordings of the first.

    Raises:
        InvalidValue: a picture has too many.
    """
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.name, row)
        if known is not row:
            texts = dict.fromkeys((known.text, *known.wordings, row.text, *row.wordings))
            first[row.name] = replace(known, wordings=tuple(t for t in texts if t.strip())[1:])
    for row in first.values():
        check_texts(row.name, row.text, row.wordings)
    return list(first.values())


def named(names: tuple[str, ...]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a text that can be written down."""
    return isinstance(value, str) and _SURROGATE.search(value) is None


def _lines(content: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank; the line itself where it is no JSON."""
    for number, line in enumerate(content.split("\n"), start=1):  # splitlines would cut texts
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, line


def _table(content: str) -> Iterator[tuple[int, Any]]:
    """Number and columns of each row below the first, which names the columns."""
    reader = csv.DictReader(io.StringIO(content, newline=""))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidValue(
            f"Line {reader.line_num} of metadata.csv cannot be read ({error}). Save it again."
        ) from error


def _row(where: str, given: Any) -> Row:
    columns = {str(key).strip().lower(): value for key, value in _items(given)}
    texts = {key: columns[key] for key in TEXTS if columns.get(key) is not None}
    names = [columns[key] for key in NAMES if key in columns]
    if not names or not texts or not all(map(_are_texts, texts.values())):
        raise InvalidValue(
            f"{where.capitalize()} is {abbreviated(given)}; it needs a file_name and a text, as in "
            '{"file_name": "0001.png", "text": "a red apple"}.'
        )
    (column, value), *others = texts.items()
    contradicting = next((other for other, its in others if its != value), None)
    text, *more = value if isinstance(value, list) else [value]
    wordings = columns.get("wordings")
    if not isinstance(wordings, list):
        wordings = [] if wordings is None else [None]
    check_texts(where, text, [*more, *wordings])
    return Row(safe_name(names[0]), text, (*more, *wordings), column, contradicting)


def _items(given: Any) -> Iterable[tuple[Any, Any]]:
    return given.items() if isinstance(given, dict) else ()


def _are_texts(value: Any) -> bool:
    """Whether it is a text, or texts of which none is blank."""
    if isinstance(value, list):
        return bool(value) and all(is_text(each) and each.strip() for each in value)
    return is_text(value)


def check_texts(where: str, text: str, wordings: Sequence[Any]) -> None:
    """Refuses texts of a picture that are too many or too long, and wordings that are none.

    Raises:
        InvalidValue: naming where they stand.
    """
    if len(wordings) > MOST_WORDINGS or not all(is_text(w) and w.strip() for w in wordings):
        raise InvalidValue(
            f"The wordings in {where} are {abbreviated(list(wordings))}; give a list of at most "
            f"{MOST_WORDINGS} texts."
        )
    longest = max(len(each) for each in (text, *wordings))
    if longest > MOST_CHARACTERS:
        raise InvalidValue(
            f"The text in {where} has {longest:,} characters; at most {MOST_CHARACTERS:,} are "
            "allowed. Shorten it."
        )
