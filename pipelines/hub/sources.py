"""A checkpoint that can be looked into before it is loaded: a folder, or a Hub repository.

Both have a list of files with sizes, and give small files and safetensors headers. All checks are
written against this, so that they give the same answer before and after a download.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        found = sorted(f for f in self.path.rglob("*") if f.is_file())
        return {f.relative_to(self.path).as_posix(): f.stat().st_size for f in found}

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def header(self, name: str) -> dict[str, Tensor]:
        return read_header(self.path / name)


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
