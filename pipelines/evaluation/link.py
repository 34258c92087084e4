"""An evaluation as a link: the panel's fields in the page's query string, ``/?evaluate=...``.

It is coded and bounded as a comparison's link is, and is a stranger's input as well. A data set
that was uploaded has no name to be found by, so its evaluations have no link.
"""

from __future__ import annotations

from typing import Any

from pipelines import validation
from pipelines.datasets.samples import DataSet
from pipelines.errors import InvalidValue
from pipelines.evaluation.request import (
    TASKS,
    EvaluationRequest,
    settings_from,
)
from pipelines.evaluation.setup import SHOWN, UPLOAD, Setup, named_setup
from pipelines.model_comparison.link import check_fields, packed, unpacked
from pipelines.settings import Limits

PARAMETER = "evaluate"
"""The name in the query string."""

_FIELDS = (
    "task", "data", "models", "metrics", "sample_size", "seed", "settings", "clip", "extractor",
)  # fmt: skip


def encode(setup: Setup) -> str:
    """The value of the query's parameter, in letters that need no escaping.

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
    content: dict[str, Any] = {
        "task": request.task,
        "data": setup.data,
        "models": list(request.models),
        "metrics": list(request.metrics),
        "sample_size": request.sample_size,
        "seed": request.seed,
        "settings": {name: getattr(request.settings, name) for name in SHOWN[request.task]},
        "clip": request.clip,
        "extractor": request.extractor,
    }
    return packed(content, "Name fewer models, or hand on the card.")


def decode(text: object, limits: Limits) -> Setup:
    """The fields that a link's parameter holds.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    content = unpacked(text)
    check_fields("The link", content, _FIELDS)
    task: Any = validation.choice("task of the link", content["task"], TASKS)
    check_fields("settings of the link", content["settings"], SHOWN[task])
    request = EvaluationRequest(
        task, DataSet("", "", ()), content["models"], content["metrics"], content["sample_size"],
        content["seed"], settings_from(task, content["settings"]), content["clip"],
        content["extractor"],
    )  # fmt: skip
    return named_setup(request, content["data"], limits)
