"""The writer's texts: files to passages, passages to tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipelines.errors import InvalidValue
from pipelines.files.texts import check_texts, passages, read_text
from pipelines.recipes.finetune.plan import split
from pipelines.recipes.gpt.data import Tokens


@dataclass(frozen=True)
class Texts:
    """The texts to train on, with neighbouring passages joined, and the passages held out."""

    seen: list[str]
    held_out: list[str]
    sha256: str

    @property
    def characters(self) -> int:
        return sum(map(len, [*self.seen, *self.held_out]))


def read_texts(path: Path, share: float, seed: int) -> Texts:
    """A ``.txt`` file or a folder of them, in passages of which a share is held out.

    Raises:
        InvalidValue: no such file, none with text, too little of it, or not UTF-8.
    """
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files or not all(file.is_file() and file.suffix == ".txt" for file in files):
        raise InvalidValue(f"--data is {path.name!r}; give a .txt file, or a folder that has some.")
    if problems := check_texts(files).problems:
        raise InvalidValue(f"--data: {' '.join(problems)}")
    pieces = passages([read_text(file) for file in files])
    trained_on, held_out = split(len(pieces), share, seed)
    seen: list[str] = []
    previous = None
    for index in trained_on:
        number, text = pieces[index]
        if previous == (index - 1, number):
            seen[-1] += text
        else:
            seen.append(text)
        previous = index, number
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    return Texts(seen, [pieces[index][1] for index in held_out], digest.hexdigest())


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tokens:
    """All texts as one row of tokens ``(N,)``, each between a begin and an end token.

    Raises:
        InvalidValue: the tokenizer has no token for the end of a text.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise InvalidValue(
            "The base's tokenizer has no end-of-text token, so texts cannot be separated. "
            "Choose another base."
        )
    begin = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    row: list[int] = []
    for text in texts:
        if not row or row[-1] != begin:  # one token may be both, and then separates texts
            row.append(begin)
        row += [*tokenizer.encode(text, add_special_tokens=False, verbose=False), end]
    return np.asarray(row, dtype=np.int64)
