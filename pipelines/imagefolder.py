"""An imagefolder: pictures and ``metadata.jsonl``, in a folder or a ZIP, checked before use.

Each line of ``metadata.jsonl`` is a JSON object with ``file_name`` and ``text``. Nothing
is written outside of the folder that a ZIP is unpacked into, no more than the limits'
bytes are ever unpacked, and no file that the lines name is opened outside of the folder.
Importing this module loads no torch.
"""

from __future__ import annotations

import hashlib
import json
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, abbreviated
from pipelines.images import open_picture
from pipelines.settings import Limits

METADATA = "metadata.jsonl"
NAMED = 3
"""How many files a message names."""

_BLOCK = 1024**2
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
_NO_FILES = ("__MACOSX/", ".DS_Store")


@dataclass(frozen=True)
class DataLimits:
    """Upper bounds of one imagefolder; the least number of pictures."""

    pictures: int = 20_000
    least_pictures: int = 8
    least_edge: int = 16
    unpacked_bytes: int = 2 * 1024**3
    compression: int = 200
    metadata_bytes: int = 32 * 1024**2
    caption_characters: int = 2_000
    picture: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Pair:
    """A picture's file and its caption."""

    name: str
    file: Path
    text: str

    def picture(self, limits: DataLimits) -> Image.Image:
        """Upright RGB."""
        return open_picture(self.file, limits.picture)


