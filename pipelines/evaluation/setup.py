"""What sets the panel "On a data set" up: the fields that a card or a link fills in.

Nothing runs, and no data set is fetched. A note says what the panel has no field for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from pipelines import validation
from pipelines.datasets.repository import parse_data_reference
from pipelines.datasets.samples import EMBEDDED, DataSet, embedded
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation.card import Card, request_of
from pipelines.evaluation.request import (
    EvaluationRequest,
    Generation,
    checked,
)
from pipelines.settings import Limits
from pipelines.sharing.links import ModelName
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
        return checked_setup(Setup(request, data.name), limits)
    return checked_setup(Setup(request, UPLOAD, (note,)), limits)


@damage_in_words()
def unread_data(card: Card) -> tuple[DataSet, str | None]:
    """A card's data set, named and not read; and what to say where its name does not find it.

    Raises:
        InvalidValue: no whole card.
    """
    name = validation.text("data", card["data"]["name"], _LONGEST)
    sha256 = validation.text("sha256", card["data"]["sha256"], _LONGEST)
    return _unread(name, sha256), _to_upload(name, sha256)


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
    return checked_setup(Setup(replace(request, data=_unread(text, "")), text), limits)


def checked_setup(setup: Setup, limits: Limits) -> Setup:
    """The setup with every field of its type and in its range, and what has no field noted.

    Raises:
        StudioError: naming the first field that is not.
    """
    request = checked(setup.request, limits)
    for model in request.models:
        ModelName().check("model", model, limits)
    if setup.request.clip is not None:
        ModelName().check("clip", setup.request.clip, limits)
    assert request.settings is not None  # checked has filled them in
    settings, notes = _shown(request.settings, TASKS[request.task].evaluated)
    return Setup(replace(request, settings=settings), setup.data, (*setup.notes, *notes))


def _unread(name: str, sha256: str) -> DataSet:
    """A data set that is only named: whether it fits the task is seen when it is read."""
    return DataSet(name, sha256, ())


def _is_named(name: str) -> bool:
    return name in EMBEDDED or parse_data_reference(name) is not None


def _to_upload(name: str, sha256: str) -> str | None:
    """What to say of a data set that was a file; None for one that its name finds again."""
    here = f" (this page's own {name} has another hash)" if name in EMBEDDED else ""
    if _is_named(name) and (not here or embedded(name).sha256 == sha256):
        return None
    return (
        f"The card's data set is a file called {abbreviated(name)}, and its samples have the hash "
        f"{abbreviated(sha256[:16])}{here}. The card does not hold the file: upload it."
    )


def _shown(settings: Generation, names: tuple[str, ...]) -> tuple[Generation, list[str]]:
    """The settings with those alone that have a field, and a note on each that has none."""
    default, notes = type(settings)(), []
    for field in fields(settings):
        value, usual = getattr(settings, field.name), getattr(default, field.name)
        if field.name not in names and value != usual:
            notes.append(
                f"{field.name} is {abbreviated(value)}, and the page has no field for it: an "
                f"evaluation from here runs with {abbreviated(usual)}."
            )
            settings = replace(settings, **{field.name: usual})
    return settings, notes
