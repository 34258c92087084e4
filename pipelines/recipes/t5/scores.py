"""How right an answer is: each task has its own measure, from 0 to 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from pipelines.recipes.gpt.originality import sentences
from pipelines.recipes.t5.data import Example, bare

_GAP = re.compile(r"<extra_id_(\d+)>")


def scores(example: Example, answer: str) -> dict[str, float]:
    """What counts for the example's task, by name; of several right answers the nearest."""
    measured = {
        "exact": float(answer in example.right),
        **{
            "fill": lambda: {"f1": gaps_f1(answer, example.target)},
            "restore": lambda: {"f1": marks_f1(answer, example.target)},
            "order": lambda: {"pairs": pairs_in_order(answer, example.target)},
        }.get(example.task, lambda: {"f1": nearest_f1(answer, example.right)})(),
    }
    return {f"{example.task}_{name}": value for name, value in measured.items()}


def f1(given: Iterable[str], wanted: Iterable[str]) -> float:
    """Of two bags of words: the harmonic mean of precision and recall (Rajpurkar et al., 2016,
    arXiv:1606.05250). Two empty ones are equal."""
    given, wanted = Counter(given), Counter(wanted)
    total = given.total() + wanted.total()
    return 2 * (given & wanted).total() / total if total else 1.0


def nearest_f1(answer: str, right: Iterable[str]) -> float:
    """The words' F1 with the nearest right answer."""
    return max(f1(answer.split(), each.split()) for each in right)


def gaps_f1(answer: str, target: str) -> float:
    """The words' F1 of each gap, averaged over the gaps; a gap that is left out has 0."""
    given, wanted = _gaps(answer), _gaps(target)
    return sum(f1(given.get(n, []), words) for n, words in wanted.items()) / len(wanted)


def _gaps(text: str) -> dict[int, list[str]]:
    """The words behind each gap's token; where one comes twice, those behind the first."""
    _, *parts = _GAP.split(text)
    numbers, texts = map(int, parts[::2]), parts[1::2]
    return {
        number: words.split() for number, words in reversed([*zip(numbers, texts, strict=True)])
    }


def marks_f1(answer: str, target: str) -> float:
    """The F1 of the words that have a capital or a mark."""
    return f1(*([w for w in text.split() if bare(w) != w] for text in (answer, target)))


def pairs_in_order(answer: str, target: str) -> float:
    """The share of all pairs of sentences that stand in the right order; 0.5 is chance.

    A sentence that is not there word for word is in no right pair.
    """
    places = [answer.find(sentence) for sentence in sentences(target)]
    pairs = [*combinations(places, 2)]
    return sum(0 <= first < second for first, second in pairs) / len(pairs)
