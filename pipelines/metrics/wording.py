"""How much the texts of one model differ among themselves: distinct n-grams and self-BLEU.

Texts are cut at blanks, in lower case. Both depend on the number of texts and on their
length, so compare sets of the same kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.metrics import interval
from pipelines.metrics.bleu import bleu_of_sums
from pipelines.metrics.captions import Ngram, ngrams, texts_of
from pipelines.metrics.paired import ScoreOfSets
from pipelines.metrics.score import Score
from pipelines.validation import whole_number

_ORDERS = 4
_Counts = Counter[Ngram]
_Flags = npt.NDArray[np.bool_]
_Places = npt.NDArray[np.int64]


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
    counted = _counted(texts, n, n)
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
    low, high = interval.student(value, spread, len(counted), 0.0, 1.0)
    return Score(
        value,
        low,
        high,
        len(counted),
        f"distinct-{n}|texts:{len(counted)}|tok:blanks-lc|ci:jackknife-t|numpy:{np.__version__}",
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
    values = _bleu_of_each(texts)(np.ones((1, len(texts_of(texts, 2))), np.bool_))[0]
    value = float(values.mean())
    variance = float(values.var(ddof=1)) / len(values)
    low, high = interval.student(value, variance, len(values), 0.0, 100.0)
    return Score(
        value,
        low,
        high,
        len(values),
        f"self-BLEU|texts:{len(values)}|n:{_ORDERS}|smooth:exp|tok:blanks-lc|ci:t"
        f"|numpy:{np.__version__}",
        higher_is_better=False,
    )


def distinct_of_sets(texts: Sequence[str], n: int = 2) -> ScoreOfSets:
    """``distinct`` of any set of these texts, for ``paired.compared_sets``; 0 without n-grams."""
    counted = _counted(texts, n, n)
    held = _held([Counter(own.keys()) for own in counted])
    totals = np.array([own.total() for own in counted])

    def score(is_in: _Flags) -> interval.Array:
        return np.asarray((held.by(is_in) > 0).sum(axis=0) / np.maximum(1, is_in @ totals))

    return score


def self_bleu_of_sets(texts: Sequence[str]) -> ScoreOfSets:
    """``self_bleu`` of any set of these texts, for ``paired.compared_sets``."""
    of_each = _bleu_of_each(texts)

    def score(is_in: _Flags) -> interval.Array:
        return np.asarray((of_each(is_in) * is_in).sum(axis=1) / is_in.sum(axis=1))

    return score


def _bleu_of_each(texts: Sequence[str]) -> Callable[[_Flags], interval.Array]:
    """From sets of the texts, ``(sets, texts)``, to BLEU of each text of a set against the
    others of it, of the same shape; what it says of texts outside the set has no meaning."""
    counted = _counted(texts, 1, _ORDERS)
    lengths = np.array([len(text.split()) for text in texts])
    totals = np.array([[max(0, size - n) for n in range(_ORDERS)] for size in lengths])
    held = _held(counted, fewest=2)

    def score(is_in: _Flags) -> interval.Array:
        rows = np.empty((*is_in.shape, 2 + 2 * _ORDERS))
        rows[..., 0], rows[..., 1] = lengths, _nearest_other(lengths, is_in)
        rows[..., 2 : 2 + _ORDERS] = held.shared(is_in)
        rows[..., 2 + _ORDERS :] = totals
        return bleu_of_sums(rows)

    return score


def _counted(texts: Sequence[str], shortest: int, longest: int) -> list[_Counts]:
    """The n-grams of each text, of n from ``shortest`` to ``longest``."""
    return [ngrams(text.lower().split(), shortest, longest) for text in texts_of(texts, 2)]


@dataclass(frozen=True)
class _Held:
    """Which texts hold which n-grams, an entry for each such pair, sorted by n-gram.

    An n-gram that a text holds t times counts as t n-grams, its first to its t-th: then to hold
    it as often as another text is to hold the same ones, and there is nothing to clip.

    ``texts``, ``orders`` (n less 1) and ``ngrams`` are of the entries.
    """

    count: int
    texts: _Places
    orders: _Places
    ngrams: _Places

    def by(self, is_in: _Flags) -> npt.NDArray[np.int32]:
        """How many texts of each set, ``(sets, texts)``, hold each n-gram: ``(n-grams, sets)``."""
        return _sums(is_in.T[self.texts], self.ngrams)

    def shared(self, is_in: _Flags) -> npt.NDArray[np.int32]:
        """How many n-grams of each order each text of a set shares with another text of it:
        ``(sets, texts, orders)``."""
        is_shared = (self.by(is_in) > 1)[self.ngrams]
        cells, order = self._cells
        found = np.zeros((self.count * _ORDERS, len(is_in)), np.int32)
        found[np.unique(cells)] = _sums(is_shared[order], cells)
        return found.reshape(self.count, _ORDERS, -1).transpose(2, 0, 1)

    @cached_property
    def _cells(self) -> tuple[_Places, _Places]:
        """Of the entries sorted by it the cell of text and order, and their places."""
        cells = self.texts * _ORDERS + self.orders
        order = np.argsort(cells, kind="stable")
        return cells[order], order


def _sums(rows: _Flags, groups: _Places) -> npt.NDArray[np.int32]:
    """Of rows whose groups are sorted, the sums of each group."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.asarray(np.add.reduceat(rows, starts, axis=0, dtype=np.int32))


def _held(counted: Sequence[_Counts], fewest: int = 1) -> _Held:
    """Of the n-grams that so many texts or more hold."""
    holders: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for number, own in enumerate(counted):
        for ngram, count in own.items():
            for nth in range(count):
                holders.setdefault((ngram, nth), []).append(number)
    holders = {ngram: found for ngram, found in holders.items() if len(found) >= fewest}
    sizes = [len(numbers) for numbers in holders.values()]
    return _Held(
        len(counted),
        np.array([number for numbers in holders.values() for number in numbers], np.int64),
        np.repeat(np.array([len(ngram) - 1 for ngram, _ in holders], np.int64), sizes),
        np.repeat(np.arange(len(sizes)), sizes),
    )


def _nearest_other(lengths: _Places, is_in: _Flags) -> _Places:
    """For each text of a set the length of another one of it that is nearest, of two the
    shorter: ``(sets, texts)``. A text that is alone has its own."""
    known, own = np.unique(lengths, return_inverse=True)
    there = is_in.astype(np.int64) @ np.eye(len(known), dtype=np.int64)[own]
    nearest = np.empty_like(there)
    for place, length in enumerate(known):
        order = np.lexsort((known, np.abs(known - length)))
        others = there[:, order] - (order == place)
        nearest[:, place] = known[order[(others > 0).argmax(axis=1)]]
    return np.asarray(nearest[:, own])
