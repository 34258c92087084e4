"""The writer's texts: files to tales, tales to one long row of tokens.

A file has one paragraph a line and a blank line between paragraphs. Only training
and scoring read texts; nothing that serves imports this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

HELD_OUT = ("the_grey_fairy_book.txt", "through_the_looking_glass.txt")

Tokens = npt.NDArray[np.int64]

_LONGEST_HEADING = 70
_HEADING = re.compile(r"[A-Z0-9].*[A-Za-z0-9?!]")


@dataclass(frozen=True)
class Passage:
    """Held-out text as tokens ``(N,)``, and the number of UTF-8 bytes of each, ``(N,)``."""

    tokens: Tokens
    sizes: Tokens


def read_texts(folder: Path, held_out: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folder's ``.txt`` files, sorted by name: those for training, those held out.

    Raises:
        SystemExit: a held-out file is missing, or no file is left for training.
    """
    missing = [name for name in held_out if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"--held-out: {folder} has no {', '.join(missing)}")
    paths = sorted(path for path in folder.glob("*.txt") if path.name not in held_out)
    if not paths:
        raise SystemExit(f"--data: {folder} has no .txt file besides those held out")
    unseen = [folder / name for name in held_out]
    texts, held_out_texts = (
        [path.read_text(encoding="utf-8").strip() for path in part] for part in (paths, unseen)
    )
    return texts, held_out_texts


def split_into_tales(text: str) -> list[str]:
    """A book, cut before each heading that follows prose.

    A heading is a short paragraph without a full stop; of several in a row the first
    begins the tale. Only the line breaks at the cuts are lost.
    """
    tales: list[list[str]] = [[]]
    follows_prose = False
    for paragraph in text.split("\n\n"):
        is_heading = len(paragraph) <= _LONGEST_HEADING and _HEADING.fullmatch(paragraph)
        if is_heading and follows_prose:
            tales.append([])
        follows_prose = not is_heading
        tales[-1].append(paragraph)
    return ["\n\n".join(tale) for tale in tales]


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tokens:
    """All tales as one row of tokens ``(N,)``, with end-of-text before each and at the end."""
    return row_of(tokenizer, (tale for text in texts for tale in split_into_tales(text)))


def row_of(tokenizer: PreTrainedTokenizerBase, documents: Iterable[str]) -> Tokens:
    """The documents as one row of tokens, with end-of-text before each and at the end."""
    end = tokenizer.eos_token_id
    row: list[int] = [end]
    for document in documents:
        row += [*tokenizer.encode(document, verbose=False), end]
    return np.asarray(row, dtype=np.int64)


def passage(
    tokenizer: PreTrainedTokenizerBase, text: str, characters: int | None = None
) -> Passage:
    """The text, or its first ``characters``, ready to be scored."""
    return sized(tokenizer, encode(tokenizer, [text[:characters]]))


def sized(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> Passage:
    """A row of tokens with the bytes of each; an end-of-text has none."""
    pieces = tokenizer.convert_ids_to_tokens(tokens.tolist())
    ends = tokens == tokenizer.eos_token_id
    # A byte-level piece is written with one character for each byte.
    sizes = np.where(ends, 0, [len(piece) for piece in pieces])
    return Passage(tokens, sizes.astype(np.int64))


def windows(row: Tokens, count: int, length: int, rng: np.random.Generator) -> torch.Tensor:
    """Random stretches of the row, each with the token that follows.

    Returns:
        ``(count, length + 1)`` int64. Rows that are too short give shorter stretches.
    """
    length = min(length, len(row) - 1)
    starts = rng.integers(len(row) - length, size=count)
    return torch.from_numpy(np.stack([row[start : start + length + 1] for start in starts]))
