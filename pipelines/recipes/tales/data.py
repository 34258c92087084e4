"""What the teller learns from: fresh tales, conversations and drills, as weighted tokens.

No document is seen twice: they are written while it trains, from ``(seed, step)`` alone.
Each token has a weight in the loss. Words that a document repeats, which are what makes a
tale coherent, weigh three times; what a user says weighs a tenth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.gpt.model import END
from pipelines.recipes.tales import chat, grammar
from pipelines.recipes.tales.chat import Conversation
from pipelines.recipes.tales.model import as_text

TALE_SHARE = 0.45
"""Of the documents that are no drills; the others are conversations."""
DRILLS = (0.18, 0.03)
"""The share of drills at the first step and at the last."""
COPIED_WEIGHT = 3.0
USER_WEIGHT = 0.1

Marks = npt.NDArray[np.bool_]
"""One for each character of a text, or for each token."""
Token = tuple[int, float, bool]
"""Its id, its weight, and whether it is of a word that its document had before."""

_TURN = re.compile(r"<\|(\w+)\|>(.*?)<\|end\|>", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A text in the model's form, and the words that it has to keep."""

    text: str
    entities: frozenset[str]


@dataclass(frozen=True)
class Batch:
    """Rows of tokens ``(B, T + 1)``; for each, its weight as a target, and whether it is a
    word that the row's document had before."""

    tokens: torch.Tensor
    weights: torch.Tensor
    copied: torch.Tensor


def tale_document(rng: np.random.Generator, held_out: bool = False) -> Document:
    """A tale with its title, as plain text."""
    tale = grammar.random_tale(rng, held_out)
    return Document(f"{END}{tale.title}\n\n{tale.text}{END}", tale.entities)


def chat_document(conversation: Conversation) -> Document:
    """A conversation in the chat template's form."""
    return Document(as_text(conversation.turns), conversation.entities)


def documents(
    rng: np.random.Generator, progress: float = 1.0, held_out: bool = False
) -> Iterator[Document]:
    """Fresh documents without end; ``progress`` from 0 to 1 sets the share of drills."""
    drills = DRILLS[0] + (DRILLS[1] - DRILLS[0]) * progress
    while True:
        if rng.random() < drills:
            yield chat_document(chat.drill(rng, held_out))
        elif rng.random() < TALE_SHARE:
            yield tale_document(rng, held_out)
        else:
            yield chat_document(chat.random_conversation(rng, held_out))


def batch(
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
    rows: int,
    length: int,
    progress: float = 1.0,
    held_out: bool = False,
) -> Batch:
    """Rows of fresh documents; each row begins with one and is cut at ``length + 1``."""
    stream = documents(rng, progress, held_out)
    filled = []
    for _ in range(rows):
        row: list[Token] = []
        while len(row) <= length:
            row += encode(tokenizer, next(stream))
        filled.append(row[: length + 1])
    ids, weights, copied = (
        torch.tensor([[token[part] for token in row] for row in filled]) for part in range(3)
    )
    return Batch(ids, weights, copied)


def encode(tokenizer: PreTrainedTokenizerBase, document: Document) -> list[Token]:
    """The document's tokens."""
    encoded = tokenizer(document.text, return_offsets_mapping=True, add_special_tokens=False)
    spans = np.array(encoded["offset_mapping"])
    by_other = _touched(_spoken_by_others(document.text), spans)
    copied = _touched(_copied_spans(document), spans) & ~by_other
    weights = np.where(by_other, USER_WEIGHT, np.where(copied, COPIED_WEIGHT, 1.0))
    return list(zip(encoded["input_ids"], weights.tolist(), copied.tolist(), strict=True))


def _touched(marks: Marks, spans: npt.NDArray[np.int64]) -> Marks:
    """For each span ``(start, end)``, whether it has a marked character."""
    counted = np.concatenate([[0], np.cumsum(marks)])
    touched: Marks = counted[spans[:, 1]] > counted[spans[:, 0]]
    return touched


def _copied_spans(document: Document) -> Marks:
    """For each character, whether it is of an entity's second or later mention."""
    marked = np.zeros(len(document.text), bool)
    if not document.entities:
        return marked
    names = sorted(document.entities, key=len, reverse=True)
    seen: set[str] = set()
    for match in re.finditer(rf"\b(?:{'|'.join(map(re.escape, names))})\b", document.text):
        if match[0] in seen:
            marked[match.start() : match.end()] = True
        seen.add(match[0])
    return marked


def _spoken_by_others(text: str) -> Marks:
    """For each character, whether the system or the user says it."""
    marked = np.zeros(len(text), bool)
    for turn in _TURN.finditer(text):
        if turn[1] != "assistant":
            marked[turn.start() : turn.end()] = True
    return marked
