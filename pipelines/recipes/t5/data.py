"""What the T5 learns from: five tasks on fresh tales, each as a text to read and one to write.

The tales are those of ``recipes/tales``, which a grammar writes, so the right answer is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.gpt.originality import sentences
from pipelines.recipes.t5.model import GAPS, gap
from pipelines.recipes.tales import grammar
from pipelines.recipes.tales.grammar import Tale

MISSING_SHARE = 0.15
"""Of a text's words, in gaps of ``GAP_WORDS`` words on average (arXiv:1910.10683, 3.3.4)."""
GAP_WORDS = 3
IGNORED = -100
"""The label of padding, which counts in no loss."""

_MARK = re.compile(r"[^\w\s'-]")


@dataclass(frozen=True)
class Example:
    """A text to read, the text to write, and all texts that would be right."""

    task: str
    source: str
    target: str
    right: frozenset[str]


@dataclass(frozen=True)
class Batch:
    """Padded tokens: ``(B, S)`` to read, ``(B, T)`` to write, with ``IGNORED`` for padding."""

    sources: torch.Tensor
    is_text: torch.Tensor
    labels: torch.Tensor


def fill(tale: Tale, rng: np.random.Generator) -> Example:
    """Words are missing in some places; the answer has them, each behind the token of its gap."""
    words = _excerpt(tale, rng, 2).split(" ")
    begins = _gap_of_each_word(len(words), rng)
    source, target = [], []
    for index, word in enumerate(words):
        number = begins[index]
        if number is None:
            source.append(word)
        elif index and begins[index - 1] == number:
            target.append(word)
        else:
            source.append(gap(number))
            target += [gap(number), word]
    return _example("fill", " ".join(source), " ".join(target))


def _gap_of_each_word(count: int, rng: np.random.Generator) -> list[int | None]:
    """For each word the number of its gap; None for those that stay.

    Gaps and what is between them have random lengths; between two there is a word at least.
    """
    missing = max(1, round(count * MISSING_SHARE))
    gaps = min(max(1, round(missing / GAP_WORDS)), GAPS)
    inside = _random_parts(missing, gaps, rng)
    between = _random_parts(count - missing + 2, gaps + 1, rng)
    between[0] -= 1  # a text may begin and end with a gap
    between[-1] -= 1
    result: list[int | None] = []
    for number, (kept, length) in enumerate(zip(between, inside, strict=False)):
        result += [None] * kept + [number] * length
    return result + [None] * between[-1]


def _random_parts(total: int, parts: int, rng: np.random.Generator) -> list[int]:
    """Whole numbers from 1 that sum to ``total``, all such lists equally likely."""
    cuts = np.sort(rng.choice(np.arange(1, total), size=parts - 1, replace=False))
    return [int(part) for part in np.diff([0, *cuts, total])]


def restore(tale: Tale, rng: np.random.Generator) -> Example:
    """Capitals, stops and quotes are gone; the answer has them."""
    text = _excerpt(tale, rng, 1, 10)
    return _example("restore", bare(text), text)


def bare(text: str) -> str:
    """The text without capitals and marks; apostrophes and hyphens stay."""
    return _MARK.sub("", text.lower())


def order(tale: Tale, rng: np.random.Generator) -> Example:
    """Three to five successive sentences in any order; the answer has them in that of the tale."""
    text = _excerpt(tale, rng, 3, 5)
    parts = sentences(text)
    return _example("order", " ".join(parts[int(i)] for i in rng.permutation(len(parts))), text)


def question(tale: Tale, rng: np.random.Generator) -> Example:
    """A question on the tale."""
    number = int(rng.integers(len(tale.questions)))
    asked, answer = tale.questions[number]
    source = f"{asked} tale: {_one_line(tale.text)}"
    return _example("question", source, answer, tale.right_answers(number))


def title(tale: Tale, rng: np.random.Generator) -> Example:
    """A title for the tale; all of the plot's are right."""
    return _example("title", _one_line(tale.text), tale.title, tale.right_titles())


TASKS: dict[str, tuple[Callable[[Tale, np.random.Generator], Example], float]] = {
    "fill": (fill, 0.3),
    "restore": (restore, 0.15),
    "order": (order, 0.2),
    "question": (question, 0.25),
    "title": (title, 0.1),
}
"""Every task with its share; its name and a colon begin what the model reads."""


def _example(task: str, source: str, target: str, right: frozenset[str] | None = None) -> Example:
    right = frozenset({target}) if right is None else right
    return Example(task, f"{task}: {source}", target, right)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _excerpt(tale: Tale, rng: np.random.Generator, least: int, most: int | None = None) -> str:
    """Successive sentences of the tale, ``least`` to ``most``; without ``most`` half of the
    excerpts are the whole tale."""
    parts = sentences(_one_line(tale.text))
    most = len(parts) if most is None else min(most, len(parts))
    count = int(rng.integers(least, most + 1))
    if most == len(parts) and rng.random() < 0.5:
        count = most
    start = int(rng.integers(len(parts) - count + 1))
    return " ".join(parts[start : start + count])


def example(task: str, rng: np.random.Generator, held_out: bool = False) -> Example:
    """One of the task; ``held_out``: on a pair of hero and thing that training never shows."""
    make, _ = TASKS[task]
    return make(grammar.random_tale(rng, held_out), rng)


def examples(count: int, rng: np.random.Generator) -> list[Example]:
    """Fresh ones of all tasks, in their shares."""
    shares = [share for _, share in TASKS.values()]
    return [example(str(task), rng) for task in rng.choice(list(TASKS), size=count, p=shares)]


def batch(tokenizer: PreTrainedTokenizerBase, shown: Sequence[Example]) -> Batch:
    """The examples as padded tokens. Tales are shorter than the context: nothing is cut."""
    read = tokenizer([each.source for each in shown], padding=True, return_tensors="pt")
    written = tokenizer([each.target for each in shown], padding=True, return_tensors="pt")
    labels = written["input_ids"].masked_fill(written["attention_mask"] == 0, IGNORED)
    return Batch(read["input_ids"], read["attention_mask"], labels)
