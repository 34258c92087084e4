"""The models on this machine by name: the embedded ones, the owner's, the page's fine-tunes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from pipelines.errors import ModelUnavailable
from pipelines.hub.adapters import (
    CONFIG,
    DIFFUSERS_WEIGHTS,
    declared_task,
    is_adapter_of,
    named_base,
)
from pipelines.hub.families import family_of, read_json, tasks_of_family
from pipelines.hub.sources import Folder, stamps_below
from pipelines.settings import Settings
from pipelines.tasks import Task

_MARKS = ("config.json", "model_index.json", CONFIG, DIFFUSERS_WEIGHTS)


def local_models(settings: Settings) -> dict[str, Path]:
    """Names and folders: the embedded models, the owner's, then fine-tunes made on the page.

    Adapters are among them.
    """
    found: dict[str, Path] = {}
    tuned = settings.data_dir / "models"
    for directory in (settings.models_dir, settings.extra_models_dir, tuned):
        if directory is None or not directory.is_dir():
            continue
        for path in sorted(directory.iterdir()):
            if any((path / name).is_file() for name in _MARKS):
                found.setdefault(path.name, path)
    return found


def local_names(settings: Settings, task: Task) -> list[str]:
    """The local models of one task, in the order that a picker shows: adapters come last.

    A broken one is left out; opening it by name raises an error that says what is wrong with it.
    """
    return names_of(local_models(settings), task, settings)


def chat_names(settings: Settings) -> list[str]:
    """The local writers that have a chat template of their own."""
    models = local_models(settings)
    return [name for name in local_names(settings, "write") if _has_template(models[name])]


def _has_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file():
        return True
    return bool(read_json(path / "tokenizer_config.json").get("chat_template"))


def names_of(models: dict[str, Path], task: Task, settings: Settings) -> list[str]:
    """Those of a task among models and their folders; adapters come last."""
    names = [name for name, path in models.items() if task in _shown_tasks(path, settings)]
    return sorted(names, key=lambda name: _is_adapter(models[name]))


def _shown_tasks(path: Path, settings: Settings) -> tuple[Task, ...]:
    try:
        return tasks_of(path, settings)
    except ModelUnavailable:
        return ()


def tasks_of(path: Path, settings: Settings | None = None) -> tuple[Task, ...]:
    """What the checkpoint in this folder can do, read from its configuration.

    An adapter does what its base does, where that is among the local models of the settings;
    else what its own files name.

    Raises:
        ModelUnavailable: the configuration is not a JSON object.
    """
    if not _is_adapter(path):
        return tasks_of_family(family_of(path))
    folder = Folder(path.name, path)
    base = local_models(settings).get(named_base(folder) or "") if settings is not None else None
    if base is None or _is_adapter(base):
        declared = declared_task(folder)
        return () if declared is None else (declared,)
    return tasks_of_family(family_of(base))


def _is_adapter(path: Path) -> bool:
    """Looks for a few file names alone: pickers do so for every model whenever they open."""
    return is_adapter_of([name for name in _MARKS if (path / name).is_file()])


def what_is_allowed(task: Task, settings: Settings) -> str:
    """The end of a message on a bad reference."""
    names = ", ".join(local_names(settings, task))
    if not names and not settings.hub_enabled:
        return "there is none here for this task. Put a checkpoint into a folder for --model-dir."
    names = names or "none"
    hub = (
        ", or a model of the Hub as owner/repo or owner/repo@revision"
        if settings.hub_enabled
        else ""
    )
    return f"choose one that is here ({names}){hub}."


def local_folder(name: str, path: Path) -> Folder:
    """The model of this name, with a hash of all its files but those that end in ``.md`` for its
    commit; the same object, with what was read of it, until the size or time of a file changes."""
    return _folder(name, path, tuple(stamps_below(path).items()))


@lru_cache(maxsize=64)
def _folder(name: str, path: Path, stamps: tuple[tuple[str, tuple[int, int]], ...]) -> Folder:
    digest = hashlib.sha256()
    for file, (size, _) in stamps:
        if not file.endswith(".md"):
            digest.update(f"{file}\0{size}\0".encode())
            digest.update((path / file).read_bytes())
    return Folder(name, path, digest.hexdigest()[:40])
