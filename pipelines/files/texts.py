"""Text files to train a writer on: cut into passages, of which a share is held out.

The page says by it what the data are good for before anything is trained, and the recipe
trains by it. Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import InvalidValue

HELD_OUT_SHARE = 0.1
"""Of the data, where nothing else is chosen."""

LEAST_HELD_OUT = 2
"""Samples: the fewest that give a score."""

FEW = 8
"""Held-out samples, below which a difference may always be chance."""

LEAST_CHARACTERS = 2_000
_LONGEST_PASSAGE, _SHORTEST_PASSAGE = 4_000, 100
"""Characters of the passages that are held out or trained on."""

_PASSAGES = 80
"""So many a small text is cut into, for a tenth of them to be enough to measure on."""


@dataclass(frozen=True)
class TextReport:
    """What the files hold. ``problems`` must be mended before training, ``notes`` need not.

    ``passages`` counts all, ``held_out`` those of them that are not trained on.
    """

    files: int
    characters: int
    words: int
    passages: int
    held_out: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def held_out_count(count: int, share: float = HELD_OUT_SHARE) -> int:
    """How many of so many samples are held out."""
    return max(LEAST_HELD_OUT, round(count * share))


def few_notes(held_out: int) -> tuple[str, ...]:
    """A remark where so many held-out samples show nothing."""
    if held_out >= FEW:
        return ()
    return (
        f"{held_out} held out are too few to tell a gain from chance; with {FEW} or more the card "
        "can say how sure it is.",
    )


def check_texts(files: Sequence[Path]) -> TextReport:
    """Counts of the files, and what is wrong with them."""
    texts: list[str] = []
    problems, notes = [], []
    first_with: dict[str, str] = {}
    for file in files:
        try:
            text = read_text(file)
        except InvalidValue as error:
            problems.append(str(error))
            continue
        if not text:
            notes.append(f"{file.name} is empty.")
        elif text in first_with:
            notes.append(f"{file.name} is the same as {first_with[text]}.")
        first_with.setdefault(text, file.name)
        texts.append(text)
    characters = sum(map(len, texts))
    if characters < LEAST_CHARACTERS:
        problems.append(
            f"{characters:,} characters are too few; at least {LEAST_CHARACTERS:,} are needed to "
            "train on some and measure on others."
        )
    count = len(passages(texts))
    held_out = held_out_count(count)
    few = () if problems else few_notes(held_out)
    words = sum(len(text.split()) for text in texts)
    return TextReport(
        len(files), characters, words, count, held_out, tuple(problems), (*notes, *few)
    )


def read_text(file: Path) -> str:
    """Its text without the space round it.

    Raises:
        InvalidValue: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidValue(
            f"{file.name} is not UTF-8 text (byte {error.start:,}). Save it as UTF-8."
        ) from error


def passages(texts: Sequence[str]) -> list[tuple[int, str]]:
    """Each text in pieces, with the text's index; small texts have shorter pieces."""
    size = max(_SHORTEST_PASSAGE, min(_LONGEST_PASSAGE, sum(map(len, texts)) // _PASSAGES))
    return [(index, piece) for index, text in enumerate(texts) for piece in cut(text, size)]


def cut(text: str, size: int) -> list[str]:
    """The text in pieces of at most ``size`` characters.

    A piece ends after the last blank line in its second half; without one after the last
    line, and else after the last space.
    """
    pieces = []
    while len(text) > size:
        ends = (text.rfind(mark, size // 2, size) + len(mark) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > size // 2), size)
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text.strip() else pieces
