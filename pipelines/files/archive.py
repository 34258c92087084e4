"""Unpacks a ZIP that a stranger sends: checked by what it says, counted as it unpacks.

Nothing is written outside of the folder that is given, no link is made, and no more than
the allowed bytes ever come out.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, abbreviated

_BLOCK = 1024**2
_DEEPEST = 8
"""Folders that a file may lie in: each takes room that no count of bytes shows."""

_MOST_COMPRESSED = 200
"""How many times its size a file may unpack to; pictures stay below 50."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for gigabytes of memory
_LITTER = ("__MACOSX/", ".DS_Store")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


def unpack(path: Path, folder: Path, most_files: int, most_bytes: int) -> None:
    """Writes what is in a ZIP into a folder that is there and empty; what a Mac adds is left out.

    Raises:
        InvalidValue: no ZIP, damaged, encrypted or too large, or with a name or a link that
            leads out of it; a part of it may then be in the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if not _is_litter(e.filename)]
            _check_entries(entries, most_files, most_bytes)
            left = most_bytes
            for entry in entries:
                if not entry.is_dir():
                    left -= _extract(archive, entry, folder, left, most_bytes)
    except _DAMAGED as error:
        raise InvalidValue(f"The ZIP is damaged ({error}). Make it again.") from error
    except OSError as error:  # its own text would name our folder
        raise InvalidValue(
            f"The ZIP cannot be unpacked here ({error.strerror}). Give its files short names, "
            "none of them twice, and try again."
        ) from error


def safe_name(name: object) -> str:
    """``name`` if it is a relative path that stays in its folder, and not too deep in it.

    Raises:
        InvalidValue: it is none.
    """
    if isinstance(name, str) and 0 < len(name) <= 255 and name.isprintable():
        parts = PurePosixPath(name).parts
        is_foreign = name.startswith("/") or ".." in parts or "\\" in name or ":" in name
        if 0 < len(parts) <= _DEEPEST + 1 and not is_foreign:
            return name
    raise InvalidValue(
        f"A file is named {abbreviated(name)}; give a name inside of the folder, such as "
        f"pictures/0001.png, at most {_DEEPEST} folders deep, without .. and without a drive."
    )


def _is_litter(name: str) -> bool:
    return name.startswith(_LITTER[0]) or name.endswith(_LITTER[1])


def _check_entries(entries: list[zipfile.ZipInfo], most_files: int, most_bytes: int) -> None:
    """What a ZIP says of itself; what it holds is counted when it is unpacked."""
    if len(entries) > most_files:
        raise InvalidValue(
            f"The ZIP has {len(entries):,} entries; at most {most_files:,} are allowed. Split it."
        )
    for entry in entries:
        _check_entry(entry)
    for name, count in Counter(entry.filename for entry in entries).most_common(1):
        if count > 1:
            raise InvalidValue(f"The ZIP has {abbreviated(name)} {count} times. Make it again.")
    _check_size(sum(entry.file_size for entry in entries), most_bytes)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = abbreviated(safe_name(entry.filename))
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidValue(f"{name} in the ZIP is a link. Add the file.")
    if entry.flag_bits & 1:
        raise InvalidValue("The ZIP is encrypted. Make it without a password.")
    if entry.compress_type not in _METHODS:
        raise InvalidValue(f"{name} in the ZIP is packed in an unusual way. Make a plain ZIP.")
    if entry.file_size > _MOST_COMPRESSED * max(entry.compress_size, 1024):
        raise InvalidValue(
            f"{name} in the ZIP unpacks to {mebibytes(entry.file_size)}, more than "
            f"{_MOST_COMPRESSED} times its size, as no picture does. Leave it out."
        )


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise InvalidValue(
            f"The data unpack to {mebibytes(size)} or more; at most {mebibytes(most_bytes)} are "
            "allowed. Make the pictures smaller."
        )


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int, most_bytes: int
) -> int:
    """Writes one entry; its size. An entry that holds more than it said ends here."""
    target = folder / safe_name(entry.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as source, target.open("xb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            _check_size(most_bytes - left + size, most_bytes)
            file.write(block)
    return size
