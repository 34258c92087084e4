"""A model of a card as a reference that asks for just what the card is of."""

from __future__ import annotations

from typing import Any

from pipelines.hub.references import composed_name


def pinned(model: dict[str, Any]) -> str:
    """A card's model as a reference, with the commits of what is on the Hub.

    A name of this machine has no commit to ask for. Raises what a damaged card leads to.
    """
    adapters = [(_at(each), float(each["weight"])) for each in model["adapters"]]
    return composed_name(_at(model), adapters)


def _at(part: dict[str, Any]) -> str:
    reference = str(part["reference"])
    return f"{reference}@{part['commit']}" if "/" in reference else reference
