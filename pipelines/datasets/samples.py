"""Data sets to evaluate on: texts, with or without pictures, and a hash of their content.

Pictures come in imagefolder form, with the checks of ``pipelines.files.imagefolder``; texts in a
file of text, or of JSON lines. A visitor's string is never a path: names are looked up in a
list.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines import validation
from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.events import Report
from pipelines.files.imagefolder import DataLimits, root_of, usable_pairs
from pipelines.files.images import open_picture
from pipelines.files.metadata import is_text
from pipelines.settings import ROOT, Limits

if TYPE_CHECKING:
    from PIL import Image

_ASSETS = ROOT / "assets" / "datasets"
EMBEDDED = {"emoji-scenes": _ASSETS / "emoji-scenes", "shakespeare": _ASSETS / "shakespeare.txt"}
"""Names that may be asked for, and where they lie: pictures with captions, and texts."""

FEWEST_SAMPLES, MOST_SAMPLES = 2, 10_000
MOST_TEXT_BYTES = 16 * 1024**2
"""Of a file of texts."""

JSON_LINES = ".jsonl"


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

    @property
    def halves(self) -> tuple[str, str]:
        """The text's beginning, which a writer is to continue, and the rest: half of its words
        each. A text of one word begins with nothing."""
        words = self.text.split()
        middle = 0
        for word in words[: len(words) // 2]:
            middle = self.text.index(word, middle) + len(word)
        return self.text[:middle], self.text[middle:].strip()

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
    """Samples in their order. ``sha256`` is of names, texts and the pictures' files.

    ``name`` is one that it can be found by again, where there is one: that of an embedded
    set, or ``owner/name@commit``. ``notes`` are remarks on what was left out, and on how it was
    found.
    """

    name: str
    sha256: str
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        """``name@hash``, as scores name it."""
        return f"{self.name}@{self.sha256[:16]}"

    @property
    def has_pictures(self) -> bool:
        return all(sample.file is not None for sample in self.samples)

    def drawn(self, count: int, seed: int) -> list[Sample]:
        """So many samples by lot, in the order of the draw; all of them where there are fewer.

        With one seed a larger draw begins with a smaller one.
        """
        order = np.random.default_rng(seed).permutation(len(self.samples))
        return [self.samples[index] for index in order[:count].tolist()]


@cache
def embedded(name: str) -> DataSet:
    """The data set of that name that ships with the page.

    Raises:
        InvalidValue: there is none of that name.
    """
    path = EMBEDDED[validation.choice("data", name, list(EMBEDDED))]
    return read_folder(path, name) if path.is_dir() else read_texts(path, name, Limits())


def read_folder(folder: Path, name: str | None = None) -> DataSet:
    """The imagefolder in a folder, or in the only folder of it that is one.

    For the owner of the machine alone: who calls this has chosen the path himself.

    Raises:
        InvalidValue: what ``read_pictures`` refuses.
    """
    return read_pictures(root_of(folder), plain_name(name or folder.name), Limits())


def read_pictures(
    folder: Path,
    name: str,
    limits: Limits,
    within: Path | None = None,
    report: Report = lambda progress: None,
) -> DataSet:
    """The imagefolder in a folder, every picture of it opened.

    Args:
        within: what links in the folder may lead into; the folder itself by default.
        report: gets the progress; what it raises ends the reading.

    Raises:
        InvalidValue: no such folder, or there are pictures that cannot be used, fewer than
            2, or too many; the message names them.
    """
    bounds = DataLimits(MOST_SAMPLES, FEWEST_SAMPLES, picture=limits)
    pairs, checked = usable_pairs(folder, bounds, within, report)
    samples = [
        Sample(index, pair.name, pair.text, pair.captions, pair.file)
        for index, pair in enumerate(pairs)
    ]
    return replace(_data_set(name, samples), notes=tuple(f"{name}: {n}" for n in checked.notes))


def read_texts(path: Path, name: str, limits: Limits) -> DataSet:
    """The texts in a file: JSON lines where its name ends so, else what ``from_texts`` takes.

    Raises:
        InvalidValue: too large, or what ``from_json_lines`` and ``from_texts`` refuse.
    """
    read = from_json_lines if path.suffix.lower() == JSON_LINES else from_texts
    return read(name, read_bounded(path), limits)


def read_bounded(path: Path) -> bytes:
    """The content of a file of texts.

    Raises:
        InvalidValue: it is larger than ``MOST_TEXT_BYTES``.
    """
    check_text_size(path.stat().st_size)
    return path.read_bytes()


def check_text_size(size: int) -> None:
    """Raises InvalidValue where a file of texts has more than ``MOST_TEXT_BYTES``."""
    if size > MOST_TEXT_BYTES:
        raise InvalidValue(
            f"The text has {mebibytes(size)}; at most {mebibytes(MOST_TEXT_BYTES)} are allowed. "
            "Give a part of it."
        )


def from_texts(name: str, content: bytes, limits: Limits) -> DataSet:
    """Texts apart by blank lines; where there are none, every line is a text.

    Raises:
        InvalidValue: not UTF-8, fewer than 2 texts, too many, or one that is too long.
    """
    whole = _decoded(content).replace("\r\n", "\n").strip("\n")
    blocks = re.split(r"\n[ \t]*\n", whole)
    is_lines = len(blocks) == 1
    texts = [text.strip() for text in (whole.split("\n") if is_lines else blocks)]
    texts = [text for text in texts if text]
    unit = "line" if is_lines else "paragraph"
    labelled = ((f"{unit} {number}", text) for number, text in enumerate(texts, start=1))
    return _of_texts(name, labelled, limits)


def from_json_lines(name: str, content: bytes, limits: Limits) -> DataSet:
    """Each line is a JSON object with a ``text``; its other entries are not read.

    Raises:
        InvalidValue: not UTF-8, a line is no such object, fewer than 2 texts, too many, or
            one that is too long.
    """
    lines = _decoded(content).split("\n")  # splitlines would cut texts in two
    lines_left = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    labelled = ((f"line {number}", _text_of(line, number)) for number, line in lines_left)
    return _of_texts(name, labelled, limits)


def _text_of(line: str, number: int) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    text = row.get("text") if isinstance(row, dict) else None
    if not is_text(text) or not text.strip():
        raise InvalidValue(
            f"Line {number} is {abbreviated(line)}; give a JSON object with a text, as in "
            '{"text": "Once upon a time"}.'
        )
    return str(text).strip()


def plain_name(text: str) -> str:
    """Letters, digits, dots and dashes of a file's name, to show and to sign with."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:60] or "upload"


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue("The file is not UTF-8 text. Save it as UTF-8 and try again.") from error


def _of_texts(name: str, labelled: Iterator[tuple[str, str]], limits: Limits) -> DataSet:
    samples = []
    for index, (label, text) in enumerate(labelled):
        validation.text(label, text, limits.prompt_characters)
        samples.append(Sample(index, label, text, (text,)))
    return _data_set(plain_name(name), samples)


def _data_set(name: str, samples: Sequence[Sample]) -> DataSet:
    if not FEWEST_SAMPLES <= len(samples) <= MOST_SAMPLES:
        raise InvalidValue(
            f"The data set has {len(samples):,} samples; give from {FEWEST_SAMPLES} to "
            f"{MOST_SAMPLES:,}. A file of texts has one in each line, or paragraphs with blank "
            "lines between them."
        )
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps([sample.name, sample.references]).encode())
        if sample.file is not None:
            digest.update(hashlib.sha256(sample.file.read_bytes()).digest())
    return DataSet(name, digest.hexdigest(), tuple(samples))
