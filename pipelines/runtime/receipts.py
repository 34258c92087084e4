"""The receipt of a result: all that is needed to make it again, as plain JSON data.

On the same machine with the same versions the result's hash comes out the same; where
it does not, ``differences`` says what is not as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.errors import InvalidValue
from pipelines.hub import Snapshot
from pipelines.runtime.device import Device, hardware
from pipelines.tasks import Task

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
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
    fields = {
        f.name: getattr(request, f.name)
        for f in dataclasses.fields(request)
        if f.metadata.get("in_receipt", True)
    }
    fields["seed"] = seed
    return {
        "schema": SCHEMA,
        "task": task,
        "model": {
            "reference": snapshot.reference,
            "commit": snapshot.commit,
            "adapters": [
                {"reference": a.reference, "commit": a.commit, "weight": a.weight}
                for a in snapshot.adapters
            ],
        },
        "request": fields,
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


def request_fields(receipt: object, task: Task, request_type: type[Any]) -> dict[str, Any]:
    """The fields of the request in a receipt, to make it again.

    A field that requests did not have yet when it was written is left out.

    Raises:
        InvalidValue: no receipt of this task and schema, or one with other fields than here.
    """
    if not isinstance(receipt, dict) or receipt.get("schema") != SCHEMA:
        raise InvalidValue(
            f"This is no receipt of this page: a JSON object with schema {SCHEMA} is needed."
        )
    if receipt.get("task") != task:
        raise InvalidValue(
            f"The receipt is of the task {receipt.get('task')!r}; here {task!r} is needed."
        )
    fields = receipt.get("request")
    known = [f for f in dataclasses.fields(request_type) if f.metadata.get("in_receipt", True)]
    needed = {f.name for f in known if f.default is dataclasses.MISSING}
    names = {f.name for f in known}
    if not isinstance(fields, dict) or not needed <= set(fields) <= names:
        raise InvalidValue(
            f"The receipt's request must have just the fields {', '.join(sorted(names))}."
        )
    return fields


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is not the same in two receipts, a line each.

    Timings do not count, nor how the model was asked for: its reference and commit do, and
    those of its adapters. A receipt from before there were adapters has none, and one from
    before hardware was told is of any.
    """
    lines = []
    for part in ("model", "device", "versions", "request"):
        before, after = old.get(part), new[part]
        before = dict(before) if isinstance(before, dict) else {}
        if part == "model":
            before.setdefault("adapters", [])
            after = {"adapters": [], **after}
        if part == "device" and "hardware" not in before:
            after = {name: value for name, value in after.items() if name != "hardware"}
        for name in sorted({*before, *after}):
            if (part, name) != ("request", "model") and before.get(name) != after.get(name):
                lines.append(f"{part} {name}: was {before.get(name)}, is {after.get(name)}")
    if old.get("output_sha256") != new.get("output_sha256"):
        lines.append("the output itself")
    return lines
