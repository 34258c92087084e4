"""The downloads on this disk: their sizes, when they were last used, and how room is made.

The modification time of a commit's folder is its time of last use, because access times are
switched off on many disks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.device import mebibytes
from pipelines.errors import ModelUnavailable, abbreviated
from pipelines.hub.references import Reference
from pipelines.settings import Settings

Kind = Literal["model", "data set"]
_FOLDERS: dict[Kind, str] = {"model": "models", "data set": "datasets"}
_FRESH_SECONDS = 600  # so long after it was resolved, a snapshot may be about to be loaded


@dataclass(frozen=True)
class Stored:
    """One commit of a repository on disk. ``last_used`` is in seconds since 1970."""

    reference: str
    commit: str
    size_bytes: int
    last_used: float
    path: Path
    kind: Kind


def stored(settings: Settings) -> list[Stored]:
    """All downloads, most recently used first."""
    if not _cache(settings).is_dir():
        return []
    from huggingface_hub import scan_cache_dir

    found = [
        Stored(
            repository.repo_id,
            revision.commit_hash,
            revision.size_on_disk,
            revision.snapshot_path.stat().st_mtime,
            revision.snapshot_path,
            "data set" if repository.repo_type == "dataset" else "model",
        )
        for repository in scan_cache_dir(_cache(settings)).repos
        for revision in repository.revisions
    ]
    return sorted(found, key=lambda one: one.last_used, reverse=True)


def delete(reference: str, commit: str, settings: Settings, in_use: Collection[str] = ()) -> int:
    """Deletes one commit from the disk; returns the bytes that it freed.

    Args:
        in_use: commits that must stay, whole or by their first 12 digits.

    Raises:
        ModelUnavailable: it is not there, or it is in use.
    """
    chosen = [s for s in stored(settings) if (s.reference, s.commit) == (reference, commit)]
    if not chosen:
        raise ModelUnavailable(f"{abbreviated(reference)} is not on this disk, or is gone already.")
    if _is_in_use(commit, in_use):
        raise ModelUnavailable(
            f"{reference} is in use. Unload it, or wait until the evaluation with it has ended, "
            "then delete it."
        )
    return _delete(commit, settings)


def make_room(needed_bytes: int, settings: Settings, in_use: Collection[str] = ()) -> None:
    """Deletes the least recently used downloads until so many bytes fit the disk budget.

    Raises:
        ModelUnavailable: the downloads in use leave too little.
    """
    there = stored(settings) if needed_bytes else []
    held = sum(one.size_bytes for one in there)
    now = time.time()
    for one in reversed(there):
        if held + needed_bytes <= settings.disk_budget_bytes:
            return
        if not _is_in_use(one.commit, in_use) and now - one.last_used > _FRESH_SECONDS:
            held -= _delete(one.commit, settings)
    if held + needed_bytes > settings.disk_budget_bytes:
        raise ModelUnavailable(
            f"{mebibytes(needed_bytes)} are to be fetched; downloads in use hold {mebibytes(held)} "
            f"of the disk budget of {mebibytes(settings.disk_budget_bytes)}. Wait until they are "
            "idle for ten minutes, delete one, or start with a larger budget."
        )


def repository_folder(repo: str, settings: Settings, kind: Kind = "model") -> Path:
    """Where the Hub's client keeps a repository; its name is vetted and holds no step upwards."""
    return _cache(settings) / f"{_FOLDERS[kind]}--{repo.replace('/', '--')}"


def snapshot_folder(where: Reference, commit: str, settings: Settings) -> Path:
    """Where the Hub's client puts the files of this commit and folder."""
    return repository_folder(where.repo, settings) / "snapshots" / commit / where.folder


def mark_used(repo: str, commit: str, settings: Settings) -> None:
    """Sets the time of last use of a commit on disk to now."""
    os.utime(repository_folder(repo, settings) / "snapshots" / commit)


def missing(folder: Path, files: Mapping[str, int]) -> dict[str, int]:
    """Those of the files, sizes in bytes by path, that the folder has not, or not of this size."""
    there = {name: folder / name for name in files}
    return {
        name: size
        for name, size in files.items()
        if not there[name].is_file() or there[name].stat().st_size != size
    }


def _cache(settings: Settings) -> Path:
    return settings.data_dir / "hub"


def _delete(commit: str, settings: Settings) -> int:
    from huggingface_hub import scan_cache_dir

    strategy = scan_cache_dir(_cache(settings)).delete_revisions(commit)
    strategy.execute()
    return strategy.expected_freed_size


def _is_in_use(commit: str, in_use: Collection[str]) -> bool:
    return any(commit.startswith(used) for used in in_use if used)
