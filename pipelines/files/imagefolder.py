"""An imagefolder: pictures and their captions, in a folder or a ZIP, checked before use.

``captions`` finds the captions. No file that they name is opened outside of the folder.
Importing this module loads no torch.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.events import Progress, Report
from pipelines.files.archive import unpack
from pipelines.files.captions import (
    ALLOWED,
    NO_CAPTIONS,
    has_list,
    has_sidecars,
    pictures_in,
    read_captions,
)
from pipelines.files.images import open_picture
from pipelines.files.metadata import named
from pipelines.settings import Limits


@dataclass(frozen=True)
class DataLimits:
    """Upper bounds of one imagefolder; the least number of pictures."""

    pictures: int = 20_000
    least_pictures: int = 8
    least_edge: int = 16
    unpacked_bytes: int = 2 * 1024**3
    picture: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Pair:
    """A picture's file, its caption, and further right captions."""

    name: str
    file: Path
    text: str
    wordings: tuple[str, ...] = ()

    @property
    def captions(self) -> tuple[str, ...]:
        """All that are right."""
        return self.text, *self.wordings

    def picture(self, limits: DataLimits) -> Image.Image:
        """Upright RGB."""
        return open_picture(self.file, limits.picture)


@dataclass(frozen=True)
class DataReport:
    """What was found. ``problems`` must be mended before training, ``notes`` need not.

    Attributes:
        pictures: those that have a caption.
        bytes: of all pictures.
        sizes: how many pictures are of each size, by width and height, most frequent first.
        empty: pictures whose caption is blank.
        broken: pictures that cannot be used, with the reason.
        duplicates: pairs of files with the same content; the first of each is kept.
        unlisted: pictures in the folder that have none.
        sha256: over all names, captions and pictures.
        captions: how they were taken, and where two sources of them disagree.
        captions_each: the fewest and the most of a usable picture.
    """

    pictures: int
    bytes: int
    sizes: dict[str, int]
    empty: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, str], ...]
    unlisted: tuple[str, ...]
    sha256: str
    least_pictures: int
    captions: tuple[str, ...] = ()
    captions_each: tuple[int, int] = (1, 1)

    @property
    def usable(self) -> int:
        """Pictures that are whole, told, and there once."""
        unusable = {*self.empty, *(name for name, _ in self.broken)}
        return self.pictures - len(unusable | {second for _, second in self.duplicates})

    @property
    def problems(self) -> list[str]:
        found = []
        if self.empty:
            found.append(f"{_count(self.empty)} without a caption: {named(self.empty)}.")
        if self.broken:
            reasons = tuple(f"{name} ({reason.rstrip('.')})" for name, reason in self.broken)
            found.append(f"{_count(self.broken)} that cannot be used: {named(reasons)}.")
        if self.usable < self.least_pictures:
            found.append(
                f"{self.usable} usable pictures; at least {self.least_pictures} are needed."
            )
        return found

    @property
    def notes(self) -> list[str]:
        found = [*self.captions]
        if self.duplicates:
            seconds = tuple(f"{second} = {first}" for first, second in self.duplicates)
            found.append(f"{_count(seconds)} twice, used once: {named(seconds)}.")
        if self.unlisted:
            found.append(
                f"{_count(self.unlisted)} left out, without a caption: {named(self.unlisted)}."
            )
        return found


def _count(names: tuple[Any, ...]) -> str:
    return f"{len(names)} picture{'s' if len(names) > 1 else ''}"


def check_imagefolder(path: Path, limits: DataLimits) -> DataReport:
    """What is in a folder or ZIP, and what is wrong with it.

    Raises:
        InvalidValue: it is no imagefolder, or not safe to unpack: then there is nothing to
            report on.
    """
    with opened(path, limits) as folder:
        return read_pairs(folder, limits)[1]


@contextmanager
def opened(path: Path, limits: DataLimits) -> Iterator[Path]:
    """The folder with the captions; a ZIP's is gone when the block ends.

    Raises:
        InvalidValue: neither folder nor ZIP, no captions, or an unsafe ZIP.
    """
    if path.is_dir():
        yield root_of(path)
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise InvalidValue(
            f"The data are {path.name!r}; give a folder or a ZIP of pictures with {ALLOWED}."
        )
    with tempfile.TemporaryDirectory(prefix="imagefolder-") as scratch:
        unpack(path, Path(scratch), 2 * limits.pictures, limits.unpacked_bytes)
        yield root_of(Path(scratch))


