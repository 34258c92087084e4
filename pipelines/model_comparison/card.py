"""The card of a comparison: all that is needed to check it and to run it again, as JSON data.

It holds the receipts of both sides; texts and captions stand in it, pictures by their hash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines import validation
from pipelines.errors import InvalidValue
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison import link
from pipelines.model_comparison.pipeline import (
    SIDES,
    TASKS,
    CompareRequest,
    ComparisonResult,
    SideRequest,
    SideResult,
)
from pipelines.model_comparison.report import verdict
from pipelines.settings import Limits
from pipelines.sharing.replay import pinned_fields, whole_card
from pipelines.text_generation.pipeline import TextRequest, TextResult
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
KIND = "comparison"

Card = dict[str, Any]

_REQUESTS: Mapping[str, type[Any]] = {
    "write": TextRequest,
    "paint": PaintRequest,
    "describe": CaptionRequest,
}


def card(result: ComparisonResult) -> Card:
    """The card. ``request`` is as it was asked, receipts as it was run; ``link`` is None where
    a link cannot hold it."""
    request, receipt = result.request, result.receipt
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "task": request.task,
        "request": {side: _asked(getattr(request, side)) for side in SIDES},
        "link": _link(request),
        "device": dict(receipt["left"]["device"]),
        "versions": dict(receipt["left"]["versions"]),
        "receipts": {side: receipt[side] for side in SIDES},
        "outputs": {side: _told(getattr(result, side).result) for side in SIDES},
        "measures": {side: asdict(getattr(result, side).measures) for side in SIDES},
        "is_identical": result.is_identical,
        "verdict": verdict(result),
    }


def _asked(request: SideRequest) -> dict[str, Any]:
    fields = [f for f in dataclasses.fields(request) if f.metadata.get("in_receipt", True)]
    return {field.name: getattr(request, field.name) for field in fields}


def _link(request: CompareRequest) -> str | None:
    try:
        return f"?{link.PARAMETER}={link.encode(link.setup_of(request))}"
    except InvalidValue:  # too long, or more than the page has fields for
        return None


def _told(result: SideResult) -> list[str]:
    if isinstance(result, TextResult):
        return [result.text]
    return [] if isinstance(result, PaintResult) else [each.text for each in result.captions]


def request_of(found: Card, picture: Image.Image | None = None) -> CompareRequest:
    """The request that a card is of, with what came from the Hub at the card's commits.

    Its values are checked when it runs.

    Args:
        picture: what was described: a card names it by its hash.

    Raises:
        InvalidValue: no card of a comparison, or not a whole one.
    """
    with whole_card():
        if (found["schema"], found["kind"]) != (SCHEMA, KIND):
            raise InvalidValue(
                f"This is no card of a comparison: a JSON object of kind {KIND!r} with schema "
                f"{SCHEMA} is needed."
            )
        task: Any = validation.choice("task", found["task"], TASKS)
        sides = []
        for side in SIDES:
            asked = {**found["receipts"][side], "request": found["request"][side]}
            fields = pinned_fields(asked, task, _REQUESTS[task])
            given = {"picture": picture} if task == "describe" else {}
            sides.append(_REQUESTS[task](**fields, **given))
    return CompareRequest(task, *sides)


def setup_of(found: Card, limits: Limits) -> link.Setup:
    """The page's fields that a card sets, checked like any visitor's input.

    Raises:
        StudioError: no whole card of a comparison, or a field that is not as it may be.
    """
    return link.checked(link.setup_of(request_of(found)), limits)
