"""The offline index: what the Hub said of a repository, in a file beside it on this disk.

It maps each revision to the commits that it stood for, and each commit to the files that were
needed of it. Without the Hub, it alone says whether a snapshot is complete and which commit a
branch means.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.hub.families import read_json
from pipelines.hub.references import Reference
from pipelines.hub.remote import token_for
from pipelines.settings import Settings

FILE = "told.json"
DEFAULT_BRANCH = "main"
_SHORT_COMMIT = 12
_writing = threading.Lock()


def record_commit(
    folder: Path, where: Reference, commit: str, files: Mapping[str, int], needs_token: bool
) -> None:
    """Records which commit a reference stands for, when it is fetched.

    Args:
        files: the sizes in bytes of what is wanted of it, by path.
    """
    revision = revision_of(where)
    with _writing:
        index = read_json(folder / FILE)
        before = json.dumps(index)
        entry = index.get(where.name, {"revisions": {}, "files": {}})
        there = {c: f for c, f in entry["files"].items() if (folder / "snapshots" / c).is_dir()}
        wanted = there | {commit: {name: files[name] for name in sorted(files)}}
        older = [c for c in entry["revisions"].get(revision, []) if c != commit]
        revisions = entry["revisions"] | {revision: [*older, commit]}
        index[where.name] = {
            "needs_token": needs_token,
            "revisions": {
                name: left
                for name, commits in revisions.items()
                if (left := [c for c in commits if c in wanted])
            },
            "files": wanted,
        }
        if json.dumps(index) != before:
            _write(folder / FILE, index)


def _write(path: Path, index: dict[str, Any]) -> None:
    """In one step: a reader finds either the old index or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(index), encoding="utf-8")
    new.replace(path)


def entry_of(folder: Path, where: Reference, settings: Settings) -> dict[str, Any] | None:
    """The entry of a reference; None where there is none, or it needs a token that is not here."""
    entry: dict[str, Any] | None = read_json(folder / FILE).get(where.name)
    return entry if entry is not None and may_be_shown(entry, settings) else None


def may_be_shown(entry: dict[str, Any], settings: Settings) -> bool:
    """Whether an entry may be opened: what needed a token is closed to those without one."""
    return not entry["needs_token"] or token_for(settings) is not False


def revision_of(where: Reference) -> str:
    return DEFAULT_BRANCH if where.revision is None else where.revision


def newest_first(revision: str, entry: dict[str, Any]) -> list[str]:
    """The commits that a revision has stood for; a commit stands for itself."""
    itself = [revision] if revision in entry["files"] else []
    commits: list[str] = entry["revisions"].get(revision, itself)
    return commits[::-1]


def remark(where: Reference, commit: str) -> str:
    """What is said where something is opened from this disk because there is no Hub."""
    return (
        f"The Hub could not be reached; {where.name} is as it was fetched before, at the commit "
        f"{commit[:_SHORT_COMMIT]}."
    )