def root_of(folder: Path) -> Path:
    """The folder itself, or the only folder in it that has a list, as ZIPs of a folder have it.

    Files beside the pictures are found at any depth, and need no such folder.

    Raises:
        InvalidValue: neither has one.
    """
    if has_list(folder):
        return folder
    inner = [child for child in folder.iterdir() if child.is_dir() and has_list(child)]
    if len(inner) == 1:
        return inner[0]
    if not has_sidecars(folder):
        raise InvalidValue(NO_CAPTIONS)
    return folder


def read_pairs(
    folder: Path,
    limits: DataLimits,
    within: Path | None = None,
    report: Report = lambda progress: None,
) -> tuple[list[Pair], DataReport]:
    """The pairs that can be used, in the order of the lines, and the report on all.

    Args:
        within: what links in the folder may lead into; the folder itself by default.
        report: is told how far it is; what it raises ends the reading.

    Raises:
        InvalidValue: the list is malformed, or names files outside of the folder.
    """
    captions = read_captions(folder, limits.pictures)
    rows = captions.rows
    digest, sizes, total = hashlib.sha256(), Counter[str](), 0
    first_with: dict[bytes, str] = {}
    pairs, empty, broken, duplicates = [], [], [], []
    for number, row in enumerate(rows):
        report(Progress("Looking at the pictures", number / len(rows)))
        try:
            pair = Pair(row.name, _file(folder, row.name, within or folder), row.text, row.wordings)
            content, size = _content(pair, limits)
        except InvalidValue as error:
            broken.append((row.name, str(error)))
            continue
        digest.update(
            "".join(f"{each}\0" for each in (row.name, *pair.captions)).encode() + content
        )
        sizes[f"{size[0]} × {size[1]}"] += 1
        total += pair.file.stat().st_size
        if not row.text.strip():
            empty.append(row.name)
        elif content in first_with:
            duplicates.append((first_with[content], row.name))
        else:
            first_with[content] = row.name
            pairs.append(pair)
    counts = [len(pair.captions) for pair in pairs] or [1]
    return pairs, DataReport(
        len(rows),
        total,
        dict(sizes.most_common()),
        tuple(empty),
        tuple(broken),
        tuple(duplicates),
        _unlisted(folder, {row.name for row in rows}),
        digest.hexdigest(),
        limits.least_pictures,
        captions.notes,
        (min(counts), max(counts)),
    )


def usable_pairs(
    folder: Path,
    limits: DataLimits,
    within: Path | None = None,
    report: Report = lambda progress: None,
) -> tuple[list[Pair], DataReport]:
    """The same, if it can be used as it is.

    Raises:
        InvalidValue: the report has problems; the message lists them.
    """
    pairs, found = read_pairs(folder, limits, within, report)
    if found.problems:
        raise InvalidValue(
            f"The data are not ready: {' '.join(found.problems)} "
            "Mend them, or take their lines or files out."
        )
    return pairs, found


def _file(folder: Path, name: str, within: Path) -> Path:
    path = folder / name
    if not path.is_file():
        raise InvalidValue("there is no such file.")
    if not path.resolve().is_relative_to(within.resolve()):
        raise InvalidValue("it is a link out of the folder.")
    return path


def _content(pair: Pair, limits: DataLimits) -> tuple[bytes, tuple[int, int]]:
    """A hash of the decoded pixels, and the size."""
    picture = pair.picture(limits)
    if min(picture.size) < limits.least_edge:
        raise InvalidValue(
            f"it has {picture.width} × {picture.height} pixels; at least {limits.least_edge} are "
            "needed each way."
        )
    digest = hashlib.sha256(f"{picture.width} {picture.height}\0".encode() + picture.tobytes())
    return digest.digest(), picture.size


def _unlisted(folder: Path, listed: set[str]) -> tuple[str, ...]:
    names = (path.relative_to(folder).as_posix() for path in pictures_in(folder))
    return tuple(name for name in names if name not in listed)
