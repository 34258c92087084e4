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
from pipelines.hub import Snapshot, local_models, parse_reference, read_json, resolve
from pipelines.hub.own_models import architecture_of
from pipelines.hub.sources import Source, configuration_of
from pipelines.settings import Settings
from pipelines.tasks import Task

EMBEDDED_CLIP = "emoji-clip"
CLASSES = ("CLIPModel", "VisionTextDualEncoderModel")


def clip_names(settings: Settings) -> list[str]:
    """The names of the CLIP models on this machine."""
    return [name for name, path in local_models(settings).items() if _is_clip_folder(path)]


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
    name, here = name.strip(), clip_names(settings)
    if name not in here and (not settings.hub_enabled or parse_reference(name) is None):
        hub = ", or one of the Hub as owner/repo" if settings.hub_enabled else ""
        raise ModelUnavailable(
            f"There is no CLIP model {abbreviated(name)} on this machine; there are: "
            f"{', '.join(here) or 'none'}. Give one that is there as clip{hub}, or leave CLIPScore "
            "and recall out."
        )
    snapshot = resolve(name, "describe", settings, report, device, in_use, _checked_clip)
    if snapshot.adapters:
        raise WrongTask(f"{name} is an adapter (LoRA); a whole CLIP model is needed.")
    return snapshot


def _checked_clip(source: Source, task: Task) -> str:
    if not _is_clip(configuration_of(source)):
        raise WrongTask(
            f"{source.reference} is no CLIP model: a checkpoint is needed of the class "
            f"{' or '.join(CLASSES)}."
        )
    return "clip"


def _is_clip_folder(path: Path) -> bool:
    try:
        return _is_clip(read_json(path / "config.json"))
    except ModelUnavailable:  # a broken folder is no CLIP; by name it is refused with the reason
        return False


def _is_clip(config: dict[str, object]) -> bool:
    return architecture_of(config) in CLASSES
