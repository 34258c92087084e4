"""What sets the panel "On a data set" up: the fields that a card or a link fills in.

Nothing runs, and no data set is fetched. A note says what the panel has no field for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines import validation
from pipelines.datasets.repository import parse_data_reference
from pipelines.datasets.samples import EMBEDDED, DataSet, embedded
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation.card import Card, request_of
from pipelines.evaluation.request import SETTINGS, EvaluationRequest, checked
from pipelines.settings import Limits
from pipelines.sharing.names import ModelName
from pipelines.sharing.reading import damage_in_words, pinned
from pipelines.tasks import TASKS

UPLOAD = "upload"
"""The choice of a data set that is a visitor's own file."""
_LONGEST = 2_000


@dataclass(frozen=True)
class Setup:
    """What the panel's fields hold.

    ``data`` is the name of a data set, or ``UPLOAD``; that of ``request`` is named and has no
    samples. A setting that has no field is in ``request`` as it is by default, and in ``notes``.
    """

    request: EvaluationRequest
    data: str
    notes: tuple[str, ...] = ()


@damage_in_words()
def setup_of(card: Card, limits: Limits) -> Setup:
    """The fields that a card of an evaluation fills in, with its models at their commits.

    Raises:
        StudioError: no whole card, or a field that is not as it may be.
    """
    data, note = unread_data(card)
    models = tuple(pinned(model) for model in card["models"])
    request = replace(request_of(card, data), models=models)
    if note is None:
        return checked_setup(request, data.name, limits)
    return checked_setup(request, UPLOAD, limits, (note,))


@damage_in_words()
def unread_data(card: Card) -> tuple[DataSet, str | None]:
    """A card's data set, named and not read; and a note where it cannot be read by its name.

    Whether the data set fits the task is only known once it is read.

    Raises:
        InvalidValue: no whole card.
    """
    name = validation.text("data", card["data"]["name"], _LONGEST)
    sha256 = validation.text("sha256", card["data"]["sha256"], _LONGEST)
    return DataSet(name, sha256, ()), _to_upload(name, sha256)


def named_setup(request: EvaluationRequest, name: object, limits: Limits) -> Setup:
    """The fields of a request on a data set that has a name, embedded or of the Hub.

    Raises:
        StudioError: there is no such name, or a field is not as it may be.
    """
    text = validation.text("data", name, _LONGEST)
    if not _is_named(text):
        raise InvalidValue(
            f"data is {abbreviated(name)}; it has to be one of: {', '.join(EMBEDDED)}, or a data "
            "set of the Hub."
        )
    return checked_setup(replace(request, data=DataSet(text, "", ())), text, limits)


def checked_setup(
    request: EvaluationRequest, data: str, limits: Limits, notes: tuple[str, ...] = ()
) -> Setup:
    """The setup with every field of its type and in its range, and what has no field noted.

    Raises:
        StudioError: naming the first field that is not.
    """
    checked_request = checked(request, limits)
    for model in checked_request.models:
        ModelName().check("model", model, limits)
    if request.clip is not None:
        ModelName().check("clip", request.clip, limits)
    kind = SETTINGS[checked_request.task]
    own = vars(checked_request.settings)
    shown = {name: own[name] for name in TASKS[checked_request.task].evaluated}
    settings = kind(**shown)  # the others as they are by default
    hidden = (
        f"{name} is {abbreviated(own[name])}, and the page has no field for it: an evaluation from "
        f"here runs with {abbreviated(usual)}."
        for name, usual in vars(settings).items()
        if own[name] != usual
    )
    return Setup(replace(checked_request, settings=settings), data, (*notes, *hidden))


def _is_named(name: str) -> bool:
    return name in EMBEDDED or parse_data_reference(name) is not None


def _to_upload(name: str, sha256: str) -> str | None:
    """A note on a data set that was a file; None for one that can be read again by its name."""
    here = f" (this page's own {name} has another hash)" if name in EMBEDDED else ""
    if _is_named(name) and (not here or embedded(name).sha256 == sha256):
        return None
    return (
        f"The card's data set is a file called {abbreviated(name)}, and its samples have the hash "
        f"{abbreviated(sha256[:16])}{here}. The card does not hold the file: upload it."
    )
