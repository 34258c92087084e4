"""A data set in an uploaded ZIP: an imagefolder, unpacked into a folder that stays for a while."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from pipelines.datasets.samples import (
    MOST_SAMPLES,
    DataSet,
    plain_name,
    read_pictures,
)
from pipelines.device import mebibytes
from pipelines.errors import InvalidValue
from pipelines.events import Report
from pipelines.files.archive import unpack
from pipelines.files.imagefolder import root_of
from pipelines.settings import Limits

MOST_ARCHIVE_BYTES = 512 * 1024**2
MOST_UNPACKED_BYTES = 1024**3


def read_archive(
    path: Path,
    name: str,
    folder: Path,
    limits: Limits,
    report: Report = lambda progress: None,
) -> DataSet:
    """The data set in a ZIP of an imagefolder.

    Args:
        name: of the data set, for people.
        folder: gets a folder with the pictures, named by the archive's content, so that
            the same archive takes no more room a second time.
        report: gets the progress; what it raises ends the reading.

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
    if not target.is_dir():
        _unpack(path, target)
    try:
        return read_pictures(root_of(target), plain_name(name), limits, report=report)
    except InvalidValue:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _unpack(path: Path, target: Path) -> None:
    """Makes the folder ``target``, whole or not at all. Two runs may do it at the same time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="unpacking-") as scratch:
        unpacked = Path(scratch) / "data"
        unpacked.mkdir()
        unpack(path, unpacked, 2 * MOST_SAMPLES, MOST_UNPACKED_BYTES)
        try:
            unpacked.rename(target)
        except OSError:
            if not target.is_dir():
                raise
