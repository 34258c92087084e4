"""How much the texts of one model differ among themselves: distinct n-grams and self-BLEU.

Texts are cut at blanks, in lower case. Both depend on the number of texts and on their
length, so compare sets of the same kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.errors import InvalidValue
from pipelines.metrics import interval
from pipelines.metrics.bleu import bleu_of_sums
from pipelines.metrics.captions import texts_of
from pipelines.metrics.score import Score
from pipelines.validation import whole_number

_ORDERS = 4
_Counts = Counter[tuple[str, ...]]


def distinct(texts: Sequence[str], n: int = 2) -> Score:
    """Different n-grams over all n-grams, from 0 to 1 (Li et al., 2016, arXiv:1510.03055).

    The interval is a jackknife: every text is left out once, exactly. Resampling would
    repeat texts and so find fewer.

    Args:
        texts: at least 2.
        n: words of an n-gram, from 1 to 10.

    Raises:
        InvalidValue: fewer texts, no text of n words, or another n.
    """
    n = whole_number("n", n, 1, 10)
    counted = [_ngrams(text.lower().split(), n) for text in texts_of(texts, 2)]
    every: _Counts = sum(counted, Counter())
    total = every.total()
    if total == 0:
        raise InvalidValue(f"No text has {n} words, so there is no n-gram. Choose a smaller n.")
    value = len(every) / total
    without = np.array(
        [
            (len(every) - sum(every[ngram] == count for ngram, count in own.items()))
            / (total - own.total())
            for own in counted
            if own.total() < total
        ]
    )
    spread = float(without.var()) * (len(counted) - 1) if len(without) else 0.0
    low, high = interval.normal(value, spread)
    return Score(
        value,
        max(0.0, low),
        min(1.0, high),
        len(counted),
        f"distinct-{n}|texts:{len(counted)}|tok:blanks-lc|ci:jackknife|numpy:{np.__version__}",
        higher_is_better=True,
    )


def self_bleu(texts: Sequence[str]) -> Score:
    """The mean BLEU-4 of each text against all others, from 0 to 100 (Zhu et al., 2018,
    arXiv:1802.01886); less is more varied.

    Smoothed as in ``bleu``; a text below four words scores 0. The interval takes the texts'
    scores as independent, which they are not quite.

    Args:
        texts: at least 2.

    Raises:
        InvalidValue: fewer texts, or something that is no text.
    """
    words = [text.lower().split() for text in texts_of(texts, 2)]
    counted = [sum((_ngrams(told, n) for n in range(1, _ORDERS + 1)), Counter()) for told in words]
    most = _two_most(counted)
    lengths = np.array([len(told) for told in words])
    rows = np.zeros((len(words), 2 + 2 * _ORDERS))
    for number, own in enumerate(counted):
        rows[number, :2] = lengths[number], _nearest_other(lengths, number)
        for ngram, count in own.items():
            first, second = most[ngram]
            # Where this text holds the ngram most often, the others are told by the second.
            others = second if count == first else first
            rows[number, 1 + len(ngram)] += min(count, others)
            rows[number, 1 + _ORDERS + len(ngram)] += count
    values = bleu_of_sums(rows)
    value = float(values.mean())
    low, high = interval.normal(value, float(values.var(ddof=1)) / len(values))
    return Score(
        value,
        max(0.0, low),
        min(100.0, high),
        len(words),
        f"self-BLEU|texts:{len(words)}|n:{_ORDERS}|smooth:exp|tok:blanks-lc|ci:normal"
        f"|numpy:{np.__version__}",
        higher_is_better=False,
    )


def _ngrams(words: Sequence[str], n: int) -> _Counts:
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))


def _two_most(counted: Sequence[_Counts]) -> dict[tuple[str, ...], tuple[int, int]]:
    """For each n-gram the highest count in one text and the highest in another."""
    most: dict[tuple[str, ...], tuple[int, int]] = {}
    for own in counted:
        for ngram, count in own.items():
            first, second = most.get(ngram, (0, 0))
            most[ngram] = (count, first) if count > first else (first, max(second, count))
    return most


def _nearest_other(lengths: np.ndarray, number: int) -> int:
    """The length of another text that is nearest; of two the shorter."""
    others = np.delete(lengths, number)
    gaps = np.abs(others - lengths[number])
    return int(others[gaps == gaps.min()].min())
