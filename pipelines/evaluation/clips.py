"""Turns the name of a CLIP model into a vetted snapshot: of this machine, or of the Hub.

CLIP does none of the page's tasks, so no task's list of families has it. What may be fetched
and opened is decided by the same checks as for every other model.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pipelines.device import Device
from pipelines.errors import ModelUnavailable, WrongTask, abbreviated
from pipelines.events import Report
from pipelines.hub import Snapshot, local_models, parse_reference, read_json
from pipelines.hub.checks import Findings, check_access, check_memory, check_weights
from pipelines.hub.download import fetched, found_on_disk
from pipelines.hub.local import content_hash
from pipelines.hub.remote import Repository
from pipelines.hub.snapshots import find_parts, is_half, notes_on
from pipelines.hub.sources import Folder, Source, configuration_of
from pipelines.settings import Settings

EMBEDDED_CLIP = "emoji-clip"
CLASSES = ("CLIPModel", "VisionTextDualEncoderModel")


def clip_names(settings: Settings) -> list[str]:
    """The names of the CLIP models on this machine."""
    return list(_local_clips(settings))


def resolve_clip(
    name: str, settings: Settings, device: Device, report: Report, in_use: Collection[str] = ()
) -> Snapshot:
    """The vetted snapshot of a CLIP model, downloaded where it has to be.

    Args:
        report: gets a download's progress; what it raises ends the download.
        in_use: commits that must stay on disk when room is made.

    Raises:
        ModelUnavailable: unknown, malformed, unreachable or unsafe.
        WrongTask: it is no CLIP.
        OutOfBudget: it is larger than the memory budget.
    """
    source, notes = _found(name.strip(), settings, report)
    check_access(source)
    source = found_on_disk(source, is_half(device), settings)
    _vetted(source, settings, device)
    source = fetched(source, is_half(device), settings, report, in_use)
    findings = _vetted(source, settings, device)
    return Snapshot(
        reference=source.reference,
        path=source.path,
        commit=source.commit,
        task="describe",
        weight_bytes=sum(findings.selection.weights.values()),
        parameters=findings.parameters,
        family="clip",
        variant=findings.selection.variant,
        notes=notes,
    )


def _found(
    name: str, settings: Settings, report: Report
) -> tuple[Folder | Repository, tuple[str, ...]]:
    """Its folder or repository, and remarks on the search."""
    here = _local_clips(settings)
    if name in here:
        return Folder(name, here[name], content_hash(here[name])), ()
    if not settings.hub_enabled or parse_reference(name) is None:
        hub = ", or one of the Hub as owner/repo" if settings.hub_enabled else ""
        raise ModelUnavailable(
            f"There is no CLIP model {abbreviated(name)} on this machine; there are: "
            f"{', '.join(here) or 'none'}. Give one that is there as clip{hub}, or leave CLIPScore "
            "and recall out."
        )
    parts = find_parts(name, "describe", settings, report)
    if parts.adapters:
        raise WrongTask(f"{name} is an adapter (LoRA); a whole CLIP model is needed.")
    return parts.base, notes_on(parts)


def _vetted(source: Source, settings: Settings, device: Device) -> Findings:
    """What its headers tell, if it is a CLIP in safetensors that fits the memory."""
    if not _is_clip(configuration_of(source)):
        raise WrongTask(
            f"{source.reference} is no CLIP model: a checkpoint is needed of the class "
            f"{' or '.join(CLASSES)}."
        )
    findings = check_weights(source, is_half(device))
    needed = findings.memory_bytes(device)
    check_memory(source.reference, needed, settings.memory_budget_bytes)
    return findings


def _local_clips(settings: Settings) -> dict[str, Path]:
    return {name: path for name, path in local_models(settings).items() if _is_clip_folder(path)}


def _is_clip_folder(path: Path) -> bool:
    try:
        return _is_clip(read_json(path / "config.json"))
    except ModelUnavailable:  # a broken folder is no CLIP; by name it is refused with the reason
        return False


def _is_clip(config: dict[str, object]) -> bool:
    architectures = config.get("architectures")
    return isinstance(architectures, list) and architectures[:1] in [[name] for name in CLASSES]
