"""Variety of texts by hand, and against sacrebleu's BLEU of each text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from pipelines.errors import InvalidValue
from pipelines.metrics.wording import (
    distinct,
    distinct_of_sets,
    self_bleu,
    self_bleu_of_sets,
)

TEXTS = [
    "once upon a time there was a king",
    "once upon a time there was a queen who had a king",
    "the wolf went to the door of the house",
    "The wolf went to the door",
    "हिन्दी में एक बिल्ली की कहानी",
    "a a a a a",
]


def test_distinct_by_hand() -> None:
    # Bigrams: a b, b a, a b and a b: 2 of 4. Leaving out the first leaves 1 of 1, the
    # second 2 of 3.
    score = distinct(["a b a b", "A  B"])
    assert score.value == pytest.approx(2 / 4)
    assert distinct(["a b a b", "a b"], n=1).value == pytest.approx(2 / 6)


def test_distinct_of_equal_and_of_different_texts() -> None:
    assert distinct(["a b c"] * 5, n=3).value == pytest.approx(1 / 5)
    assert distinct(["a b", "c d", "e f"]).value == 1


def test_distinct_leaves_out_each_text() -> None:
    texts = [*TEXTS, "the wolf had a house", "once upon a time a king went to the door"]
    score = distinct(texts, n=2)
    without = [distinct(texts[:i] + texts[i + 1 :], n=2).value for i in range(len(texts))]
    reach = 2.364624 * np.sqrt(np.var(without) * (len(texts) - 1))
    assert score.value - score.low == pytest.approx(reach, rel=1e-3)
    assert score.signature == (
        f"distinct-2|texts:8|tok:blanks-lc|ci:jackknife-t|numpy:{np.__version__}"
    )


def test_self_bleu_is_sacrebleus_of_each_text_against_the_others() -> None:
    metric = BLEU(tokenize="none", lowercase=True)
    expected = [
        metric.corpus_score([text], [[o] for o in TEXTS[:i] + TEXTS[i + 1 :]]).score
        for i, text in enumerate(TEXTS)
    ]
    score = self_bleu(TEXTS)
    assert score.value == pytest.approx(np.mean(expected))
    assert not score.higher_is_better


def test_self_bleu_of_equal_and_of_different_texts() -> None:
    score = self_bleu(["once upon a time"] * 4)
    assert score.value == pytest.approx(100)
    assert self_bleu(["a b c d", "e f g h"]).value == 0
    assert self_bleu(["", ""]).value == 0


def test_order_does_not_matter_and_repetition_does() -> None:
    for metric in (distinct, self_bleu):
        texts = [*TEXTS, "the wolf had a house", "once upon a time a king went to the door"]
        score, again = metric(texts), metric(texts[::-1])
        assert (again.value, again.low, again.high) == pytest.approx(
            (score.value, score.low, score.high)
        )
        assert again.signature == score.signature
    assert distinct(TEXTS * 2).value == pytest.approx(distinct(TEXTS).value / 2)
    assert self_bleu(TEXTS * 2).value == pytest.approx(100)


@pytest.mark.parametrize("metric", [distinct, self_bleu])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "give a list of at least 2"),
        (["a b"], "give a list of at least 2"),
        ("a b", "texts are 'a b'; give a list"),
        (None, "texts are None"),
        (["a b", None], "text 2 is None; give a text"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric: Any, texts: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        metric(texts)


def test_texts_without_an_ngram_are_refused() -> None:
    with pytest.raises(InvalidValue, match="No text has 3 words"):
        distinct(["a b", ""], n=3)
    with pytest.raises(InvalidValue, match="n is True"):
        distinct(TEXTS, n=True)
    lone = distinct(["a b", ""])
    assert lone.value == 1


@pytest.mark.parametrize(
    ("metric", "of_sets"), [(distinct, distinct_of_sets), (self_bleu, self_bleu_of_sets)]
)
def test_any_set_of_texts_scores_as_it_does_alone(metric: Any, of_sets: Any) -> None:
    texts = [*TEXTS, *TEXTS[:2], "a a a", "a b a b a b c", "once upon a time a b a b", "x"]
    sets = np.random.default_rng(0).random((40, len(texts))) < 0.5
    sets[0] = True
    scores = of_sets(texts)(sets)
    for is_in, score in zip(sets, scores, strict=True):
        chosen = [text for text, one in zip(texts, is_in, strict=True) if one]
        assert score == pytest.approx(metric(chosen).value)
    assert len(set(scores.round(6).tolist())) > 20


def test_sets_with_nothing_in_common_or_no_ngram_score_0() -> None:
    both, alone = np.array([[True, True]]), np.array([[True, False]])
    assert self_bleu_of_sets(["a b c d", "e f g h"])(both).tolist() == [0]
    assert self_bleu_of_sets(["a b c d", "a b c d"])(alone).tolist() == [0]
    assert self_bleu_of_sets(["", ""])(both).tolist() == [0]
    assert distinct_of_sets(["a", "b c"])(alone).tolist() == [0]
    assert distinct_of_sets(["a", "b"])(both).tolist() == [0]
