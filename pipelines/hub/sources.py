"""A checkpoint that can be looked into before it is loaded: a folder, or a Hub repository.

Both have a list of files with sizes, and give small files and safetensors headers. All checks are
written against this, so that they give the same answer before and after a download.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pipelines.hub import model_cards
from pipelines.hub.families import json_object
from pipelines.hub.headers import Tensor, read_header

_LONGEST_CARD = 1024**2


class Source(Protocol):
    """What the checks need. ``files`` maps paths, relative and with /, to sizes in bytes."""

    @property
    def reference(self) -> str: ...

    @property
    def commit(self) -> str: ...

    @property
    def files(self) -> Mapping[str, int]: ...

    def read(self, name: str) -> bytes:
        """A small file's content."""

    def header(self, name: str) -> dict[str, Tensor]:
        """What a safetensors file declares."""


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk. ``note`` is a remark for the visitor on how it came to be chosen."""

    reference: str
    path: Path
    commit: str = ""
    note: str = ""

    @cached_property
    def files(self) -> dict[str, int]:
        return {name: size for name, (size, _) in stamps_below(self.path).items()}

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        return {}

    def read(self, name: str) -> bytes:
        if name not in self._contents:
            self._contents[name] = (self.path / name).read_bytes()
        return self._contents[name]

    def header(self, name: str) -> dict[str, Tensor]:
        return read_header(self.path / name)


def stamps_below(path: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time in nanoseconds of all files in a folder and below it, by their
    relative names in the order of paths."""
    found = dict(_scanned(path, "") if path.is_dir() else ())
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}


def _scanned(folder: Path | str, before: str) -> Iterator[tuple[str, tuple[int, int]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _scanned(entry.path, f"{before}{entry.name}/")
            elif entry.is_file():
                stat = entry.stat()
                yield f"{before}{entry.name}", (stat.st_size, stat.st_mtime_ns)


def json_of(source: Source, name: str) -> dict[str, Any]:
    """A JSON object of a checkpoint; empty where there is no such file.

    Raises:
        ModelUnavailable: the file is not a JSON object.
    """
    if name not in source.files:
        return {}
    return json_object(source.read(name), f"{name} of {source.reference}")


def card_entry(source: Source, key: str) -> str | None:
    """A word from the front matter of a checkpoint's card; the first of a list."""
    if source.files.get("README.md", _LONGEST_CARD + 1) > _LONGEST_CARD:
        return None
    return model_cards.entry(source.read("README.md").decode("utf-8", errors="replace"), key)


def configuration_of(source: Source) -> dict[str, Any]:
    """A pipeline's ``model_index.json``, or a model's ``config.json``; empty without either."""
    return json_of(source, "model_index.json") or json_of(source, "config.json")
