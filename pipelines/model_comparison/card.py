"""The card of a comparison: all that is needed to check it and to run it again, as JSON data.

It holds the receipts of both sides; texts and captions stand in it, pictures by their hash.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.model_comparison import link
from pipelines.model_comparison.pipeline import (
    SIDES,
    CompareRequest,
    ComparisonResult,
    SideResult,
)
from pipelines.model_comparison.report import verdict
from pipelines.runtime.receipts import fields_of
from pipelines.settings import Limits
from pipelines.sharing.cards import Card
from pipelines.sharing.links import address
from pipelines.sharing.reading import damage_in_words
from pipelines.sharing.replay import pinned_fields
from pipelines.validation import known_task

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
KIND = "comparison"


def card(result: ComparisonResult) -> Card:
    """The card. ``request`` is as it was given, receipts as it was run; ``link`` is None where
    a link cannot hold it."""
    request, receipt = result.request, result.receipt
    opened_by, _ = address(link.PARAMETER, lambda: link.encode(link.fields_of(request)))
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "task": request.task,
        "request": {side: fields_of(getattr(request, side)) for side in SIDES},
        "link": opened_by,
        "device": dict(receipt["left"]["device"]),
        "versions": dict(receipt["left"]["versions"]),
        "receipts": {side: receipt[side] for side in SIDES},
        "outputs": {side: _texts(getattr(result, side).result) for side in SIDES},
        "measures": {side: asdict(getattr(result, side).measures) for side in SIDES},
        "is_identical": result.is_identical,
        "verdict": verdict(result),
    }


def _texts(result: SideResult) -> list[str]:
    captions = [caption.text for caption in getattr(result, "captions", [])]
    return [result.text] if hasattr(result, "text") else captions


@damage_in_words()
def request_of(card: Card, picture: Image.Image | None = None) -> CompareRequest:
    """The request that a card is of, with what came from the Hub at the card's commits.

    Its values are checked when it runs.

    Args:
        picture: what was described: a card names it by its hash.

    Raises:
        InvalidValue: no whole card of a comparison.
    """
    record = known_task(card["task"])
    given = {"picture": picture} if record.takes == "picture" else {}
    receipts = [{**card["receipts"][side], "request": card["request"][side]} for side in SIDES]
    sides = [
        record.pipeline.Request(**pinned_fields(each, record.name), **given) for each in receipts
    ]
    return CompareRequest(record.name, *sides)


def setup_of(card: Card, limits: Limits) -> link.Fields:
    """The panel's fields that a card fills in, checked like any visitor's input.

    Raises:
        StudioError: no whole card of a comparison, or a field that is not as it may be.
    """
    return link.checked(link.fields_of(request_of(card)), limits)
