"""Finds models of a task by words: first those on this machine, then those of the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines import validation
from pipelines.errors import ModelUnavailable
from pipelines.hub.local import names_of
from pipelines.hub.offline import models_here
from pipelines.hub.references import Reference, parse_reference
from pipelines.hub.remote import hub_errors, token_for
from pipelines.hub.sources import Folder, card_entry
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task

_TIMEOUT_SECONDS = 6
_LIMIT = 20
_LONGEST_QUERY = 200
_WIDTHS = {"F64": 8, "F32": 4, "I64": 8, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


@dataclass(frozen=True)
class ModelRow:
    """One model. What the Hub does not say, or a local model does not have, is None."""

    reference: str
    downloads: int | None = None
    likes: int | None = None
    size_bytes: int | None = None
    licence: str | None = None
    is_gated: bool = False
    is_local: bool = False


@dataclass(frozen=True)
class SearchResult:
    """Models on this machine, then the Hub's, most downloaded first.

    ``note`` says why there are none of the Hub, if so.
    """

    models: tuple[ModelRow, ...]
    note: str | None = None


def search(task: Task, query: object, settings: Settings) -> SearchResult:
    """Models of a task whose names hold the words of the query; an empty one finds the most used.

    Raises:
        InvalidValue: the query is no text, or too long.
    """
    words = validation.text("query", query, _LONGEST_QUERY).strip()
    here = tuple(_local(task, words, settings))
    if not settings.hub_enabled:
        return SearchResult(here, "This page was started without the Hub; these models are here.")
    try:
        rows = [row for tag in TASKS[task].hub_tags for row in _ask(tag, words, settings)]
    except ModelUnavailable:
        return SearchResult(here, "The Hub could not be reached; these models are here.")
    found = {row.reference: row for row in map(_model_row, rows) if row is not None}
    others = [row for name, row in found.items() if name not in {one.reference for one in here}]
    most = sorted(others, key=lambda row: row.downloads or 0, reverse=True)
    return SearchResult((*here, *most[:_LIMIT]))


def _local(task: Task, words: str, settings: Settings) -> Iterator[ModelRow]:
    models = models_here(settings)
    for name in names_of(models, task, settings):
        if all(word in name.lower() for word in words.lower().split()):
            folder = Folder(name, models[name])
            size = sum(folder.files.values())
            yield ModelRow(
                name, size_bytes=size, licence=card_entry(folder, "license"), is_local=True
            )


def _ask(tag: str, words: str, settings: Settings) -> list[Any]:
    """The Hub's answer for one of its task names. Its client has no time limit here, so we ask."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    wanted = ("downloads", "likes", "cardData", "safetensors", "gated")
    with hub_errors(Reference("the/search")):
        response = get_session().get(
            f"{constants.ENDPOINT}/api/models",
            params={
                "pipeline_tag": tag,
                "filter": "safetensors",
                "sort": "downloads",
                "limit": _LIMIT,
                "expand": list(wanted),
                **({"search": words} if words else {}),
            },
            headers=build_hf_headers(token=token_for(settings)),
            timeout=_TIMEOUT_SECONDS,
        )
        hf_raise_for_status(response)
        rows = response.json()
    return rows if isinstance(rows, list) else []


def _model_row(row: object) -> ModelRow | None:
    """A row of the Hub's answer, if its name is a reference."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return None
    if parse_reference(row["id"]) is None:
        return None
    card = row.get("cardData")
    licence = card.get("license") if isinstance(card, dict) else None
    return ModelRow(
        row["id"],
        _count(row.get("downloads")),
        _count(row.get("likes")),
        _size(row.get("safetensors")),
        licence if isinstance(licence, str) else None,
        bool(row.get("gated")),
    )


def _size(safetensors: object) -> int | None:
    """Bytes of the weights, from how many numbers of each type the Hub has counted."""
    counts = safetensors.get("parameters") if isinstance(safetensors, dict) else None
    if not isinstance(counts, dict):
        return None
    return sum(_WIDTHS.get(str(dtype), 1) * (_count(n) or 0) for dtype, n in counts.items())


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None
