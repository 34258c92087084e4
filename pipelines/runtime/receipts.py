"""The receipt of a result: all that is needed to make it again, as plain JSON data.

On the same machine with the same versions the result's hash comes out the same;
``sharing.replay`` runs a receipt again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.device import Device, hardware
from pipelines.hub import Snapshot
from pipelines.tasks import Task

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
PNG_KEY = "triptych"
"""The text chunk of a PNG that holds its receipt as JSON."""
_LIBRARIES = ("torch", "transformers", "diffusers", "peft", "tokenizers")


def make_receipt(
    task: Task,
    snapshot: Snapshot,
    request: Any,
    seed: int,
    device: Device,
    timings: dict[str, float],
    output_hash: str,
) -> dict[str, Any]:
    """A receipt. ``request`` is the slice's frozen dataclass; its seed is set to the one used."""
    return {
        "schema": SCHEMA,
        "task": task,
        "model": identity(snapshot),
        "request": {**fields_of(request), "seed": seed},
        "device": {
            "kind": device.kind,
            "dtype": device.dtype_name,
            "machine": platform.machine(),
            "hardware": hardware(),
        },
        "versions": versions(),
        "timings_seconds": {name: round(value, 4) for name, value in timings.items()},
        "output_sha256": output_hash,
    }


def identity(snapshot: Snapshot) -> dict[str, Any]:
    """What a model is: its commit, and the commits and weights of its adapters."""
    return {
        "reference": snapshot.reference,
        "commit": snapshot.commit,
        "adapters": [
            {"reference": a.reference, "commit": a.commit, "weight": a.weight}
            for a in snapshot.adapters
        ],
    }


def fields_of(request: Any) -> dict[str, Any]:
    """The fields of a request that a receipt holds, as JSON reads them again: not its picture,
    which has a hash there."""
    return {field.name: plain(getattr(request, field.name)) for field in receipt_fields(request)}


def plain(value: Any) -> Any:
    """A value as JSON reads it again: a list for a tuple."""
    return json.loads(json.dumps(value))


def receipt_fields(request: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a request or its type that a receipt holds."""
    return [f for f in dataclasses.fields(request) if f.metadata.get("in_receipt", True)]


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that compute."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES}


@cache
def _version(library: str) -> str:
    """Looked up once: reading a package's metadata takes milliseconds."""
    return metadata.version(library)


def hash_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_pictures(pictures: list[Image.Image]) -> str:
    """SHA-256 over sizes and decoded RGB pixels, whatever the file format."""
    digest = hashlib.sha256()
    for picture in pictures:
        rgb = picture.convert("RGB")
        digest.update(f"{rgb.width}x{rgb.height}\0".encode())
        digest.update(rgb.tobytes())
    return digest.hexdigest()
