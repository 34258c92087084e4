"""The writer's texts: files to passages, passages to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipelines.errors import InvalidValue
from pipelines.recipes.finetune.plan import digest, split
from pipelines.recipes.gpt.data import Tokens

PASSAGE_CHARACTERS = 4_000
"""What is held out, or trained on, in one piece. Small texts have shorter passages."""

LEAST_CHARACTERS = 2_000
LEAST_PASSAGES = 20


@dataclass(frozen=True)
class Texts:
    """What is trained on, neighbouring passages joined again, and the passages held out."""

    seen: list[str]
    held_out: list[str]
    sha256: str

    @property
    def characters(self) -> int:
        return sum(map(len, self.seen)) + sum(map(len, self.held_out))


def read_texts(path: Path, share: float, seed: int) -> Texts:
    """A ``.txt`` file, or a folder of them, split into passages of which a share is held out.

    Raises:
        InvalidValue: no such file, none with text, too little of it, or not UTF-8.
    """
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files or not all(file.is_file() and file.suffix == ".txt" for file in files):
        raise InvalidValue(f"--data is {path.name!r}; give a .txt file, or a folder that has some.")
    texts = [_read(file) for file in files]
    total = sum(map(len, texts))
    if total < LEAST_CHARACTERS:
        raise InvalidValue(
            f"--data has {total:,} characters of text; at least {LEAST_CHARACTERS:,} are needed "
            "to train on some and measure on others. Give more text."
        )
    size = min(PASSAGE_CHARACTERS, total // LEAST_PASSAGES)
    passages = [(number, part) for number, text in enumerate(texts) for part in cut(text, size)]
    kept, held_out = split(len(passages), share, seed)
    return Texts(
        _joined([(index, *passages[index]) for index in kept]),
        [passages[index][1] for index in held_out],
        digest([(file.name, file) for file in files]),
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidValue(
            f"{file.name} is not UTF-8 text (byte {error.start:,}). Save it as UTF-8."
        ) from error


def cut(text: str, size: int) -> list[str]:
    """The text in pieces of at most ``size`` characters, cut after blank lines where there
    is one in a piece's second half, else after lines, else after spaces."""
    pieces = []
    while len(text) > size:
        ends = (text.rfind(mark, size // 2, size) + len(mark) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > size // 2), size)
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text.strip() else pieces


def _joined(passages: Sequence[tuple[int, int, str]]) -> list[str]:
    """Passages (index, file, text) that stood side by side in a file, as one text again."""
    joined = [passages[0][2]]
    for (before, file_before, _), (index, file, text) in pairwise(passages):
        if index == before + 1 and file == file_before:
            joined[-1] += text
        else:
            joined.append(text)
    return joined


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tokens:
    """All texts in one row, the beginning's token before each and the end's after each.

    Raises:
        InvalidValue: the tokenizer has no token for the end of a text.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise InvalidValue(
            "The base's tokenizer has no end-of-text token, so texts cannot be told apart. "
            "Choose another base."
        )
    begin = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    row: list[int] = []
    for text in texts:
        if not row or row[-1] != begin:  # one token is both: it separates two texts once
            row.append(begin)
        row += [*tokenizer.encode(text, add_special_tokens=False, verbose=False), end]
    return np.asarray(row, dtype=np.int64)
