"""Turns a model reference into a vetted local snapshot, adapters included.

What a visitor types is matched against names on this machine or against the Hub's own
grammar. Base and adapters are each vetted: the name of a base that an adapter gives is no
more trusted than a visitor's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pipelines.device import Device
from pipelines.errors import ModelUnavailable, abbreviated
from pipelines.events import Progress, Report
from pipelines.hub.adapters import (
    check_adapter,
    check_fit,
    is_adapter,
    memory_bytes,
    named_base,
    weights_file,
)
from pipelines.hub.checks import Findings, check_access, check_kind, check_memory, check_weights
from pipelines.hub.download import fetched, found_on_disk
from pipelines.hub.local import local_folder, local_models, what_is_allowed
from pipelines.hub.offline import offline_folder
from pipelines.hub.references import Part, composed_name, parse_composition, parse_reference
from pipelines.hub.remote import OutOfReach, Repository, look_up
from pipelines.hub.sources import Folder, Source
from pipelines.settings import Settings
from pipelines.tasks import Task


@dataclass(frozen=True)
class Adapter:
    """A vetted LoRA on disk that fits its base, and how strongly it is to act (-2 to 2)."""

    reference: str
    path: Path
    commit: str
    weight: float
    weight_bytes: int


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint on disk that may be loaded, and the adapters to put on it, if any.

    ``commit`` is the Hub's commit, or the hash of the files' contents where there is none.
    ``parameters`` counts the numbers in the base's weights, whatever their precision.
    ``variant`` is the copy of a pipeline's weights that is to be loaded, where there are several.
    ``notes`` are remarks for the visitor on how base and adapters were chosen.
    """

    reference: str
    path: Path
    commit: str
    task: Task
    weight_bytes: int
    parameters: int
    family: str
    variant: str | None = None
    adapters: tuple[Adapter, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The composed reference in its canonical form; that of the base without adapters."""
        return composed_name(self.reference, [(a.reference, a.weight) for a in self.adapters])


_Place = TypeVar("_Place", bound=Folder | Repository, covariant=True)
_Other = TypeVar("_Other", bound=Folder | Repository)


@dataclass(frozen=True)
class Parts(Generic[_Place]):
    """The base and the adapters that a reference names, each with its place, adapters with their
    weights: folders on disk, or repositories of the Hub."""

    base: _Place
    adapters: tuple[tuple[_Place, float], ...]

    @property
    def places(self) -> list[_Place]:
        return [self.base, *(place for place, _ in self.adapters)]

    def each(self, change: Callable[[_Place], _Other]) -> Parts[_Other]:
        """The same parts in other places."""
        adapters = tuple((change(place), weight) for place, weight in self.adapters)
        return Parts(change(self.base), adapters)


Found = Parts[Folder | Repository]


def resolve(
    reference: object,
    task: Task,
    settings: Settings,
    report: Report | None = None,
    device: Device | None = None,
    in_use: Collection[str] = (),
    kind_of: Callable[[Source, Task], str] = check_kind,
) -> Snapshot:
    """The vetted snapshot of a reference, downloaded where it has to be.

    Args:
        reference: what the visitor chose or typed.
        task: what it is wanted for.
        report: gets a download's progress; what it raises ends the download.
        device: where it will run: decides which copy of the weights is fetched, and whether
            the model fits the memory. Without one, the copy in full precision.
        in_use: commits that must stay on disk when room is made.
        kind_of: gives the family of a base, or raises StudioError where it is of no use here.

    Raises:
        ModelUnavailable: unknown, malformed, unreachable or unsafe; or an adapter that does
            not fit its base.
        WrongTask: the checkpoint does something else.
        OutOfBudget: it is larger than the memory budget.
    """
    tell, half = report or (lambda progress: None), is_half(device)
    parts = find_parts(reference, task, settings, tell)
    parts = parts.each(lambda place: found_on_disk(place, half, settings))
    findings = check_parts(parts, task, settings, device, kind_of)
    keep = {*in_use, *(place.commit for place in parts.places)}
    folders = parts.each(lambda place: fetched(place, half, settings, tell, keep))
    if folders != parts:  # a repository may say one thing and send another
        findings = check_parts(folders, task, settings, device, kind_of)
    return _snapshot(folders, findings, task, kind_of(folders.base, task))


def _snapshot(parts: Parts[Folder], findings: Findings, task: Task, family: str) -> Snapshot:
    base = parts.base
    return Snapshot(
        reference=base.reference,
        path=base.path,
        commit=base.commit,
        task=task,
        weight_bytes=sum(findings.selection.weights.values()),
        parameters=findings.parameters,
        family=family,
        variant=findings.selection.variant,
        adapters=tuple(_adapter(folder, weight) for folder, weight in parts.adapters),
        notes=notes_on(parts),
    )


def _adapter(folder: Folder, weight: float) -> Adapter:
    size = weights_file(folder.path).stat().st_size
    return Adapter(folder.reference, folder.path, folder.commit, weight, size)


def find_parts(reference: object, task: Task, settings: Settings, tell: Report) -> Found:
    """Finds a reference's base and adapters. Asks the Hub; fetches small files at most.

    Raises:
        ModelUnavailable: malformed, unknown or unreachable, or no base with adapters.
    """
    if not isinstance(reference, str) or not reference.strip():
        raise ModelUnavailable(
            f"The model is {abbreviated(reference)}; {what_is_allowed(task, settings)}"
        )
    text = reference.strip()
    here = local_models(settings)
    first, *rest = [Part(text)] if text in here else parse_composition(text)  # a name is one part
    base = _find(first.text, task, settings, here, tell)
    if is_adapter(base):
        rest = [first, *rest]
        base = _find(_base_named_by(base), task, settings, here, tell)
    elif first.weight is not None:
        raise ModelUnavailable(
            f"{base.reference} is a whole model; only the adapters after it have a weight."
        )
    adapters: list[tuple[Folder | Repository, float]] = []
    for part in rest:
        found = _find(part.text, task, settings, here, tell)
        if found.reference in [source.reference for source, _ in adapters]:
            raise ModelUnavailable(
                f"{found.reference} is given twice. Give it once, with the weight that you want."
            )
        adapters.append((found, 1.0 if part.weight is None else part.weight))
    return Parts(base, tuple(adapters))


def _base_named_by(adapter: Folder | Repository) -> str:
    check_access(adapter)
    base = named_base(adapter)
    if base is None:
        raise ModelUnavailable(
            f"{adapter.reference} is an adapter (LoRA) that names no base. Write "
            f"base + {adapter.reference}."
        )
    return base


def _find(
    name: str, task: Task, settings: Settings, here: dict[str, Path], tell: Report
) -> Folder | Repository:
    """``here`` are the local models."""
    path = here.get(name)
    if path is not None:
        return local_folder(name, path)
    found = parse_reference(name)
    if found is None:
        raise ModelUnavailable(
            f"There is no model {abbreviated(name)}; {what_is_allowed(task, settings)}"
        )
    if not settings.hub_enabled:
        raise ModelUnavailable(
            f"{found.name} is on the Hub, and this page was started without it; "
            f"{what_is_allowed(task, settings)}"
        )
    tell(Progress(f"Asking the Hub for {found.name}"))
    try:
        return look_up(found, settings)
    except OutOfReach:
        folder = offline_folder(found, settings)
        if folder is None:
            raise
        return folder


def check_parts(
    parts: Found, task: Task, settings: Settings, device: Device | None,
    kind_of: Callable[[Source, Task], str] = check_kind,
) -> Findings:  # fmt: skip
    """Checks base and adapters, without fetching a byte of weights; returns the base's findings.

    Raises:
        StudioError: naming the first thing that is wrong.
    """
    base = parts.base
    check_access(base)
    kind_of(base, task)
    findings = check_weights(base, is_half(device))
    if device is not None:
        needed = findings.memory_bytes(device)
        check_memory(base.reference, needed, settings.memory_budget_bytes)
    for source, _ in parts.adapters:
        check_access(source)
        if not is_adapter(source):
            raise ModelUnavailable(
                f"{source.reference} is a whole model, not an adapter (LoRA), and cannot be put "
                f"on {base.reference}. Choose one of the two."
            )
        check_adapter(source)
        check_fit(source, base, findings.selection.weights)
    if device is not None:
        needed = findings.memory_bytes(device) + adapters_memory(parts, device)
        check_memory(f"{base.reference} with its adapters", needed, settings.memory_budget_bytes)
    return findings


def adapters_memory(parts: Found, device: Device) -> int:
    """The bytes that the adapters of non-zero weight take beside their base."""
    return sum(memory_bytes(source, device) for source, weight in parts.adapters if weight != 0)


def is_half(device: Device | None) -> bool:
    """Whether the device computes in half precision."""
    return device is not None and device.dtype_name == "float16"


def notes_on(parts: Found) -> tuple[str, ...]:
    """A line for each part that was found without the Hub, and for each adapter that names
    another base than the one it is put on.
    """
    notes = [place.note for place in parts.places if isinstance(place, Folder) and place.note]
    for source, _ in parts.adapters:
        named = named_base(source)
        parsed = parse_reference(named or "")
        if named is not None and parts.base.reference != (parsed.name if parsed else named):
            notes.append(
                f"{source.reference} was trained on {abbreviated(named)}; its layers fit "
                f"{parts.base.reference} as well."
            )
    return tuple(notes)
