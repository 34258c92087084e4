"""The list in an imagefolder that tells the texts of its pictures: JSON lines, or a table.

``metadata.jsonl`` has a JSON object with ``file_name`` and ``text`` in each line, and may have
``wordings``, further right texts; ``metadata.csv`` has columns of the first two names.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.archive import safe_name

METADATA = "metadata.jsonl"
LISTS = (METADATA, "metadata.csv")
"""The names that the list may have; the first that is there counts."""

NAMED = 3
"""How many files a message names."""

MOST_BYTES = 32 * 1024**2
MOST_CHARACTERS = 2_000
MOST_WORDINGS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can say them, UTF-8 and tokenizers cannot


@dataclass(frozen=True)
class Row:
    """A picture's name, relative to the list, its text, and further right texts.

    ``text`` may be blank, ``wordings`` are not.
    """

    name: str
    text: str
    wordings: tuple[str, ...] = ()


def list_in(folder: Path) -> Path | None:
    """The list that lies in a folder."""
    return next((folder / name for name in LISTS if (folder / name).is_file()), None)


def read_rows(path: Path, most_rows: int) -> list[Row]:
    """The rows of a list, in their order; each picture has one.

    Raises:
        InvalidValue: it is too large, malformed, empty or too long, or a name leads out of
            the folder or is there twice.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InvalidValue(
            f"{path.name} has {mebibytes(size)}; at most {mebibytes(MOST_BYTES)} are allowed."
        )
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from error
    told = _lines(content) if path.suffix == ".jsonl" else _table(content)
    found = list(told)
    if not 0 < len(found) <= most_rows:
        raise InvalidValue(
            f"{path.name} has {len(found):,} lines; give from 1 to {most_rows:,}, one for each "
            "picture."
        )
    rows = [_row(f"line {number} of {path.name}", given) for number, given in found]
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise InvalidValue(
            f"{path.name} names {named(tuple(twice))} twice. Give each picture one line, and "
            'further texts of it as "wordings".'
        )
    return rows


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
    text = given.get("text") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not is_text(text) or "file_name" not in given:
        raise InvalidValue(
            f"{where.capitalize()} is {abbreviated(given)}; it needs a file_name and a text, as in "
            '{"file_name": "0001.png", "text": "a red apple"}.'
        )
    wordings = given.get("wordings")
    if not isinstance(wordings, list):
        wordings = [] if wordings is None else [None]
    if len(wordings) > MOST_WORDINGS or not all(is_text(w) and w.strip() for w in wordings):
        raise InvalidValue(
            f"The wordings in {where} are {abbreviated(given['wordings'])}; give a list of at most "
            f"{MOST_WORDINGS} texts."
        )
    longest = max(len(each) for each in (text, *wordings))
    if longest > MOST_CHARACTERS:
        raise InvalidValue(
            f"The text in {where} has {longest:,} characters; at most {MOST_CHARACTERS:,} are "
            "allowed. Shorten it."
        )
    return Row(safe_name(given["file_name"]), text, tuple(wordings))
