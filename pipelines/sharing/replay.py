"""Runs a receipt again and says what is equal and what differs."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipelines.image_captioning.pipeline as describing
import pipelines.text_generation.pipeline as writing
import pipelines.text_to_image.pipeline as painting
from pipelines.errors import InvalidValue
from pipelines.runtime.receipts import differences, request_fields
from pipelines.runtime.studio import Studio
from pipelines.tasks import Task

if TYPE_CHECKING:
    from PIL import Image

MOST_CHARACTERS = 16_000_000
"""Of a receipt or a card. That of the largest evaluation, eight models on 2,000 samples, has
about 3 million; that of 10,000 votes 5 million where two models met, and 15 where eight did."""


@dataclass(frozen=True)
class Replay:
    """What came out: the new receipt, and a line for each thing that is not as it was."""

    receipt: dict[str, Any]
    differences: list[str]
    is_same_output: bool


def text_of(file: Path) -> str:
    """The text of a file with a receipt or a card.

    What is no UTF-8 in it is replaced, and then is none of ours.

    Raises:
        InvalidValue: it is too large.
    """
    _check_length(file.stat().st_size, "bytes")
    return file.read_bytes().decode(errors="replace")


def read_object(text: object) -> dict[str, Any]:
    """A receipt or a card from what somebody pasted, or from its file.

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
def whole_card() -> Iterator[None]:
    """Turns what a damaged card leads to into words."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidValue(
            f"The card is not whole ({type(error).__name__}: {error}). Copy it as it was made."
        ) from error


def replay(
    studio: Studio, receipt: dict[str, Any], picture: Image.Image | None = None
) -> Generator[Any, None, Replay]:
    """Yields the run's events; returns what is equal and what differs.

    Args:
        picture: what was described, for a receipt of that task: it names the picture only.

    Raises:
        StudioError: no receipt, or its run fails here.
    """
    result = yield from _run(studio, receipt, picture)
    found = differences(receipt, result.receipt)
    same = receipt.get("output_sha256") == result.receipt["output_sha256"]
    return Replay(result.receipt, found, same)


def _run(
    studio: Studio, receipt: dict[str, Any], picture: Image.Image | None
) -> Generator[Any, None, Any]:
    task = receipt.get("task")
    if task == "write":
        text = writing.TextRequest
        return (yield from writing.generate(studio, text(**pinned_fields(receipt, task, text))))
    if task == "paint":
        paint = painting.PaintRequest
        return (yield from painting.generate(studio, paint(**pinned_fields(receipt, task, paint))))
    if task == "describe":
        caption = describing.CaptionRequest
        fields = pinned_fields(receipt, task, caption) | {"picture": picture}
        return (yield from describing.generate(studio, caption(**fields)))
    raise InvalidValue(
        f"The receipt's task is {task!r}; write, paint and describe can be run again."
    )


def pinned_fields(receipt: dict[str, Any], task: Task, request_type: type[Any]) -> dict[str, Any]:
    """The request's fields, with what came from the Hub pinned to the receipt's commits.

    Raises:
        InvalidValue: it is no receipt of this task, or not a whole one.
    """
    fields = request_fields(receipt, task, request_type)
    model = receipt.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("reference"), str):
        return fields
    adapters = model.get("adapters", [])
    if not isinstance(adapters, list) or not all(isinstance(each, dict) for each in adapters):
        raise InvalidValue("The receipt's model has no list of adapters. Copy the receipt whole.")
    weighted = [f"{_pinned(each)}:{each.get('weight', 1)}" for each in adapters]
    return {**fields, "model": " + ".join([_pinned(model), *weighted])}


def _pinned(part: dict[str, Any]) -> str:
    """A reference at its commit; a name on this machine as it is."""
    reference, commit = part.get("reference"), part.get("commit")
    return f"{reference}@{commit}" if "/" in str(reference) else str(reference)
