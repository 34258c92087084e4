"""Reads a receipt or a card that somebody pasted or uploaded, and the models that it names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.images import open_picture
from pipelines.files.picture_texts import texts_in
from pipelines.hub.references import composed_name
from pipelines.runtime.receipts import PNG_KEY
from pipelines.settings import Limits

MOST_CHARACTERS = 16_000_000
"""Of a receipt or a card. That of the largest evaluation, eight models on 2,000 samples, has
about 3 million; that of 10,000 votes 5 million where two models met, and 15 where eight did."""


def text_of(file: Path) -> str:
    """The text of a file with a receipt or a card. Bytes that are not UTF-8 are replaced.

    Raises:
        InvalidValue: it is too large.
    """
    _check_length(file.stat().st_size, "bytes")
    return file.read_bytes().decode(errors="replace")


def object_in(file: Path, limits: Limits) -> dict[str, Any]:
    """The receipt or card in a file: a PNG that the page painted, or JSON.

    Raises:
        InvalidValue: there is none, or it is damaged or too large.
    """
    with file.open("rb") as opened:
        is_png = opened.read(8) == b"\x89PNG\r\n\x1a\n"
    return receipt_in_picture(file, limits) if is_png else read_object(text_of(file))


def read_object(text: object) -> dict[str, Any]:
    """The JSON object in the text of a receipt or a card.

    Raises:
        InvalidValue: it is no JSON object, or too long.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidValue("There is no receipt and no card yet. Paste one, or load its file.")
    _check_length(len(text), "characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(
            f"The receipt or card is not valid JSON: {error}. Copy it whole."
        ) from error
    if not isinstance(value, dict):
        raise InvalidValue("The receipt or card is no JSON object. Copy it whole, with its braces.")
    return value


def _check_length(length: int, unit: str) -> None:
    if length > MOST_CHARACTERS:
        raise InvalidValue(
            f"The receipt or card has {length:,} {unit}; at most {MOST_CHARACTERS:,} are allowed. "
            "Give one alone, as it was made."
        )


@contextmanager
def damage_in_words() -> Iterator[None]:
    """Turns the error that a damaged receipt or card leads to into words. Also a decorator."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidValue(
            f"The receipt or card is not whole ({type(error).__name__}: {error}). Copy it as it "
            "was made."
        ) from error


def completed(
    what: str, fields: object, names: Iterable[str], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a link, a card or a receipt by these names.

    A field that did not exist yet when it was made takes its default.

    Raises:
        InvalidValue: a field without a default is missing, or one is unknown.
    """
    if not isinstance(fields, dict):
        raise InvalidValue(
            f"{what} is {abbreviated(fields)}; named fields are needed. Copy it whole."
        )
    names = list(names)
    if unknown := [name for name in fields if name not in names]:
        raise InvalidValue(
            f"{what} has the unknown field {abbreviated(unknown[0])}; known are "
            f"{', '.join(names)}. Remove it, or update this program."
        )
    if missing := [name for name in names if name not in fields and name not in defaults]:
        raise InvalidValue(f"{what} has no field {missing[0]}. Copy it whole.")
    return {name: fields[name] if name in fields else defaults[name] for name in names}


def pinned(model: dict[str, Any]) -> str:
    """The model of a receipt or card as a reference, with the commits of what is on the Hub.

    A name of this machine has no commit to request. Raises what a damaged card leads to.
    """
    adapters = [(_at(each), float(each["weight"])) for each in model["adapters"]]
    return composed_name(_at(model), adapters)


def with_commits(model: dict[str, Any]) -> str:
    """The model of a receipt or card for people to read: every part with its commit."""
    adapters = [f"{a['reference']}@{a['commit']}:{a['weight']:g}" for a in model["adapters"]]
    return " + ".join([f"{model['reference']}@{model['commit']}", *adapters])


def _at(part: dict[str, Any]) -> str:
    reference = str(part["reference"])
    return f"{reference}@{part['commit']}" if "/" in reference else reference


def receipt_in_picture(path: Path, limits: Limits) -> dict[str, Any]:
    """The receipt inside a PNG that the page painted, wherever it stands in the file.

    Raises:
        InvalidValue: there is none, it is damaged, or the picture may not be opened.
    """
    open_picture(path, limits)  # refuses what is too large or no picture
    text = texts_in(path).get(PNG_KEY)
    try:
        return read_object(text)
    except InvalidValue as error:
        raise InvalidValue(
            "This picture carries no receipt of this page. Give a PNG downloaded from it."
        ) from error
