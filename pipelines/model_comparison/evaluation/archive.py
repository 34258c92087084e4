"""A data set in a ZIP file that a stranger sends: an imagefolder, unpacked within bounds.

Nothing in it names a file on disk: what is unpacked is numbered. Sizes that it claims are
not believed; what comes out is counted.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, abbreviated
from pipelines.model_comparison.evaluation.data import (
    METADATA,
    MOST_SAMPLES,
    MOST_TEXT_BYTES,
    DataSet,
    from_metadata,
    plain_name,
)
from pipelines.settings import Limits

MOST_ARCHIVE_BYTES = 512 * 1024**2
MOST_UNPACKED_BYTES = 1024**3
_MOST_ENTRIES = 2 * MOST_SAMPLES
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)


def read_archive(path: Path, name: str, folder: Path, limits: Limits) -> DataSet:
    """The data set in a ZIP: pictures, and one ``metadata.jsonl`` beside them.

    Args:
        name: of the data set, for people.
        folder: gets a folder with the pictures, named by the archive's content, so that
            the same archive takes no more room a second time.

    Raises:
        InvalidValue: no ZIP, damaged, encrypted, too large, or no imagefolder.
    """
    size = path.stat().st_size
    if size > MOST_ARCHIVE_BYTES:
        raise InvalidValue(
            f"The ZIP has {mebibytes(size)}; at most {mebibytes(MOST_ARCHIVE_BYTES)} are allowed. "
            "Give fewer pictures."
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = folder / f"dataset-{digest[:32]}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(path) as archive,
            tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as unpacked,
        ):
            unpacking = _Unpacking(archive, Path(unpacked), limits)
            data = from_metadata(plain_name(name), unpacking.metadata(), unpacking.find)
            return _kept(data, Path(unpacked), target)
    except _DAMAGED as error:
        raise InvalidValue(
            f"The file is no ZIP that can be read ({type(error).__name__}: {error}). Make a plain "
            "ZIP without a password and try again."
        ) from error


def _kept(data: DataSet, unpacked: Path, target: Path) -> DataSet:
    """The same data set with its pictures where they stay. Two runs may bring the same ones."""
    target.mkdir(exist_ok=True)
    samples = []
    for sample in data.samples:
        assert sample.file is not None
        place = target / sample.file.name
        if sample.file.exists():  # several texts may be of one picture
            sample.file.replace(place)
        samples.append(replace(sample, file=place))
    return DataSet(data.name, data.sha256, tuple(samples))


class _Unpacking:
    """One archive's entries, read one by one while the bounds hold."""

    def __init__(self, archive: zipfile.ZipFile, folder: Path, limits: Limits) -> None:
        self._archive = archive
        self._folder = folder
        self._most_picture_bytes = limits.upload_bytes
        self._left = MOST_UNPACKED_BYTES
        self._done: dict[str, Path] = {}
        entries = archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise InvalidValue(
                f"The ZIP has {len(entries):,} entries; at most {_MOST_ENTRIES:,} are allowed."
            )
        self._entries = {entry.filename: entry for entry in entries if not entry.is_dir()}
        self._top = ""

    def metadata(self) -> bytes:
        """The content of the one ``metadata.jsonl``; file names count from its folder."""
        places = [
            name for name in self._entries if name == METADATA or name.endswith(f"/{METADATA}")
        ]
        places = [name for name in places if not name.startswith("__MACOSX/")]
        if len(places) != 1:
            raise InvalidValue(
                f"The ZIP has {len(places)} files called {METADATA}; it needs one, beside the "
                'pictures, with a line for each: {"file_name": "0001.png", "text": "..."}.'
            )
        self._top = places[0].removesuffix(METADATA)
        return self._read(places[0], MOST_TEXT_BYTES)

    def find(self, file_name: str) -> Path:
        """The unpacked picture of that name in the archive."""
        name = self._top + file_name
        if name not in self._entries:
            raise InvalidValue(
                f"{METADATA} names {abbreviated(file_name)}, which is not in the ZIP."
            )
        if name not in self._done:
            path = self._folder / f"{len(self._done):05d}"
            path.write_bytes(self._read(name, self._most_picture_bytes))
            self._done[name] = path
        return self._done[name]

    def _read(self, name: str, most_bytes: int) -> bytes:
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise InvalidValue("The ZIP has a password. Make a plain one and try again.")
        most_bytes = min(most_bytes, self._left)
        with self._archive.open(entry) as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise InvalidValue(
                f"{abbreviated(name)} is too large: a file in the ZIP may have "
                f"{mebibytes(self._most_picture_bytes)}, {METADATA} {mebibytes(MOST_TEXT_BYTES)}, "
                f"and all of them {mebibytes(MOST_UNPACKED_BYTES)}."
            )
        self._left -= len(content)
        return content
