"""Retrieval: whether a model finds the text of a picture, and the picture of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.metrics.features import directions, feature_pair
from pipelines.metrics.interval import FEWEST, NORMAL_QUANTILE
from pipelines.metrics.paired import ScoreOfSets
from pipelines.metrics.proportion import proportion
from pipelines.metrics.score import Score, name_and_hash
from pipelines.validation import whole_number

CUTOFFS = (1, 5, 10)


def recall(
    queries: npt.NDArray[Any],
    candidates: npt.NDArray[Any],
    is_right: npt.NDArray[np.bool_],
    model: str,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[int, Score]:
    """For each k, the share of queries with a right candidate among the k nearest by cosine.

    A wrong candidate as near as the right one stands before it, so that a model that says
    the same of everything finds nothing. Right candidates are not in each other's way. The
    other way round is the same call with both exchanged and ``is_right`` transposed.

    Args:
        queries: features, ``(n, d)``.
        candidates: features, ``(m, d)``.
        is_right: whether a candidate answers a query, ``(n, m)``; every query needs one.
        model: its name and the hash of its weights, ``name@hash``.
        cutoffs: each k, from 1.

    Raises:
        InvalidValue: other forms, a query without a right candidate, a row of zeros, or a
            name without a hash.
    """
    model = name_and_hash("model", model)
    cutoffs = [whole_number("cutoff", k, 1, 10**9) for k in cutoffs]
    ranks = first_right_ranks(queries, candidates, is_right)
    n, m = is_right.shape
    scores = {}
    for k in cutoffs:
        signature = f"recall@{k}({model})|n:{n}|candidates:{m}|ci:wilson|numpy:{np.__version__}"
        scores[k] = replace(proportion((ranks < k).tolist(), model), signature=signature)
    return scores


def median_rank(
    queries: npt.NDArray[Any],
    candidates: npt.NDArray[Any],
    is_right: npt.NDArray[np.bool_],
    model: str,
) -> Score:
    """The median over queries of the nearest right candidate's rank, from 1; less is better.

    The interval is that of order statistics, which asks nothing of the ranks' distribution
    (Conover, 1999, Practical Nonparametric Statistics, 3.2).

    Args:
        queries, candidates, is_right, model: as in ``recall``.

    Raises:
        InvalidValue: as ``recall``.
    """
    model = name_and_hash("model", model)
    ranks = np.sort(first_right_ranks(queries, candidates, is_right)) + 1
    n, m = is_right.shape
    reach = NORMAL_QUANTILE * math.sqrt(n) / 2
    first, last = math.floor(n / 2 - reach), math.ceil(n / 2 + reach) + 1  # from 1
    return Score(
        value=float(np.median(ranks)),
        low=math.nan if n < FEWEST else float(ranks[max(first, 1) - 1]),
        high=math.nan if n < FEWEST else float(ranks[min(last, n) - 1]),
        samples=n,
        signature=f"median-rank({model})|n:{n}|candidates:{m}|ci:order-statistics"
        f"|numpy:{np.__version__}",
        higher_is_better=False,
    )


def first_right_ranks(
    queries: npt.NDArray[Any], candidates: npt.NDArray[Any], is_right: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """For each query, how many wrong candidates are at least as near as the nearest right
    one: ``(n,)``.

    Raises:
        InvalidValue: as ``recall``.
    """
    asked, found = feature_pair(queries, candidates, least=1)
    if is_right.shape != (len(asked), len(found)) or is_right.dtype != np.bool_:
        raise InvalidValue(
            f"is_right has shape {is_right.shape} and type {is_right.dtype}; give booleans of "
            f"shape {(len(asked), len(found))}, a row for each query."
        )
    if not is_right.any(axis=1).all():
        missing = int(is_right.any(axis=1).argmin())
        raise InvalidValue(f"query {missing} has no right candidate. Give one, or leave it out.")
    cosines = _cosines(directions("queries", asked), directions("candidates", found))
    nearest = np.where(is_right, cosines, -np.inf).max(axis=1, keepdims=True)
    return np.asarray(((cosines >= nearest) & ~is_right).sum(axis=1))


def recall_of_sets(
    queries: npt.NDArray[Any], candidates: npt.NDArray[Any], is_right: npt.NDArray[np.bool_]
) -> ScoreOfSets:
    """``recall`` at 1 for any set of candidates, for ``paired.compared_sets``: the queries of the
    samples that have a candidate in the set, among the candidates of the set.

    Args:
        queries: of n samples, ``(n, d)``.
        candidates: of the same samples once for each system, ``(systems * n, d)``.
        is_right: whether a sample's candidates answer another's query, ``(n, n)``; its own do.
    """
    asked, found = feature_pair(queries, candidates, least=1)
    cosines = _cosines(directions("queries", asked), directions("candidates", found))
    n = len(asked)
    answers = np.tile(is_right, len(found) // n)
    nearest = np.lexsort((answers, -cosines))  # of equally near ones the wrong before the right
    answers = np.take_along_axis(answers, nearest, axis=1)

    def share(is_in: npt.NDArray[np.bool_]) -> float:
        is_hit = answers[np.arange(n), is_in[nearest].argmax(axis=1)]
        return float(is_hit[is_in.nonzero()[0] % n].mean())

    return lambda sets: np.array([share(is_in) for is_in in sets])


def _cosines(
    features: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Rounded, so that equal features are equally near whatever the order of summation."""
    return np.asarray((features @ others.T).round(12))
