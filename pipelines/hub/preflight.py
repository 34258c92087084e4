"""What a model would take, found out before a byte of its weights is fetched.

Sizes come from the Hub's list of files, and memory from the headers of the weights: the
numbers are those that loading it will then show.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.device import Device, mebibytes
from pipelines.errors import ModelUnavailable, OutOfBudget, StudioError
from pipelines.hub.checks import check_access, check_kind, check_weights
from pipelines.hub.disk import missing, snapshot_folder
from pipelines.hub.download import check_room
from pipelines.hub.families import family_of, tasks_of_family
from pipelines.hub.references import composed_name
from pipelines.hub.remote import Repository
from pipelines.hub.selection import select, select_from
from pipelines.hub.snapshots import (
    Found,
    adapters_memory,
    check_parts,
    find_parts,
    is_half,
    notes_on,
)
from pipelines.hub.sources import Folder, Source, card_entry, configuration_of
from pipelines.settings import Settings
from pipelines.tasks import Task

_SENTENCE_END = re.compile(r"(?<=[^.]\.) (?=[A-Z])")


@dataclass(frozen=True)
class Preflight:
    """A model as it was found, and whether it can be used here. Sizes are in bytes.

    ``stored_as`` is the weights' type in the file format's words, ``computed_in`` the dtype in
    which they would run. ``family``, ``does`` and what comes from the headers are None or 0 where
    the model could not be looked into. ``helps`` says what to do when ``fits`` is False.
    """

    reference: str
    commit: str
    is_local: bool
    is_gated: bool
    is_private: bool
    licence: str | None
    bytes_total: int
    bytes_to_fetch: int
    free_disk_bytes: int
    memory_budget_bytes: int
    computed_in: str
    family: str | None = None
    does: tuple[Task, ...] = ()
    parameters: int = 0
    stored_as: str = ""
    expected_memory_bytes: int = 0
    fits: bool = False
    verdict: str = ""
    helps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def preflight(reference: object, task: Task, settings: Settings, device: Device) -> Preflight:
    """What the headers and lists of files say of a model, and whether it can be used here.

    Raises:
        ModelUnavailable: there is no such model, repository or revision, or no Hub.
    """
    parts = find_parts(reference, task, settings, lambda progress: None)
    found = _sizes(parts, settings, device)
    base = parts.base
    try:
        check_access(base)
        family = family_of(configuration_of(base))
        found = replace(found, family=family, does=tasks_of_family(family))
        check_kind(base, task)
        findings = check_weights(base, is_half(device))
        found = replace(
            found,
            parameters=findings.parameters,
            stored_as=findings.stored_as,
            expected_memory_bytes=findings.memory_bytes(device),
        )
        check_parts(parts, task, settings, device)
        memory = found.expected_memory_bytes + adapters_memory(parts, device)
        found = replace(found, expected_memory_bytes=memory)
        check_room(base.reference, found.bytes_to_fetch, settings)
    except StudioError as error:
        verdict, *helps = _SENTENCE_END.split(str(error))
        helps += _more_help(error, found, device)
        return replace(found, verdict=verdict, helps=tuple(helps))
    return replace(found, fits=True, verdict=_yes(found), notes=notes_on(parts))


def _sizes(parts: Found, settings: Settings, device: Device) -> Preflight:
    """What the lists of files say."""
    base = parts.base
    adapters = [(place.reference, weight) for place, weight in parts.adapters]
    wanted = [_wanted(place, is_half(device)) for place in parts.places]
    to_fetch = [
        missing(snapshot_folder(place.where, place.commit, settings), files)
        for place, files in zip(parts.places, wanted, strict=True)
        if isinstance(place, Repository)
    ]
    return Preflight(
        reference=composed_name(base.reference, adapters),
        commit=base.commit,
        is_local=isinstance(base, Folder),
        is_gated=isinstance(base, Repository) and base.is_gated,
        is_private=isinstance(base, Repository) and base.is_private,
        licence=card_entry(base, "license") if isinstance(base, Folder) else base.licence,
        bytes_total=sum(sum(files.values()) for files in wanted),
        bytes_to_fetch=sum(sum(files.values()) for files in to_fetch),
        free_disk_bytes=_free_disk(settings.data_dir),
        memory_budget_bytes=settings.memory_budget_bytes,
        computed_in=device.dtype_name,
    )


def _wanted(place: Source, half: bool) -> Mapping[str, int]:
    """The files to fetch; of a gated model, whose lists are not to be had, those by usual names."""
    try:
        return select(place, half).all
    except ModelUnavailable:  # the checks that follow meet it again, and tell it
        return select_from(place.files, half, {}).all


def _free_disk(directory: Path) -> int:
    """Free bytes where the directory is, or will be."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


def _yes(found: Preflight) -> str:
    fetch = f"{mebibytes(found.bytes_to_fetch)} to fetch" if found.bytes_to_fetch else "all here"
    return (
        f"{found.reference} fits: about {mebibytes(found.expected_memory_bytes)} of memory of "
        f"{mebibytes(found.memory_budget_bytes)}, {fetch}."
    )


def _more_help(error: StudioError, found: Preflight, device: Device) -> list[str]:
    """Help that depends on the device: whether other hardware would do."""
    half = found.expected_memory_bytes // 2
    if isinstance(error, OutOfBudget) and not is_half(device) and half <= found.memory_budget_bytes:
        return [f"On a GPU it is computed in half precision and takes about {mebibytes(half)}."]
    return []
