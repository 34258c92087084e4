"""The models of the Hub that are whole on this disk, for when it cannot be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.errors import ModelUnavailable
from pipelines.hub.disk import mark_used, missing, repository_folder, snapshot_folder
from pipelines.hub.families import read_json
from pipelines.hub.local import local_models, names_of
from pipelines.hub.offline_index import (
    DEFAULT_BRANCH,
    FILE,
    entry_of,
    may_be_shown,
    newest_first,
    record_commit,
    remark,
    revision_of,
)
from pipelines.hub.references import Reference
from pipelines.hub.remote import Repository
from pipelines.hub.selection import is_index, select, select_from, shards_of
from pipelines.hub.sources import Folder
from pipelines.settings import Settings
from pipelines.tasks import Task

_MOST_NAMED = 3


def record(source: Repository, settings: Settings) -> None:
    """Writes the commit of a revision and the files that it needs into the offline index."""
    needed = select(source, half=True).all | select(source).all
    record_commit(
        repository_folder(source.where.repo, settings),
        source.where,
        source.commit,
        needed,
        needs_token=source.is_private or source.is_gated,
    )


def offline_folder(where: Reference, settings: Settings) -> Folder | None:
    """The last whole snapshot of a reference on this disk; None where there is nothing of it.

    Raises:
        ModelUnavailable: only a part of it is here, or only other revisions.
    """
    entry = entry_of(repository_folder(where.repo, settings), where, settings)
    if entry is None:
        return None
    revision = revision_of(where)
    whole = _whole(where, revision, entry, settings)
    if whole is None:
        _refuse_with_what_is_here(where, revision, entry, settings)
        return None
    mark_used(where.repo, whole.commit, settings)
    return whole


def _refuse_with_what_is_here(
    where: Reference, revision: str, entry: dict[str, Any], settings: Settings
) -> None:
    """Raises ModelUnavailable where there is a part of a model, or another revision of it."""
    for commit in newest_first(revision, entry):
        lacks = ", ".join(list(_missing(where, commit, entry, settings))[:_MOST_NAMED])
        if (repository_folder(where.repo, settings) / "snapshots" / commit).is_dir():
            raise ModelUnavailable(
                f"The Hub could not be reached, and {where.name} is not whole on this disk; it "
                f"lacks {lacks}. What is here is kept; try again when there is a connection."
            )
    others = [name for name in entry["revisions"] if _whole(where, name, entry, settings)]
    if others:
        raise ModelUnavailable(
            f"The Hub could not be reached, and {revision} of {where.name} is not on this disk; "
            f"{', '.join(others)} of it can be opened. Choose that, or try again later."
        )


def names_here(settings: Settings, task: Task) -> list[str]:
    """All models of a task that open without the Hub, in the order that a picker shows.

    Those on this machine by name, then those downloaded, and adapters last.
    """
    return names_of(models_here(settings), task, settings)


def models_here(settings: Settings) -> dict[str, Path]:
    """Names and folders of all that opens without the Hub, adapters among them."""
    downloads = {name: folder.path for name, folder in downloaded(settings).items()}
    return local_models(settings) | downloads


def downloaded(settings: Settings) -> dict[str, Folder]:
    """What was fetched from the Hub and is whole on this disk, by the reference that opens it."""
    found = {}
    notes = sorted((settings.data_dir / "hub").glob(f"models--*/{FILE}"))
    for path in notes if settings.hub_enabled else ():
        repo = path.parent.name.removeprefix("models--").replace("--", "/")
        for name, entry in read_json(path).items():
            for revision in entry["revisions"] if may_be_shown(entry, settings) else ():
                where = Reference(repo, revision, name[len(repo) + 1 :])
                whole = _whole(where, revision, entry, settings)
                if whole is not None:
                    at = "" if revision == DEFAULT_BRANCH else f"@{revision}"
                    found[f"{name}{at}"] = whole
    return found


def _whole(
    where: Reference, revision: str, entry: dict[str, Any], settings: Settings
) -> Folder | None:
    """The newest commit of a revision that is complete on disk, in either precision."""
    for commit in newest_first(revision, entry):
        if not _missing(where, commit, entry, settings):
            path = snapshot_folder(where, commit, settings)
            return Folder(where.name, path, commit, remark(where, commit))
    return None


def _missing(
    where: Reference, commit: str, entry: dict[str, Any], settings: Settings
) -> dict[str, int]:
    """What a commit lacks on disk in the precision of which it has more."""
    folder, files = snapshot_folder(where, commit, settings), entry["files"][commit]
    here = Folder(where.name, folder)
    shards = shards_of(here) if any(map(is_index, files)) else {}
    wanted = (select_from(files, half, shards).all for half in (False, True))
    return min((missing(folder, each) for each in wanted), key=len)
