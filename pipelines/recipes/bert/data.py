"""What the BERT learns from: tales and pieces of them, with words masked anew for every step.

The tales are those of ``recipes/tales``, which a grammar writes; no text is seen twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.gpt.originality import sentences
from pipelines.recipes.tales import grammar

MASKED_SHARE = 0.15
"""Of a text's words, marks among them; of these four fifths become ``[MASK]``, a tenth random
tokens, a tenth stay (arXiv:1810.04805, section 3.1)."""
RANDOM_SHARE = KEPT_SHARE = 0.1
WHOLE_TALES = 0.7
"""The share of texts that are whole tales; the others are some of a tale's sentences."""
IGNORED = -100
"""The label of a token that has not to be named."""

Words = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Text:
    """A text, and the names, kinds, things and places in it."""

    text: str
    entities: frozenset[str]


@dataclass(frozen=True)
class Batch:
    """Padded rows ``(B, T)``."""

    tokens: torch.Tensor
    is_text: torch.Tensor
    labels: torch.Tensor
    """The token that is to be named, or ``IGNORED``."""
    copied: torch.Tensor
    """Whether it is to be named and of a name that stands elsewhere in the row, unmasked."""
    words: torch.Tensor
    """The number of each token's word in its row; -1 outside of words."""


def random_text(rng: np.random.Generator, held_out: bool = False) -> Text:
    """A tale or some of its successive sentences, in one line."""
    tale = grammar.random_tale(rng, held_out)
    parts = sentences(" ".join(tale.text.split()))
    if rng.random() >= WHOLE_TALES:
        count = int(rng.integers(1, len(parts) + 1))
        start = int(rng.integers(len(parts) - count + 1))
        parts = parts[start : start + count]
    names = frozenset(name.removeprefix("the ") for name in tale.entities)
    return Text(" ".join(parts), names)


def batch(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[Text],
    rng: np.random.Generator,
    always_masked: bool = False,
) -> Batch:
    """The texts with whole words masked.

    Args:
        always_masked: whether every chosen word becomes ``[MASK]``, as to measure.
    """
    encoded = tokenizer(
        [each.text for each in texts],
        padding=True,
        return_tensors="np",
        return_offsets_mapping=True,
    )
    ids, is_text = encoded["input_ids"].astype(np.int64), encoded["attention_mask"]
    words = np.array([_numbers(encoded.word_ids(row)) for row in range(len(texts))])
    shown, labels = ids.copy(), np.full_like(ids, IGNORED)
    copied = np.zeros_like(ids, bool)
    for row, text in enumerate(texts):
        chosen = choose(words[row], rng)
        hidden = np.isin(words[row], chosen)
        labels[row, hidden] = ids[row, hidden]
        copied[row] = hidden & _seen_elsewhere(text, encoded["offset_mapping"][row], hidden)
        for word in chosen:
            shown[row, words[row] == word] = _disguise(
                ids[row, words[row] == word], tokenizer, rng, always_masked
            )
    return Batch(*map(torch.from_numpy, (shown, is_text, labels, copied, words)))


def _numbers(word_ids: list[int | None]) -> list[int]:
    return [-1 if number is None else number for number in word_ids]


def choose(words: Words, rng: np.random.Generator) -> Words:
    """The numbers of the words to mask: ``MASKED_SHARE`` of them, one at least."""
    present = np.unique(words[words >= 0])
    return rng.choice(present, size=max(1, round(len(present) * MASKED_SHARE)), replace=False)


def _disguise(
    pieces: Words, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator, always: bool
) -> Words:
    """What is shown instead of a chosen word's tokens."""
    draw = 1.0 if always else rng.random()
    if draw < KEPT_SHARE:
        return pieces
    if draw < KEPT_SHARE + RANDOM_SHARE:
        special = len(tokenizer.all_special_ids)  # which are the first
        return rng.integers(special, len(tokenizer), size=len(pieces))
    return np.full_like(pieces, tokenizer.mask_token_id)


def _seen_elsewhere(
    text: Text, spans: npt.NDArray[np.int64], hidden: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """For each token, whether it is of a name, kind, thing or place that stands elsewhere in
    the text with none of its words hidden."""
    names = sorted(text.entities, key=len, reverse=True)
    found = re.finditer(rf"\b(?:{'|'.join(map(re.escape, names))})\b", text.text)
    places = [(match[0], _tokens(match.span(), spans)) for match in found]
    visible = [name for name, tokens in places if not hidden[tokens].any()]
    result = np.zeros(len(spans), bool)
    for name, tokens in places:
        result[tokens] = name in visible
    return result


def _tokens(span: tuple[int, int], spans: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which tokens lie in a stretch of the text."""
    start, end = span
    inside: npt.NDArray[np.bool_] = (
        (spans[:, 0] >= start) & (spans[:, 1] <= end) & (spans[:, 1] > spans[:, 0])
    )
    return inside