@dataclass(frozen=True)
class DataReport:
    """What was found. ``problems`` must be mended before training, ``notes`` need not.

    Attributes:
        pictures: lines that name a picture.
        bytes: of all pictures.
        sizes: how many pictures are of each size, by width and height, most frequent first.
        empty: pictures whose caption is blank.
        broken: pictures that cannot be used, with the reason.
        duplicates: pairs of files with the same content; the first of each is kept.
        unlisted: pictures in the folder that no line names.
        sha256: over all names, captions and pictures.
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

    @property
    def usable(self) -> int:
        """Pictures that are whole, told, and there once."""
        unusable = {*self.empty, *(name for name, _ in self.broken)}
        return self.pictures - len(unusable | {second for _, second in self.duplicates})

    @property
    def problems(self) -> list[str]:
        found = []
        if self.empty:
            found.append(f"{_count(self.empty)} without a caption: {_named(self.empty)}.")
        if self.broken:
            named = _named(tuple(f"{name} ({reason})" for name, reason in self.broken))
            found.append(f"{_count(self.broken)} that cannot be used: {named}")
        if self.usable < self.least_pictures:
            found.append(
                f"{self.usable} usable pictures; at least {self.least_pictures} are needed."
            )
        return found

    @property
    def notes(self) -> list[str]:
        found = []
        if self.duplicates:
            seconds = tuple(f"{second} = {first}" for first, second in self.duplicates)
            found.append(f"{_count(seconds)} twice, used once: {_named(seconds)}.")
        if self.unlisted:
            found.append(f"{_count(self.unlisted)} not in {METADATA}: {_named(self.unlisted)}.")
        return found


def _count(names: tuple[Any, ...]) -> str:
    return f"{len(names)} picture{'s' if len(names) > 1 else ''}"


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


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
    """The folder with ``metadata.jsonl``; a ZIP's is gone when the block ends.

    Raises:
        InvalidValue: neither folder nor ZIP, no ``metadata.jsonl``, or an unsafe ZIP.
    """
    if path.is_dir():
        yield _root(path)
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise InvalidValue(
            f"The data are {path.name!r}; give a folder or a ZIP of pictures with {METADATA}."
        )
    with tempfile.TemporaryDirectory(prefix="imagefolder-") as scratch:
        _unpack(path, Path(scratch), limits)
        yield _root(Path(scratch))


def _root(folder: Path) -> Path:
    """The folder itself, or the only folder in it, as ZIPs of a folder have it."""
    if (folder / METADATA).is_file():
        return folder
    inner = [child for child in folder.iterdir() if (child / METADATA).is_file()]
    if len(inner) != 1:
        raise InvalidValue(
            f"The data have no {METADATA}. Add one with a line for each picture, such as "
            '{"file_name": "0001.png", "text": "a red apple"}.'
        )
    return inner[0]


def _unpack(path: Path, folder: Path, limits: DataLimits) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if not _is_litter(e.filename)]
            _check_entries(entries, limits)
            left = limits.unpacked_bytes
            for entry in entries:
                if not entry.is_dir():
                    left -= _extract(archive, entry, folder, left, limits)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
        raise InvalidValue(f"The ZIP is damaged ({error}). Make it again.") from error


def _is_litter(name: str) -> bool:
    return name.startswith(_NO_FILES[0]) or name.endswith(_NO_FILES[1])


def _check_entries(entries: list[zipfile.ZipInfo], limits: DataLimits) -> None:
    """What a ZIP says of itself; what it holds is counted when it is unpacked."""
    if len(entries) > 2 * limits.pictures:
        raise InvalidValue(
            f"The ZIP has {len(entries):,} entries; at most {limits.pictures:,} pictures are "
            "allowed. Split it."
        )
    for entry in entries:
        safe_name(entry.filename)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InvalidValue(f"{abbreviated(entry.filename)} in the ZIP is a link. Add the file.")
        if entry.flag_bits & 1:
            raise InvalidValue("The ZIP is encrypted. Make it without a password.")
        if entry.file_size > limits.compression * max(entry.compress_size, 1024):
            raise InvalidValue(
                f"{abbreviated(entry.filename)} in the ZIP unpacks to {mebibytes(entry.file_size)}"
                f", more than {limits.compression} times its size, as no picture does. Leave it "
                "out."
            )
    _check_size(sum(entry.file_size for entry in entries), limits)


def _check_size(size: int, limits: DataLimits) -> None:
    if size > limits.unpacked_bytes:
        raise InvalidValue(
            f"The data unpack to {mebibytes(size)} or more; at most "
            f"{mebibytes(limits.unpacked_bytes)} are allowed. Make the pictures smaller."
        )


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int, limits: DataLimits
) -> int:
    """Writes one entry; its size. An entry that holds more than it said ends here."""
    target = folder / safe_name(entry.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as source, target.open("xb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > left:
                _check_size(limits.unpacked_bytes - left + size, limits)
            file.write(block)
    return size


def safe_name(name: object) -> str:
    """``name`` if it is a relative path that stays in its folder.

    Raises:
        InvalidValue: it is none.
    """
    if isinstance(name, str) and 0 < len(name) <= 255 and name.isprintable():
        parts = PurePosixPath(name).parts
        is_foreign = name.startswith("/") or ".." in parts or "\\" in name or ":" in name
        if parts and not is_foreign:
            return name
    raise InvalidValue(
        f"A file is named {abbreviated(name)}; give a name inside of the folder, such as "
        "pictures/0001.png, without .. and without a drive."
    )


def read_pairs(folder: Path, limits: DataLimits) -> tuple[list[Pair], DataReport]:
    """The pairs that can be used, in the order of the lines, and the report on all.

    Raises:
        InvalidValue: ``metadata.jsonl`` is malformed, or names files outside of the folder.
    """
    rows = _rows(folder / METADATA, limits)
    digest, sizes, total = hashlib.sha256(), Counter[str](), 0
    first_with: dict[bytes, str] = {}
    pairs, empty, broken, duplicates = [], [], [], []
    for name, text in rows:
        try:
            pair = Pair(name, _file(folder, name), text)
            content, size = _content(pair, limits)
        except InvalidValue as error:
            broken.append((name, str(error)))
            continue
        digest.update(f"{name}\0{text}\0".encode() + content)
        sizes[f"{size[0]} × {size[1]}"] += 1
        total += pair.file.stat().st_size
        if not text.strip():
            empty.append(name)
        elif content in first_with:
            duplicates.append((first_with[content], name))
        else:
            first_with[content] = name
            pairs.append(pair)
    report = DataReport(
        len(rows),
        total,
        dict(sizes.most_common()),
        tuple(empty),
        tuple(broken),
        tuple(duplicates),
        _unlisted(folder, {name for name, _ in rows}),
        digest.hexdigest(),
        limits.least_pictures,
    )
    return pairs, report


def usable_pairs(folder: Path, limits: DataLimits) -> tuple[list[Pair], DataReport]:
    """The same, if it can be trained on as it is.

    Raises:
        InvalidValue: the report has problems; the message lists them.
    """
    pairs, report = read_pairs(folder, limits)
    if report.problems:
        raise InvalidValue(
            f"The data are not ready: {' '.join(report.problems)} "
            f"Mend them or take their lines out of {METADATA}."
        )
    return pairs, report


def _rows(path: Path, limits: DataLimits) -> list[tuple[str, str]]:
    if path.stat().st_size > limits.metadata_bytes:
        raise InvalidValue(
            f"{METADATA} has {mebibytes(path.stat().st_size)}; at most "
            f"{mebibytes(limits.metadata_bytes)} are allowed."
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{METADATA} is not UTF-8 text. Save it as UTF-8.") from error
    told = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not 0 < len(told) <= limits.pictures:
        raise InvalidValue(
            f"{METADATA} has {len(told):,} lines; give from 1 to {limits.pictures:,}, one for "
            "each picture."
        )
    rows = [_row(number, line, limits) for number, line in told]
    twice = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    if twice:
        raise InvalidValue(f"{METADATA} names {_named(tuple(twice))} twice. Give each one line.")
    return rows


def _row(number: int, line: str, limits: DataLimits) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(text, str) or "file_name" not in row:
        raise InvalidValue(
            f"Line {number} of {METADATA} is {abbreviated(line)}; give a JSON object with "
            '"file_name" and "text".'
        )
    if len(text) > limits.caption_characters:
        raise InvalidValue(
            f"The text in line {number} of {METADATA} has {len(text):,} characters; at most "
            f"{limits.caption_characters:,} are allowed. Shorten it."
        )
    return safe_name(row["file_name"]), text


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise InvalidValue("there is no such file.")
    if not path.resolve().is_relative_to(folder.resolve()):
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
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _ENDINGS)
    names = (path.relative_to(folder).as_posix() for path in found)
    return tuple(name for name in names if name not in listed)
