"""Recall by hand, with ties and with several right answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.retrieval import (
    first_right_ranks,
    median_rank,
    recall,
    recall_of_sets,
)

MODEL = "emoji-clip@0123abcd"
ANGLES = np.array([0.0, 0.3, 0.9, 1.4])


def at(angles: Any) -> Any:
    return np.column_stack([np.cos(angles), np.sin(angles)])


def test_four_queries_by_hand() -> None:
    # The third query lies nearer to the fourth answer, the fourth nearer to two others.
    queries = at([0.1, 0.25, 1.3, 0.5])
    ranks = first_right_ranks(queries, at(ANGLES), np.eye(4, dtype=bool))
    assert ranks.tolist() == [0, 0, 1, 3]
    scores = recall(queries, at(ANGLES), np.eye(4, dtype=bool), MODEL, (1, 2, 3, 4))
    assert [scores[k].value for k in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 1]
    assert np.isnan(scores[1].low), "of four"


def test_the_median_rank_by_hand() -> None:
    # The ranks from 1 are 1, 1, 2 and 4.
    score = median_rank(at([0.1, 0.25, 1.3, 0.5]), at(ANGLES), np.eye(4, dtype=bool), MODEL)
    assert score.value == 1.5
    assert math.isnan(score.low) and math.isnan(score.high), "of so few samples"
    assert not score.higher_is_better
    assert score.signature == (
        f"median-rank({MODEL})|n:4|candidates:4|ci:order-statistics|numpy:{np.__version__}"
    )


def test_the_median_rank_s_interval_is_the_textbook_s() -> None:
    """Of 100 samples the 40th and the 61st bound the median."""
    queries = at(np.linspace(0.001, 0.009, 100))
    answers = at(np.concatenate([[0.0], np.full(99, 0.02)]))
    # Query i has the right answers from place i on; of 100 wrong ones before it none is nearer.
    is_right = np.zeros((100, 100), dtype=bool)
    is_right[:, 1:] = np.triu(np.ones((100, 99), dtype=bool))
    is_right[99, 99] = True
    ranks = np.sort(first_right_ranks(queries, answers, is_right)) + 1
    score = median_rank(queries, answers, is_right, MODEL)
    assert len(set(ranks.tolist())) > 90
    assert (score.low, score.high) == (ranks[39], ranks[60])


def test_the_nearest_of_several_right_answers_counts() -> None:
    is_right = np.array([[False, True, False, True]])
    assert first_right_ranks(at([0.0]), at(ANGLES), is_right).tolist() == [1]
    # The other right answer stands in nobody's way.
    assert first_right_ranks(at([1.4]), at(ANGLES), is_right).tolist() == [0]


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    same = np.full((20, 3), 0.1)
    scores = recall(same, same, np.eye(20, dtype=bool), MODEL)
    assert [scores[k].value for k in (1, 5, 10)] == [0, 0, 0]


def test_order_and_length_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    queries, answers = rng.normal(size=(30, 4)), rng.normal(size=(40, 4))
    is_right = rng.random((30, 40)) < 0.2
    scores = recall(queries, answers, is_right, MODEL)
    columns = rng.permutation(40)
    assert recall(queries[::-1], answers[columns], is_right[::-1][:, columns], MODEL) == scores
    assert recall(queries * 1e20, answers / 1e20, is_right, MODEL) == scores
    twice = recall(np.repeat(queries, 2, 0), answers, np.repeat(is_right, 2, 0), MODEL)
    assert twice[5].value == scores[5].value
    assert scores[1].value < scores[5].value < scores[10].value


def test_order_length_and_repetition_leave_the_median_rank() -> None:
    rng = np.random.default_rng(0)
    queries, answers = rng.normal(size=(31, 4)), rng.normal(size=(40, 4))
    is_right = rng.random((31, 40)) < 0.1
    is_right[~is_right.any(axis=1), 0] = True
    score = median_rank(queries, answers, is_right, MODEL)
    assert 1 < score.low < score.value < score.high
    columns = rng.permutation(40)
    turned = is_right[::-1][:, columns]
    assert median_rank(queries[::-1], answers[columns], turned, MODEL) == score
    assert median_rank(queries * 1e20, answers / 1e20, is_right, MODEL) == score
    twice = median_rank(np.repeat(queries, 2, 0), answers, np.repeat(is_right, 2, 0), MODEL)
    assert twice.value == score.value
    assert twice.high - twice.low <= score.high - score.low


def test_one_query_and_one_answer_are_enough() -> None:
    alone = at([0.3]), at([1.2]), np.array([[True]]), MODEL
    assert recall(*alone)[1].value == 1
    score = median_rank(*alone)
    assert score.value == 1


def test_the_median_rank_of_equal_features_is_the_last() -> None:
    same = np.full((20, 3), 0.1)
    score = median_rank(same, same, np.eye(20, dtype=bool), MODEL)
    assert (score.low, score.value, score.high) == (20, 20, 20)


@pytest.mark.parametrize("metric", [recall, median_rank])
@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_neither_queries_nor_answers_may_be_missing(metric: Any, shape: tuple[int, int]) -> None:
    queries, answers = (np.ones((count, 2)) for count in shape)
    with pytest.raises(InvalidValue, match="give at least 1 row"):
        metric(queries, answers, np.ones(shape, dtype=bool), MODEL)


def test_a_signature_names_the_model_and_the_counts() -> None:
    score = recall(at([0.0]), at(ANGLES), np.array([[True, False, False, False]]), MODEL)[5]
    assert score.signature == (
        f"recall@5(emoji-clip@0123abcd)|n:1|candidates:4|ci:wilson|numpy:{np.__version__}"
    )
    assert (score.value, score.samples, score.higher_is_better) == (1, 1, True)


@pytest.mark.parametrize(
    ("is_right", "message"),
    [
        (np.eye(4), "is_right has shape .* and type float64; give booleans of shape"),
        (np.eye(3, dtype=bool), r"give booleans of shape \(4, 4\)"),
        (np.tri(4, k=-1, dtype=bool), "query 0 has no right candidate"),
    ],
)
def test_what_cannot_be_measured_is_refused(is_right: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        recall(at(ANGLES), at(ANGLES), is_right, MODEL)


def test_models_cutoffs_and_features_are_checked_too() -> None:
    eye = np.eye(4, dtype=bool)
    with pytest.raises(InvalidValue, match="model is 'clip'"):
        recall(at(ANGLES), at(ANGLES), eye, "clip")
    with pytest.raises(InvalidValue, match="cutoff is 0"):
        recall(at(ANGLES), at(ANGLES), eye, MODEL, [0])
    with pytest.raises(InvalidValue, match="row 0 of queries holds nothing but 0"):
        recall(np.zeros((4, 2)), at(ANGLES), eye, MODEL)


def test_any_set_of_candidates_is_searched_as_it_is_alone() -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(12, 5))
    candidates = np.tile(queries, (2, 1)) + rng.normal(size=(24, 5)) * 0.7
    candidates[3] = candidates[4]  # a tie
    own = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    is_right = np.equal.outer(own, own)
    turned = rng.random((30, 12)) < 0.5
    sets = np.concatenate([~turned, turned], axis=1)
    sets[0], sets[1] = np.arange(24) < 5, (np.arange(24) > 1) & (np.arange(24) < 11)
    found = recall_of_sets(queries, candidates, is_right)(sets)
    for is_in, share in zip(sets, found, strict=True):
        places = is_in.nonzero()[0]
        answers = is_right[np.ix_(places % 12, places % 12)]
        alone = recall(queries[places % 12], candidates[places], answers, MODEL, [1])[1]
        assert share == alone.value
    assert len(set(found.tolist())) > 4
