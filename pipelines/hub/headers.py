"""Reads the headers of safetensors files: names, shapes and types, without a byte of weights.

The format: 8 bytes with the header's length, the header as JSON, then the numbers
(https://huggingface.co/docs/safetensors). A file whose length is not what its header
says is damaged, and is refused before anything is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

from pipelines.errors import ModelUnavailable

LONGEST_HEADER = 100 * 1024**2  # the format's own limit


@dataclass(frozen=True)
class Tensor:
    """One tensor's entry: ``dtype`` in the format's words (``F32``, ``BF16``), and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.shape)


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors that a safetensors file declares, by name.

    Raises:
        ModelUnavailable: the header cannot be read, or the file has another length.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, size: int, _modified: int) -> dict[str, Tensor]:
    name = f"{path.name} of {path.parent.name}"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            raise ModelUnavailable(damaged(name, "its header is longer than the file"))
        return parse_header(file.read(length), name, size)


def parse_header(content: bytes, name: str, size: int) -> dict[str, Tensor]:
    """The tensors in a header's JSON; ``size`` is the whole file's, in bytes.

    Raises:
        ModelUnavailable: it is no header, or one of a file of another length.
    """
    try:
        entries = json.loads(content)
        entries.pop("__metadata__", None)
        tensors = {
            str(key): Tensor(str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
            for key, entry in entries.items()
        }
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ModelUnavailable(damaged(name, "its header cannot be read")) from error
    expected = 8 + len(content) + end
    if size != expected:
        raise ModelUnavailable(
            damaged(name, f"it has {size:,} bytes and its header speaks of {expected:,}")
        )
    return tensors


def damaged(name: str, fault: str) -> str:
    """The message on a broken file."""
    return f"{name} is damaged: {fault}. Delete this model from the disk and fetch it again."
