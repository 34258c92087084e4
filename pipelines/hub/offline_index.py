"""What the Hub told of a repository, in a file beside it on this disk.

It holds which commits the revisions stood for, and the files that were wanted of each: by it
alone what is here is known to be whole, and a branch has a commit.
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


def write_down(
    folder: Path, where: Reference, commit: str, files: Mapping[str, int], needs_token: bool
) -> None:
    """Notes in a repository's folder what a reference stands for now, as it is fetched.

    Args:
        files: the sizes in bytes of what is wanted of it, by path.
    """
    revision = revision_of(where)
    with _writing:
        told = read_json(folder / FILE)
        before = json.dumps(told)
        entry = told.get(where.name, {"revisions": {}, "files": {}})
        there = {c: f for c, f in entry["files"].items() if (folder / "snapshots" / c).is_dir()}
        wanted = there | {commit: {name: files[name] for name in sorted(files)}}
        older = [c for c in entry["revisions"].get(revision, []) if c != commit]
        revisions = entry["revisions"] | {revision: [*older, commit]}
        told[where.name] = {
            "needs_token": needs_token,
            "revisions": {
                name: left
                for name, commits in revisions.items()
                if (left := [c for c in commits if c in wanted])
            },
            "files": wanted,
        }
        if json.dumps(told) != before:
            _write(folder / FILE, told)


def _write(path: Path, told: dict[str, Any]) -> None:
    """At once: who reads meanwhile finds the old note or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(told), encoding="utf-8")
    new.replace(path)


def entry_of(folder: Path, where: Reference, settings: Settings) -> dict[str, Any] | None:
    """What is noted of a reference; None where that is nothing, or not for everybody."""
    entry: dict[str, Any] | None = read_json(folder / FILE).get(where.name)
    return entry if entry is not None and may_be_shown(entry, settings) else None


def may_be_shown(entry: dict[str, Any], settings: Settings) -> bool:
    """What took a token to fetch is given to nobody without one."""
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
