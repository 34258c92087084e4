"""What the Hub told of the repositories on this disk, for when it cannot be reached.

A note lies beside each repository: which commits its revisions stood for, and the files that
each of these needs. By it alone a snapshot is known to be whole, and a branch has a commit.
What took a token to fetch is given to nobody without one.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from pipelines.errors import ModelUnavailable
from pipelines.hub.disk import mark_used, missing_files, repository_folder, snapshot_folder
from pipelines.hub.families import Task, read_json
from pipelines.hub.local import local_models, names_of
from pipelines.hub.references import Reference
from pipelines.hub.remote import Repository, token_for
from pipelines.hub.selection import select
from pipelines.hub.sources import Folder
from pipelines.settings import Settings

_FILE = "told.json"
_DEFAULT_BRANCH = "main"
_SHORT_COMMIT = 12
_MOST_NAMED = 3
_writing = threading.Lock()


def note(source: Repository, settings: Settings) -> None:
    """Writes down what a revision stands for and which files it needs, as they are fetched."""
    folder = repository_folder(source.where.repo, settings)
    revision = _revision(source.where)
    needed = {name for half in (True, False) for name in select(source.files, half).all}
    with _writing:
        told = read_json(folder / _FILE)
        before = json.dumps(told)
        entry = told.get(source.reference, {"revisions": {}, "files": {}})
        there = {c: f for c, f in entry["files"].items() if (folder / "snapshots" / c).is_dir()}
        files = there | {source.commit: {name: source.files[name] for name in sorted(needed)}}
        older = [c for c in entry["revisions"].get(revision, []) if c != source.commit]
        revisions = entry["revisions"] | {revision: [*older, source.commit]}
        told[source.reference] = {
            "needs_token": source.is_private or source.is_gated,
            "revisions": {
                name: left
                for name, commits in revisions.items()
                if (left := [c for c in commits if c in files])
            },
            "files": files,
        }
        if json.dumps(told) != before:
            _write(folder / _FILE, told)


def _write(path: Path, told: dict[str, Any]) -> None:
    """At once: who reads meanwhile finds the old note or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(told), encoding="utf-8")
    new.replace(path)


def kept(where: Reference, settings: Settings) -> Folder | None:
    """The last whole snapshot of a reference on this disk; None where there is nothing of it.

    Raises:
        ModelUnavailable: only a part of it is here, or only other revisions.
    """
    entry = read_json(repository_folder(where.repo, settings) / _FILE).get(where.name)
    if entry is None or not _may_be_shown(entry, settings):
        return None
    revision = _revision(where)
    whole = _whole(where, revision, entry, settings)
    if whole is None:
        _tell_what_is_here(where, revision, entry, settings)
        return None
    mark_used(where.repo, whole.commit, settings)
    return whole


def _tell_what_is_here(
    where: Reference, revision: str, entry: dict[str, Any], settings: Settings
) -> None:
    """Raises ModelUnavailable where there is a part of a model, or another revision of it."""
    for commit in _newest_first(revision, entry):
        missing = ", ".join(_missing(where, commit, entry["files"][commit], settings)[:_MOST_NAMED])
        if (repository_folder(where.repo, settings) / "snapshots" / commit).is_dir():
            raise ModelUnavailable(
                f"The Hub could not be reached, and {where.name} is not whole on this disk; it "
                f"lacks {missing}. What is here is kept; try again when there is a connection."
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
    notes = sorted((settings.data_dir / "hub").glob(f"models--*/{_FILE}"))
    for path in notes if settings.hub_enabled else ():
        repo = path.parent.name.removeprefix("models--").replace("--", "/")
        for name, entry in read_json(path).items():
            for revision in entry["revisions"] if _may_be_shown(entry, settings) else ():
                where = Reference(repo, revision, name[len(repo) + 1 :])
                whole = _whole(where, revision, entry, settings)
                if whole is not None:
                    at = "" if revision == _DEFAULT_BRANCH else f"@{revision}"
                    found[f"{name}{at}"] = whole
    return found


def _revision(where: Reference) -> str:
    return _DEFAULT_BRANCH if where.revision is None else where.revision


def _newest_first(revision: str, entry: dict[str, Any]) -> list[str]:
    """The commits that a revision has stood for; a commit stands for itself."""
    itself = [revision] if revision in entry["files"] else []
    commits: list[str] = entry["revisions"].get(revision, itself)
    return commits[::-1]


def _may_be_shown(entry: dict[str, Any], settings: Settings) -> bool:
    return not entry["needs_token"] or token_for(settings) is not False


def _whole(
    where: Reference, revision: str, entry: dict[str, Any], settings: Settings
) -> Folder | None:
    """The newest commit of a revision of which nothing is missing, in either precision."""
    for commit in _newest_first(revision, entry):
        files = entry["files"][commit]
        if not _missing(where, commit, files, settings):
            told = (
                f"The Hub could not be reached; {where.name} is as it was fetched before, at the "
                f"commit {commit[:_SHORT_COMMIT]}."
            )
            path = snapshot_folder(_repository(where, commit, files), settings)
            return Folder(where.name, path, commit, told)
    return None


def _missing(where: Reference, commit: str, files: dict[str, int], settings: Settings) -> list[str]:
    source = _repository(where, commit, files)
    halves = (missing_files(source, select(files, half), settings) for half in (False, True))
    return min(halves, key=len)


def _repository(where: Reference, commit: str, files: dict[str, int]) -> Repository:
    return Repository(where, commit, files, licence=None, is_gated=False, is_private=False)
