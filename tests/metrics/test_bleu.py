"""Corpus BLEU by hand, and against sacrebleu's own."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU

from pipelines.errors import InvalidValue
from pipelines.metrics import ptb
from pipelines.metrics.bleu import bleu_of_sums, bleu_statistics, corpus_bleu
from pipelines.settings import ROOT

CAT = "the cat sat on the mat"
BY_HAND = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
"""Of ``CAT`` against "the cat sat on a mat": n-grams that match, over all."""

HYPOTHESES = [CAT, "a small dog barked at the moon last night", "it rains in the old town today"]
REFERENCES = [
    ["the cat sat on a mat"],
    ["a little dog barked at the moon", "last night a small dog barked at the moon loudly"],
    ["today it rains in the old town", "it rains in the town", "it is raining in the old town"],
]


def test_matches_by_hand() -> None:
    score = corpus_bleu([CAT, CAT], [["the cat sat on a mat"]] * 2)
    assert score.value == pytest.approx(BY_HAND)


def test_a_short_hypothesis_pays_by_hand() -> None:
    score = corpus_bleu(["the cat sat on"] * 2, [[CAT]] * 2)
    assert score.value == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_the_reference_of_the_nearest_length_is_the_one_that_counts() -> None:
    short = "the cat sat on"
    assert corpus_bleu([short] * 2, [[CAT, "a dog sat there"]] * 2).value == pytest.approx(100)


def test_right_is_100_and_wrong_is_0() -> None:
    assert corpus_bleu([CAT, CAT], [[CAT], ["x", CAT]]).value == pytest.approx(100)
    nothing = corpus_bleu(["one two", ""], [[CAT], [CAT]])
    assert nothing.value == 0


def test_missing_references_are_filled_up() -> None:
    columns: list[list[Any]] = [
        [answers[i] if i < len(answers) else None for answers in REFERENCES] for i in range(3)
    ]
    expected = BLEU().corpus_score(HYPOTHESES, columns).score
    score = corpus_bleu(HYPOTHESES, REFERENCES)
    assert score.value == pytest.approx(expected)
    many = corpus_bleu(HYPOTHESES * 5, REFERENCES * 5)
    assert many.low < many.value < many.high


def test_order_and_repetition_do_not_matter() -> None:
    said, right = HYPOTHESES * 3, REFERENCES * 3
    score = corpus_bleu(said, right)
    assert corpus_bleu(said[::-1], [answers[::-1] for answers in right[::-1]]) == score
    twice = corpus_bleu(said * 2, right * 2)
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low


def test_the_seed_moves_the_interval_alone() -> None:
    first, second = (corpus_bleu(HYPOTHESES * 5, REFERENCES * 5, seed=seed) for seed in (0, 1))
    assert first.value == second.value
    assert (first.low, first.high) != (second.low, second.high)


def test_case_and_tokens_are_as_asked() -> None:
    assert corpus_bleu([CAT.upper()] * 2, [[CAT]] * 2).value == 0
    lower = corpus_bleu([CAT.upper()] * 2, [[CAT]] * 2, tokenize="ptb")
    assert lower.value == pytest.approx(100)
    cut, whole = ["a cat, asleep ."] * 2, [["a cat , asleep."]] * 2
    assert corpus_bleu(cut, whole).value == pytest.approx(100)
    assert corpus_bleu(cut, whole, tokenize="none").value < 100


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
def test_every_tokeniser_works_offline_and_is_named(tokenize: str) -> None:
    assert f"|tok:{tokenize}|" in corpus_bleu([CAT, CAT], [[CAT], [CAT]], tokenize).signature


def test_captions_are_cut_as_the_evaluation_cuts_them() -> None:
    said, known = (
        ["A dog's ball, (red)."] * 2,
        [["a dog 's ball (red", "a dog 's ball ( red )"]] * 2,
    )
    score = corpus_bleu(said, known, tokenize="ptb")
    assert score.value == pytest.approx(100)
    assert f"|case:lc|eff:no|tok:{ptb.NAME}|" in score.signature
    with pytest.raises(InvalidValue, match=r"sentence 2 is '\.\.\.', which holds no word"):
        corpus_bleu(said, [known[0], ["..."]], tokenize="ptb")


def test_scores_of_many_sums_are_sacrebleus() -> None:
    rng = np.random.default_rng(0)
    totals = rng.integers(0, 9, (300, 4))
    matches = rng.integers(0, 3, (300, 4)).clip(max=totals)
    rows = np.concatenate([rng.integers(1, 20, (300, 2)), matches, totals], axis=1)
    expected = [
        BLEU.compute_bleu(row[2:6], row[6:], row[0], row[1], "exp").score for row in rows.tolist()
    ]
    assert bleu_of_sums(rows.astype(float)) == pytest.approx(expected)
    assert sum(map(bool, expected)) > 50
    sums = bleu_statistics(HYPOTHESES, REFERENCES).sum(axis=0)
    assert bleu_of_sums(sums) == pytest.approx(corpus_bleu(HYPOTHESES, REFERENCES).value)


def test_a_signature_is_sacrebleus_with_the_counts() -> None:
    score = corpus_bleu(HYPOTHESES, REFERENCES, seed=7)
    assert score.signature == (
        "BLEU|sentences:3|ci:bootstrap-t-1000|seed:7|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp"
        f"|version:{sacrebleu.__version__}|numpy:{np.__version__}"
    )
    assert "|nrefs:2|" in corpus_bleu([CAT, CAT], [[CAT, CAT]] * 2).signature
    assert score.samples == 3
    assert score.higher_is_better


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "There are 0 hypotheses and 0 lists of references; give .* at least 2"),
        ([CAT], [[CAT]], "There are 1 hypotheses and 1 lists"),
        ([CAT, CAT], [[CAT]], "There are 2 hypotheses and 1 lists"),
        ([CAT, None], [[CAT], [CAT]], "hypothesis 2 is None; give a text"),
        ([CAT, CAT], [[CAT], []], r"references of sentence 2 are \[\]; give a list"),
        ([CAT, CAT], [[CAT], CAT], "references of sentence 2 are 'the cat sat on the mat'"),
        ([CAT, CAT], [[CAT], [CAT, " "]], "a reference of sentence 2 is ' '; give a text that"),
        ([CAT, CAT], [[None], [CAT]], "a reference of sentence 1 is None"),
    ],
)
def test_what_cannot_be_measured_is_refused(hypotheses: Any, references: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        corpus_bleu(hypotheses, references)


def test_a_tokeniser_that_would_be_downloaded_is_refused() -> None:
    with pytest.raises(InvalidValue, match="tokenize is 'flores200'; choose one of: 13a"):
        corpus_bleu([CAT, CAT], [[CAT], [CAT]], tokenize="flores200")
    with pytest.raises(InvalidValue, match="seed is -1"):
        corpus_bleu([CAT, CAT], [[CAT], [CAT]], seed=-1)


def test_importing_it_loads_no_sacrebleu() -> None:
    program = "import sys, pipelines.metrics.bleu; sys.exit('sacrebleu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_where_most_answers_are_too_short_for_it_bleu_says_so() -> None:
    """Perfect captions of one word each, as Chinese ones are to a tokeniser of words, scored 0."""
    perfect = ["一只猫在白色背景上", "两只狗在蓝色背景上", "a cat on a white background"]
    score = corpus_bleu(perfect, [[text] for text in perfect], "ptb")
    assert score.warning is not None
    assert score.warning.startswith("2 of 3 right answers have fewer than 4 words")
    by_character = corpus_bleu(perfect, [[text] for text in perfect], "zh")
    assert by_character.value == pytest.approx(100)
    assert by_character.warning is None
