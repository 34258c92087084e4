"""Cards of any kind: read from a file or a text, opened in their panel, and run again.

A kind of card belongs to its way of comparing, which describes it in a ``CardKind``. This
module imports none of them: whoever reads cards passes the kinds that can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.sharing.reading import read_object, text_of
from pipelines.sharing.replay import Replayed, replay

if TYPE_CHECKING:
    from PIL import Image

Card = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The inputs that a card names but does not hold.

    ``picture`` is what a comparison described. ``data`` is the data set of an evaluation, or
    votes to take the place of those in a card: the path of a visitor's upload, or, where
    ``is_owner``, whatever the machine's owner typed.
    """

    picture: Image.Image | None = None
    data: str | None = None
    is_owner: bool = False


@dataclass(frozen=True)
class CardKind:
    """One kind of card, and the panel of Compare that opens it.

    ``setup_of`` gives the panel's fields from a card, ``decode`` from the text of a link, which
    stands in the page's address as ``parameter``. ``replay`` runs a card again.
    """

    name: str
    schema: int
    panel: str
    panel_id: str
    parameter: str
    setup_of: Callable[[Card, Limits], Any]
    decode: Callable[[object, Limits], Any]
    replay: Callable[[Studio, Card, Sources], Generator[Progress, None, Replayed]]


class Opening(NamedTuple):
    """How a card or a link opens a panel of Compare.

    ``fill`` takes what ``setup_of`` and ``decode`` of the kind give, then the values of
    ``inputs``; it returns what changes of ``fields``. ``button`` takes the file of a card.
    """

    kind: CardKind
    fill: Callable[..., dict[Any, Any]]
    fields: list[Any]
    button: Any
    inputs: tuple[Any, ...] = ()


def kind_of(card: Card, kinds: Sequence[CardKind]) -> CardKind:
    """The kind of a card.

    Raises:
        InvalidValue: it is none of these, or of another schema.
    """
    name = card.get("kind")
    kind = next((each for each in kinds if each.name == name), None)
    if kind is None:
        raise InvalidValue(
            f"This is no card: its kind is {abbreviated(name)}, and "
            f"{', '.join(each.name for each in kinds)} can be read."
        )
    schema = card.get("schema")
    if isinstance(schema, bool) or schema != kind.schema:
        raise InvalidValue(
            f"The card has schema {abbreviated(schema)}; here {kind.schema} is read. Update this "
            "program, or make the card again."
        )
    return kind


def run_again(
    studio: Studio, old: dict[str, Any], kinds: Sequence[CardKind], sources: Sources
) -> Generator[Progress, None, Replayed]:
    """Runs a card, which has a kind, or a receipt, which has none.

    Raises:
        StudioError: it is neither, or its run fails here.
    """
    if "kind" not in old:
        return (yield from replay(studio, old, sources.picture))
    return (yield from kind_of(old, kinds).replay(studio, old, sources))


def read_card(file: Path, kind: CardKind, kinds: Sequence[CardKind]) -> Card:
    """The card in an uploaded file, for the panel that opens cards of ``kind``.

    Raises:
        InvalidValue: it is none, too large, or of another kind; the message names the panel that
            opens it.
    """
    card = read_object(text_of(file))
    given = kind_of(card, kinds)
    if given is not kind:
        raise InvalidValue(
            f"This is a card of kind {given.name}, and a card of kind {kind.name} is opened here. "
            f"Open it in Compare, {given.panel}."
        )
    return card
