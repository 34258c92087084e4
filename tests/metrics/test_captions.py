"""ROUGE-L, CIDEr and chrF: by hand, by the evaluation's definition, and on what is degenerate."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.chrf import CHRF

from pipelines.errors import InvalidValue
from pipelines.metrics import ptb
from pipelines.metrics.chrf import chrf_of_sums, chrf_statistics, corpus_chrf
from pipelines.metrics.cider import cider, cider_of_each
from pipelines.metrics.rouge import rouge_l, rouge_l_of_each
from pipelines.metrics.score import Score

HYPOTHESES = [
    "A red apple on a white background.",
    "a small dog left of the big cat",
    "two cats",
    "a rose above the moon, on a pink background",
    "",
    "हिन्दी में एक बिल्ली",
]
REFERENCES = [
    ["a red apple on a white background", "an apple against white"],
    ["a small dog to the left of a big cat", "a cat, big, right of a dog", "dog left of cat"],
    ["two cat faces on blue", "two cats"],
    ["a rose above a moon on a pink background"],
    ["a whale", "a whale on a blue background", "whale"],
    ["हिन्दी में दो बिल्लियाँ", "एक बिल्ली"],
]
METRICS: list[Callable[..., Score]] = [rouge_l, cider, corpus_chrf]


def test_the_coco_evaluation_gives_the_same_values() -> None:
    """Of pycocoevalcap 1.2, whose words are Stanford's tokeniser's."""
    assert cider_of_each(HYPOTHESES, REFERENCES) == pytest.approx(
        [5.597750508995906, 2.7369849239304953, 2.9658952482974255, 6.307667066724159, 0.0,
         2.5604720531759106]
    )  # fmt: skip
    assert rouge_l_of_each(HYPOTHESES, REFERENCES) == pytest.approx(
        [1.0, 0.9446902654867256, 1.0, 0.8888888888888888, 0.0, 0.7093023255813954]
    )


def f_measure(precision: float, recall: float) -> float:
    return (1 + 1.44) * precision * recall / (recall + 1.44 * precision)


def test_rouge_takes_the_best_precision_and_the_best_recall_apart() -> None:
    # "a b c d" shares "a c" of 2 words with the first, "a b d" of 6 with the second.
    told = rouge_l_of_each(["a b c d", "x"], [["a c", "a q b q d q"], ["x"]])
    assert told[0] == pytest.approx(f_measure(3 / 4, 2 / 2))
    assert told[1] == pytest.approx(1)


def test_rouge_counts_words_in_order_that_need_not_be_neighbours() -> None:
    told = rouge_l_of_each(["the cat sat here", "here sat cat the"], [["the big cat sat"]] * 2)
    assert told == pytest.approx([f_measure(3 / 4, 3 / 4), f_measure(1 / 4, 1 / 4)])


def test_rouge_of_nothing_shared_is_0() -> None:
    assert rouge_l_of_each(["", "x y"], [["a"], ["a b"]]).tolist() == [0, 0]


def test_cider_by_hand() -> None:
    # "a" is in every picture's references and weighs 0, the rest ln 2; there are no
    # 4-grams, so of the four cosines three are 1.
    told = cider_of_each(["a red apple", "a blue dog"], [["a red apple"], ["a blue dog"]])
    assert told == pytest.approx([7.5, 7.5])
    score = cider(["a red apple", ""], [["a red apple"], ["a blue dog"]])
    assert score.value == pytest.approx(7.5 / 2)


def test_cider_clips_and_pays_for_length_by_hand() -> None:
    # "red red red" has a unigram of weight 3 ln 2, clipped to 1: 1/3; bigrams match none.
    # It has 2 bigrams, the reference none.
    told = cider_of_each(["red red red", "dog"], [["red"], ["dog"]])
    assert told[0] == pytest.approx(10 / 4 * (1 / 3) * math.exp(-(2**2) / 72))
    assert told[1] == pytest.approx(10 / 4)


def test_cider_is_the_mean_over_references() -> None:
    told = cider_of_each(["a red apple", "dog"], [["a red apple", "x"], ["dog"]])
    single = cider_of_each(["a red apple", "dog"], [["a red apple"], ["dog"]])
    assert told[0] == pytest.approx(single[0] / 2)


def test_cider_of_what_all_references_hold_is_0() -> None:
    assert cider_of_each(["a cat", "a cat"], [["a cat"], ["a cat"]]).tolist() == [0, 0]


def by_definition(hypotheses: list[str], references: list[list[str]]) -> list[float]:
    """CIDEr-D as the evaluation's paper and program define it, with plain sums."""

    def grams(words: list[str], n: int) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = defaultdict(int)
        for i in range(len(words) - n + 1):
            found[tuple(words[i : i + n])] += 1
        return found

    texts = [[ptb.words(r) for r in answers] for answers in references]
    scores = []
    for hypothesis, answers in zip([ptb.words(h) for h in hypotheses], texts, strict=True):
        total = 0.0
        for answer, n in itertools.product(answers, (1, 2, 3, 4)):
            held = [{g for r in other for g in grams(r, n)} for other in texts]

            def weighted(words: list[str], n: int, held: list[Any]) -> dict[Any, float]:
                return {
                    g: c * (math.log(len(texts)) - math.log(max(1, sum(g in h for h in held))))
                    for g, c in grams(words, n).items()
                }

            ours, theirs = weighted(hypothesis, n, held), weighted(answer, n, held)
            norms = math.prod(math.sqrt(sum(v * v for v in x.values())) for x in (ours, theirs))
            product = sum(min(v, theirs.get(g, 0)) * theirs.get(g, 0) for g, v in ours.items())
            gap = max(0, len(hypothesis) - 1) - max(0, len(answer) - 1)
            total += math.exp(-(gap**2) / 72) * (product / norms if norms else 0)
        scores.append(10 * total / 4 / len(answers))
    return scores


