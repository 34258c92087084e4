"""The fields of the panel "Side by side", and a comparison as a link of them, ``/?compare=...``.

The fields stand by name as a link has them: the task, what both sides share, and under ``A`` and
``B`` a model with the settings of its own. Which these are is in the task's record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import validation
from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.images import open_picture
from pipelines.model_comparison.pipeline import NAMES, SIDES, CompareRequest, SideRequest
from pipelines.runtime.receipts import plain
from pipelines.settings import Limits
from pipelines.sharing import links
from pipelines.sharing.links import Rules, packed, unpacked
from pipelines.sharing.names import ModelName
from pipelines.tasks import TASKS, TaskRecord
from pipelines.validation import Choice, defaults_of, known_task, rule_of

PARAMETER = "compare"
"""The name in the query string."""

Fields = dict[str, Any]


def encode(fields: Fields) -> str:
    """The text of a link, in letters that need no escaping.

    Raises:
        InvalidValue: it would be too long.
    """
    return packed(fields, "Shorten the prompt, or pass on the card.")


def decode(text: object, limits: Limits) -> Fields:
    """The fields that a link's text holds.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    return checked(unpacked(text), limits)


def checked(fields: Fields, limits: Limits) -> Fields:
    """Just the fields of their task, each in its range; what ``decode`` raises."""
    task = known_task(fields.get("task"), "task of the link")
    return links.checked(fields, _rules(task), _defaults(task), limits)


def _rules(record: TaskRecord) -> Rules:
    kind = record.pipeline.Request
    own = {shown: rule_of(kind, name) for name, shown in record.compared.items()}
    side = {"model": ModelName(), **own}
    shared = {name: rule_of(kind, name) for name in record.shared}
    return {"task": Choice(tuple(TASKS)), **shared, **dict.fromkeys(NAMES.values(), side)}


def _defaults(record: TaskRecord) -> Fields:
    """The values of settings that a link lacks, by the page's names: the request's own."""
    names = {**{name: name for name in record.shared}, **record.compared}
    given = defaults_of(record.pipeline.Request)
    return {shown: _shown(given[name]) for name, shown in names.items() if name in given}


def request_of(fields: Mapping[str, Any], picture: str | None, limits: Limits) -> CompareRequest:
    """The request that fields make, of which those of other tasks are not read.

    It is checked when it runs, but for the picture.

    Args:
        picture: the path of an uploaded file, for a task that takes one.

    Raises:
        InvalidValue: there is no such task, or the picture is missing or cannot be read.
    """
    record = known_task(fields["task"])
    shared = {name: fields[name] for name in record.shared}
    if record.takes == "picture":
        if not picture:
            raise InvalidValue("There is no picture yet. Upload, paste or take one.")
        shared["picture"] = open_picture(Path(picture), limits)
    sides = []
    for own in (fields[name] for name in NAMES.values()):
        settings = {name: own[shown] for name, shown in record.compared.items()}
        sides.append(record.pipeline.Request(model=own["model"], **settings, **shared))
    return CompareRequest(record.name, *sides)


def fields_of(request: CompareRequest) -> Fields:
    """The fields that make this request; its picture has to be given again.

    Raises:
        InvalidValue: the request sets something that the page has no field for.
    """
    record = TASKS[request.task]
    for name in record.shared:
        if getattr(request.right, name) != getattr(request.left, name):
            raise InvalidValue(f"A and B have not the same {name}; the page gives one to both.")
    shared = {name: _shown(getattr(request.left, name)) for name in record.shared}
    sides = {NAMES[side]: _side_of(record, getattr(request, side)) for side in SIDES}
    return {"task": request.task, **shared, **sides}


def _side_of(record: TaskRecord, request: SideRequest) -> Fields:
    known = {"model", "picture", "picture_sha256", *record.shared, *record.compared}
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if field.name not in known and plain(value) != plain(field.default):
            raise InvalidValue(
                f"{field.name} is {abbreviated(value)}, and the page has no field for it: it "
                f"compares with {abbreviated(field.default)} alone."
            )
    own = {shown: _shown(getattr(request, name)) for name, shown in record.compared.items()}
    return {"model": request.model, **own}


def _shown(value: Any) -> Any:
    """How the page has it: a number where a request leaves a value to the model, or to chance."""
    return validation.OWN if value is None else value
