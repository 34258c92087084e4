"""Data sets to evaluate on: texts, with or without pictures, and a hash of their content.

A data set ships with the page, is uploaded as a file, or, from the command line alone, lies
in a folder. A visitor's string is never a path: names are looked up in a list.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import validation
from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.images import open_picture
from pipelines.settings import ROOT, Limits

if TYPE_CHECKING:
    from PIL import Image

EMBEDDED = {"emoji-scenes": ROOT / "assets" / "datasets" / "emoji-scenes"}
"""Names that may be asked for, and where they lie."""

METADATA = "metadata.jsonl"
MOST_SAMPLES = 10_000
MOST_WORDINGS = 20
MOST_TEXT_BYTES = 16 * 1024**2
"""Of a file of texts, or of ``metadata.jsonl``."""

Find = Callable[[str], Path]


@dataclass(frozen=True)
class Sample:
    """One text, the picture that it is of where there is one, and where both stand.

    ``references`` are the right answers, ``text`` the first of them. ``name`` is for people;
    ``index`` is its place in the data set, from 0.
    """

    index: int
    name: str
    text: str
    references: tuple[str, ...]
    file: Path | None = None

    def picture(self, limits: Limits) -> Image.Image:
        """The picture, upright RGB.

        Raises:
            InvalidValue: it cannot be read, or is larger than a picture to paint may be.
        """
        assert self.file is not None
        try:
            return open_picture(self.file, replace(limits, upload_pixels=limits.picture_pixels))
        except StudioError as error:
            raise InvalidValue(f"{self.name}: {error}") from error


@dataclass(frozen=True)
class DataSet:
    """Samples in their order. ``sha256`` is of names, texts and the pictures' files."""

    name: str
    sha256: str
    samples: tuple[Sample, ...]

    @property
    def signature(self) -> str:
        """``name@hash``, as scores name it."""
        return f"{self.name}@{self.sha256[:16]}"

    @property
    def has_pictures(self) -> bool:
        return all(sample.file is not None for sample in self.samples)

    def drawn(self, count: int, seed: int) -> list[Sample]:
        """So many samples by lot, in the data set's order; all of them where there are fewer.

        With one seed a larger draw holds all of a smaller one.
        """
        order = np.random.default_rng(seed).permutation(len(self.samples))
        return [self.samples[index] for index in sorted(order[:count].tolist())]


@cache
def embedded(name: str) -> DataSet:
    """The data set of that name that ships with the page.

    Raises:
        InvalidValue: there is none of that name.
    """
    return read_folder(EMBEDDED[validation.choice("data", name, list(EMBEDDED))], name)


def read_folder(folder: Path, name: str | None = None) -> DataSet:
    """An imagefolder: pictures, and ``metadata.jsonl`` with ``file_name`` and ``text``.

    For the owner of the machine alone: who calls this has chosen the path himself.

    Raises:
        InvalidValue: no such folder, or what ``rows_of`` refuses, or a file that is not there.
    """
    metadata = folder / METADATA
    if not metadata.is_file():
        raise InvalidValue(
            f"There is no {METADATA} in {abbreviated(str(folder))}. It needs one line of JSON for "
            'each picture: {"file_name": "0001.png", "text": "..."}.'
        )
    top = folder.resolve()

    def find(file_name: str) -> Path:
        path = (top / file_name).resolve()
        if not path.is_relative_to(top) or not path.is_file():
            raise InvalidValue(f"{METADATA} names {abbreviated(file_name)}, which is not there.")
        return path

    return from_metadata(plain_name(name or folder.name), read_bounded(metadata), find)


def read_bounded(path: Path) -> bytes:
    """The content of a file of texts.

    Raises:
        InvalidValue: it is larger than ``MOST_TEXT_BYTES``.
    """
    size = path.stat().st_size
    if size > MOST_TEXT_BYTES:
        raise InvalidValue(
            f"The text has {mebibytes(size)}; at most {mebibytes(MOST_TEXT_BYTES)} are allowed. "
            "Give a part of it."
        )
    return path.read_bytes()


def from_texts(name: str, content: bytes, limits: Limits) -> DataSet:
    """Texts apart by blank lines; where there are none, every line is a text.

    Raises:
        InvalidValue: not UTF-8, fewer than 2 texts, too many, or one that is too long.
    """
    whole = _decoded(content, "The file").replace("\r\n", "\n").strip("\n")
    blocks = re.split(r"\n[ \t]*\n", whole)
    is_lines = len(blocks) == 1
    texts = [text.strip() for text in (whole.split("\n") if is_lines else blocks)]
    texts = [text for text in texts if text]
    unit = "line" if is_lines else "paragraph"
    samples = []
    for index, text in enumerate(texts):
        label = f"{unit} {index + 1}"
        validation.text(label, text, limits.prompt_characters)
        samples.append(Sample(index, label, text, (text,)))
    return _data_set(plain_name(name), samples)


def from_metadata(name: str, content: bytes, find: Find) -> DataSet:
    """The data set of a ``metadata.jsonl``; ``find`` turns its file names into files.

    Raises:
        InvalidValue: what ``_row`` refuses, or fewer than 2 samples, or too many.
    """
    lines = [line for line in _decoded(content, METADATA).splitlines() if line.strip()]
    _check_count(len(lines))
    samples = []
    for index, line in enumerate(lines):
        file_name, references = _row(line, index + 1)
        samples.append(Sample(index, file_name, references[0], references, find(file_name)))
    return _data_set(name, samples)


def plain_name(text: str) -> str:
    """Letters, digits, dots and dashes of a file's name, to show and to sign with."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:60] or "upload"


def _row(line: str, number: int) -> tuple[str, tuple[str, ...]]:
    """File name and right answers of one line; ``wordings`` are further answers."""
    where = f"Line {number} of {METADATA}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{where} is not valid JSON: {error}.") from error
    row = row if isinstance(row, dict) else {}
    file_name, text, others = row.get("file_name"), row.get("text"), row.get("wordings", [])
    if not isinstance(file_name, str) or not 0 < len(file_name) <= 255:
        raise InvalidValue(f"{where} needs a file_name: the name of a picture.")
    answers = [text, *others] if isinstance(others, list) else [None]
    if len(answers) > MOST_WORDINGS + 1 or not all(_is_answer(answer) for answer in answers):
        raise InvalidValue(
            f"{where} needs a text of 1 to {_LONGEST_ANSWER:,} characters; wordings, where there "
            f"are any, are a list of at most {MOST_WORDINGS} such texts."
        )
    return file_name, tuple(str(answer) for answer in answers)


_LONGEST_ANSWER = 2_000


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _LONGEST_ANSWER


def _decoded(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{what} is not UTF-8 text. Save it as UTF-8 and try again.") from error


def _data_set(name: str, samples: Sequence[Sample]) -> DataSet:
    _check_count(len(samples))
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps([sample.name, sample.references]).encode())
        if sample.file is not None:
            digest.update(hashlib.sha256(sample.file.read_bytes()).digest())
    return DataSet(name, digest.hexdigest(), tuple(samples))


def _check_count(count: int) -> None:
    if not 2 <= count <= MOST_SAMPLES:
        raise InvalidValue(
            f"The data set has {count:,} samples; give from 2 to {MOST_SAMPLES:,}. A file of texts "
            "has one in each line, or paragraphs with blank lines between them."
        )
