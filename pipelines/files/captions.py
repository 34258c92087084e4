"""Where the captions of a folder of pictures stand: in a list, in files beside them, or as COCO's.

A list is what ``metadata`` reads. A file beside a picture has its name and the ending ``.txt`` or
``.caption``, and a caption in each line. COCO's annotations are a JSON file with ``images`` and
``annotations``. Where there are several, the first of these three counts, and what another says
differently is noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.archive import safe_name
from pipelines.files.images import ENDINGS
from pipelines.files.metadata import (
    METADATA,
    TEXTS,
    Row,
    is_text,
    list_in,
    merged,
    named,
    read_file,
    read_rows,
)

SIDECARS = (".txt", ".caption")
ALLOWED = (
    f"{METADATA} or metadata.csv, a .txt file beside each picture, or COCO's annotations in a .json"
)
NO_CAPTIONS = (
    f"The data have no {METADATA}. Add one with a line for each picture, such as "
    '{"file_name": "0001.png", "text": "a red apple"}, or put a .txt file with its caption '
    "beside each picture; COCO's annotations in a .json are read as well."
)


@dataclass(frozen=True)
class Captions:
    """The rows in their order, and notes for people: how they were taken, and what disagrees."""

    rows: list[Row]
    notes: tuple[str, ...]


def has_list(folder: Path) -> bool:
    """Whether a list or COCO's annotations lie in a folder."""
    return list_in(folder) is not None or bool(_coco_files(folder))


def has_sidecars(folder: Path) -> bool:
    """Whether a picture in a folder, or in one inside of it, has a file beside it."""
    return any(_sidecar(picture) is not None for picture in pictures_in(folder))


def pictures_in(folder: Path) -> list[Path]:
    """Every picture in a folder and in those inside of it, by its ending, sorted by path."""
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS]


def read_captions(folder: Path, most_rows: int) -> Captions:
    """The captions of the pictures in a folder, a row for each picture.

    Raises:
        InvalidValue: there are none, too many, or they are malformed.
    """
    path = list_in(folder)
    if path is not None:
        rows = read_rows(path, most_rows)
        return Captions(rows, (*_columns(rows, path.name), *_contradictions(folder, rows, path)))
    rows = _rows_beside(folder)
    if rows:
        source = " and ".join(sorted({row.column for row in rows}))
        notes = (f"{_of_pictures(rows)} {source} files beside the pictures.",)
    else:
        file = _coco_file(folder)
        rows = _coco_rows(folder, file)
        notes = (f"{_of_pictures(rows)} COCO's annotations in {file.name}.",)
    if not 0 < len(rows) <= most_rows:
        raise InvalidValue(
            f"The data have {len(rows):,} pictures with captions; give from 1 to {most_rows:,}."
        )
    return Captions(rows, notes)


def _of_pictures(rows: list[Row]) -> str:
    """``12 captions from``, or how many of how many pictures."""
    count = sum(1 + len(row.wordings) for row in rows)
    if count == len(rows):
        return f"{count:,} caption{'s' if count > 1 else ''} from"
    return f"{count:,} captions of {len(rows):,} picture{'s' if len(rows) > 1 else ''} from"


def _columns(rows: list[Row], name: str) -> list[str]:
    """How a list's captions were taken, where another column than ``text`` has some."""
    columns = sorted({row.column for row in rows})
    if columns == [TEXTS[0]]:
        return []
    return [f"{_of_pictures(rows)} {' and '.join(columns)} in {name}."]


def _contradictions(folder: Path, rows: list[Row], path: Path) -> list[str]:
    notes = []
    for column in TEXTS:
        differing = [row.name for row in rows if row.contradicting == column]
        if differing:
            notes.append(
                f"{path.name} has another {column} than the one that was taken for "
                f"{named(tuple(differing))}."
            )
    beside = {row.name: row for row in _rows_beside(folder)}
    differing = [
        row.name
        for row in rows
        if row.name in beside and beside[row.name].text not in (row.text.strip(), *row.wordings)
    ]
    if differing:
        notes.append(
            f"The file beside the picture says something else than {path.name}, which was taken, "
            f"for {named(tuple(differing))}."
        )
    return notes


def _sidecar(picture: Path) -> Path | None:
    """The file beside a picture; a link is none, for it may lead anywhere."""
    beside = (picture.with_suffix(ending) for ending in SIDECARS)
    return next((file for file in beside if file.is_file() and not file.is_symlink()), None)


def _rows_beside(folder: Path) -> list[Row]:
    rows = []
    for picture in pictures_in(folder):
        file = _sidecar(picture)
        if file is not None:
            lines = [line.strip() for line in read_file(file).split("\n") if line.strip()]
            text, *wordings = lines or [""]
            name = safe_name(picture.relative_to(folder).as_posix())
            rows.append(Row(name, text, tuple(wordings), file.suffix))
    return merged(rows)


def _coco_files(folder: Path) -> list[Path]:
    files = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    marks = ('"images"', '"annotations"', '"caption"')
    return [
        file
        for file in files
        if file.is_file()
        and not file.is_symlink()
        and all(map(read_file(file).__contains__, marks))
    ]


def _coco_file(folder: Path) -> Path:
    files = _coco_files(folder)
    if not files:
        raise InvalidValue(NO_CAPTIONS)
    if len(files) > 1:
        raise InvalidValue(
            f"The data have {len(files)} files of COCO's annotations: "
            f"{named(tuple(file.name for file in files))}. Leave one of them in."
        )
    return files[0]


def _coco_rows(folder: Path, file: Path) -> list[Row]:
    """COCO names pictures without their folder: one of that name in the data is meant."""
    try:
        found = json.loads(read_file(file))
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{file.name} is not valid JSON ({error}). Export it again.") from error
    names = dict(_parts(file, found, "images", "id", "file_name"))
    places: dict[str, list[str]] = {}
    for path in pictures_in(folder):
        places.setdefault(path.name, []).append(path.relative_to(folder).as_posix())
    rows = []
    for image, text in _parts(file, found, "annotations", "image_id", "caption"):
        if image not in names:
            raise InvalidValue(
                f"{file.name} has a caption of the picture {abbreviated(image)}, which is not "
                "among its images. Add it, or take the caption out."
            )
        name = safe_name(names[image])
        inside = places.get(name.rpartition("/")[2], [])
        is_elsewhere = name not in inside and len(inside) == 1
        rows.append(Row(inside[0] if is_elsewhere else name, text.strip()))
    return merged(rows)


def _parts(file: Path, found: Any, part: str, key: str, value: str) -> Iterable[tuple[Any, str]]:
    """Two columns of one of COCO's lists."""
    rows = found.get(part) if isinstance(found, dict) else None
    for number, row in enumerate(rows if isinstance(rows, list) else [None], start=1):
        if not isinstance(row, dict) or not isinstance(row.get(key), int | str):
            row = {}
        if not is_text(row.get(value)):
            raise InvalidValue(
                f"Entry {number} of {part} in {file.name} has no {key} and {value}. COCO's "
                'annotations have {"id": 1, "file_name": "0001.png"} in images, and '
                '{"image_id": 1, "caption": "a red apple"} in annotations.'
            )
        yield row[key], row[value]