def test_cider_is_what_the_evaluation_defines() -> None:
    told = cider_of_each(HYPOTHESES, REFERENCES)
    assert told == pytest.approx(by_definition(HYPOTHESES, REFERENCES))
    assert told[0] > told[1] > told[4] == 0


def test_chrf_is_sacrebleus() -> None:
    columns: list[list[Any]] = [
        [answers[i] if i < len(answers) else None for answers in REFERENCES] for i in range(3)
    ]
    expected = CHRF().corpus_score(HYPOTHESES, columns).score
    score = corpus_chrf(HYPOTHESES, REFERENCES)
    assert score.value == pytest.approx(expected)
    many = corpus_chrf(HYPOTHESES * 2, REFERENCES * 2)
    assert many.low < many.value < many.high
    assert score.signature.startswith("chrF2|sentences:6|ci:bootstrap-t-1000|")
    assert "|nrefs:var|case:mixed|eff:yes|nc:6|nw:0|" in score.signature


def test_chrf_by_hand() -> None:
    # Of "ab" against "ac": 1 of 2 letters, 0 of 1 pairs; precision and recall 1/4.
    assert corpus_chrf(["ab", "ab"], [["ac"], ["ac"]]).value == pytest.approx(25)
    assert corpus_chrf(["ab", "a b"], [["ab"], ["ab"]]).value == pytest.approx(100)


def test_chrf_of_many_sums_is_that_of_each() -> None:
    rows = chrf_statistics(HYPOTHESES, REFERENCES)
    metric = CHRF()
    expected = [metric._compute_f_score(row) for row in rows.astype(int).tolist()]
    assert chrf_of_sums(rows) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_captions_and_of_references_does_not_matter(metric: Any) -> None:
    said, right = HYPOTHESES * 2, REFERENCES * 2
    score = metric(said, right)
    assert metric(said[::-1], [answers[::-1] for answers in right[::-1]]) == score
    assert score.low <= score.value <= score.high


@pytest.mark.parametrize("metric", METRICS)
def test_captions_twice_score_the_same_with_less_doubt(metric: Any) -> None:
    known = [answers[0] for answers in REFERENCES]  # CIDEr weighs words of no reference by n
    known[1] = REFERENCES[0][0]
    score, twice = (metric(known * times, REFERENCES * times) for times in (2, 4))
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low


def test_cider_says_why_it_is_0_where_all_references_are_alike() -> None:
    """A right caption of a set of one scene scored 0, and nobody said why."""
    alike = cider(["a red apple"] * 9, [["a red apple", "an apple"]] * 9)
    assert alike.value == 0
    assert alike.warning is not None and "every one weighs 0" in alike.warning
    assert cider(["a red apple"] * 9, [["a red apple"]] * 8 + [["a dog"]]).warning is None


@pytest.mark.parametrize("metric", METRICS)
def test_empty_captions_score_0(metric: Any) -> None:
    score = metric(["", " ", "..."], [["a cat"], ["a dog", "x"], ["it rains"]])
    assert score.value == 0


@pytest.mark.parametrize(("metric", "best"), [(rouge_l, 1), (cider, 10), (corpus_chrf, 100)])
def test_right_captions_score_best(metric: Any, best: float) -> None:
    said = ["a red apple on white", "one small dog sits there"]
    score = metric(said, [[text] for text in said])
    assert score.value == pytest.approx(best)
    assert score.higher_is_better
    assert score.samples == 2


def test_signatures_name_what_the_values_depend_on() -> None:
    tail = f"|tok:{ptb.NAME}|ci:bootstrap-t-1000|seed:3|numpy:{np.__version__}"
    told = rouge_l(HYPOTHESES, REFERENCES, seed=3)
    assert told.signature == f"ROUGE-L|sentences:6|beta:1.2{tail}"
    told = cider(HYPOTHESES, REFERENCES, seed=3)
    assert told.signature == f"CIDEr-D|sentences:6|n:4|sigma:6|df:references{tail}"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "There are 0 hypotheses"),
        (["a"], [["a"]], "There are 1 hypotheses and 1 lists of references; give .* at least 2"),
        (None, [["a"]], "hypotheses are None; give a list"),
        ("ab", [["a"], ["b"]], "hypotheses are 'ab'; give a list"),
        (["a", "b"], {"a": "b"}, "references are {'a': 'b'}; give a list"),
        (["a", None], [["a"], ["b"]], "hypothesis 2 is None; give a text"),
        (["a", "b"], [["a"], None], "references of sentence 2 are None"),
        (["a", "b"], [["a"], []], r"references of sentence 2 are \[\]"),
        (["a", "b"], [["a", " "], ["b"]], "a reference of sentence 1 is ' '"),
        (["a", "b"], [["a"], [True]], "a reference of sentence 2 is True"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    metric: Any, hypotheses: Any, references: Any, message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        metric(hypotheses, references)


@pytest.mark.parametrize("metric", [rouge_l, cider])
def test_a_reference_of_punctuation_alone_is_refused(metric: Any) -> None:
    with pytest.raises(InvalidValue, match=r"sentence 2 is '\.\.\.', which holds no word"):
        metric(["a", "b"], [["a"], ["..."]])


def test_seeds_are_checked() -> None:
    for metric in METRICS:
        with pytest.raises(InvalidValue, match="seed is -1"):
            metric(HYPOTHESES, REFERENCES, seed=-1)
