"""An evaluation as a link: the panel's fields in the page's query string, ``/?evaluate=...``.

An uploaded data set cannot be opened by its name, so its evaluations have no link.
"""

from __future__ import annotations

from dataclasses import fields

from pipelines.datasets.samples import DataSet
from pipelines.errors import InvalidValue
from pipelines.evaluation.request import SETTINGS, EvaluationRequest, settings_from
from pipelines.evaluation.setup import UPLOAD, Setup, named_setup
from pipelines.settings import Limits
from pipelines.sharing.links import packed, unpacked
from pipelines.sharing.reading import completed
from pipelines.tasks import TASKS
from pipelines.validation import defaults_of, known_task

PARAMETER = "evaluate"
"""The name in the query string."""

_FIELDS = tuple(field.name for field in fields(EvaluationRequest))


def encode(setup: Setup) -> str:
    """The text of a link, in letters that need no escaping.

    Raises:
        InvalidValue: the data set was uploaded, a setting has no field, or it would be too long.
    """
    if setup.data == UPLOAD:
        raise InvalidValue(
            "There is no link to an evaluation on a file of one's own. Hand on the card and the "
            "file."
        )
    if setup.notes:
        raise InvalidValue(f"There is no link to this evaluation: {setup.notes[0]}")
    request = setup.request
    settings = {n: getattr(request.settings, n) for n in TASKS[request.task].evaluated}
    content = {name: getattr(request, name) for name in _FIELDS}
    content |= {"data": setup.data, "settings": settings}
    return packed(content, "Name fewer models, or pass on the card.")


def decode(text: object, limits: Limits) -> Setup:
    """The fields that a link's text holds, each of its type and in its range.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    defaults = {**defaults_of(EvaluationRequest), "settings": {}}
    content = completed("The link", unpacked(text), _FIELDS, defaults)
    task = known_task(content["task"], "task of the link")
    usual = defaults_of(SETTINGS[task.name])
    own = completed("settings of the link", content["settings"], task.evaluated, usual)
    settings = settings_from(task.name, own)
    unread = {"data": DataSet("", "", ()), "settings": settings}
    return named_setup(EvaluationRequest(**content | unread), content["data"], limits)
