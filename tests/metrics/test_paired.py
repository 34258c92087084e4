"""Paired tests: exact p-values of small cases, false alarms, and what a verdict says."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics import paired
from pipelines.metrics.bleu import bleu_of_sums, bleu_statistics, corpus_bleu
from pipelines.metrics.interval import ratio
from pipelines.metrics.paired import (
    SET_RESAMPLES,
    Difference,
    compared,
    compared_sets,
    corrected,
    holm,
    of_values,
)


def of_means(first: Any, second: Any, **options: Any) -> Difference:
    return compared(of_values(first), of_values(second), ratio, **options)


def test_randomisation_is_that_over_all_exchanges() -> None:
    first, second = np.array([5.0, 3, 4, 9, 2, 8]), np.array([4.0, 1, 5, 4, 1, 5])
    change = first - second
    every = [abs(np.dot(signs, change)) for signs in itertools.product((1, -1), repeat=6)]
    exact = np.mean(np.array(every) >= abs(change.sum()) - 1e-9)
    found = of_means(first, second, resamples=100_000)
    assert found.difference == pytest.approx(change.mean())
    assert found.randomisation_p == pytest.approx(exact, abs=0.005)
    assert 0.05 < exact < 0.2


def test_the_bootstrap_is_that_over_all_draws() -> None:
    first, second = np.array([5.0, 1, 6]), np.array([1.0, 2, 3])
    drawn = [np.mean(draw) for draw in itertools.product(first - second, repeat=3)]
    found = of_means(first, second, resamples=100_000)
    assert found.bootstrap_p == pytest.approx(2 * np.mean(np.array(drawn) <= 0), abs=0.005)
    # Each of the extremes is 1 draw of 27, more than a fortieth.
    assert (found.low, found.high) == pytest.approx((min(drawn), max(drawn)))


def test_no_p_value_is_below_what_the_resamples_can_tell() -> None:
    found = of_means(np.ones(60), np.zeros(60), resamples=999)
    assert found.randomisation_p == pytest.approx(1 / 1000)
    assert found.bootstrap_p == pytest.approx(2 / 1000)
    assert (found.low, found.high) == (1, 1)


def test_a_system_is_no_better_than_itself() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = of_means(values, values.copy())
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert (found.bootstrap_p, found.randomisation_p) == (1, 1)
    assert not found.is_shown


def test_the_order_of_samples_does_not_matter_and_the_seed_does() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    found, order = of_means(first, second), rng.permutation(50)
    assert of_means(first[order], second[order]) == found
    assert of_means(first, second, seed=1) != found


def test_exchanged_systems_differ_the_other_way() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    found, turned = of_means(first, second), of_means(second, first)
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.randomisation_p == pytest.approx(found.randomisation_p, abs=0.02)
    assert turned.high == pytest.approx(-found.low, abs=0.02)


def test_samples_twice_show_more() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    found, twice = of_means(first, second), of_means(np.tile(first, 2), np.tile(second, 2))
    assert twice.difference == pytest.approx(found.difference)
    assert twice.randomisation_p < found.randomisation_p
    assert twice.high - twice.low < found.high - found.low


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    shown = {"randomisation_p": 0, "bootstrap_p": 0}
    for _ in range(300):
        shared = rng.normal(size=40)
        pair = (shared + rng.normal(size=40), shared + rng.normal(size=40))
        found = of_means(*pair, resamples=400)
        for name in shown:
            shown[name] += getattr(found, name) < 0.05
    assert shown["randomisation_p"] / 300 == pytest.approx(0.05, abs=0.03)
    assert shown["bootstrap_p"] / 300 == pytest.approx(0.05, abs=0.04)


def test_pairing_shows_what_the_intervals_of_each_would_hide() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=100) * 10
    found = of_means(hard, hard + 0.5 + rng.normal(size=100) * 0.1)
    assert found.is_shown
    assert found.high < 0


def test_bleu_is_compared_by_the_sums_of_its_statistics() -> None:
    references = [[f"the cat number {i} sat on the mat of house {i % 7}"] for i in range(40)]
    good = [answers[0] for answers in references]
    poor = [text.replace("mat of", "mat by") if i % 2 else text for i, text in enumerate(good)]
    first, second = (bleu_statistics(texts, references) for texts in (good, poor))
    found = compared(first, second, bleu_of_sums)
    assert found.first == pytest.approx(100)
    assert found.second == pytest.approx(corpus_bleu(poor, references).value)
    assert found.is_shown and found.difference > 0


def test_exact_match_and_bits_per_byte_are_ratios_of_sums() -> None:
    hits = np.array([True, True, False, True]), np.array([True, False, False, False])
    assert of_means(*hits).difference == pytest.approx(0.5)
    sizes = np.array([3.0, 50, 7, 20])
    nats = np.column_stack([np.array([1.0, 30, 4, 9]), sizes * math.log(2)])
    better = np.column_stack([nats[:, 0] / 2, nats[:, 1]])
    found = compared(nats, better, ratio)
    assert found.first == pytest.approx(44 / math.log(2) / 80)
    assert found.second == pytest.approx(found.first / 2)


def test_the_better_system_is_named_by_the_direction_of_the_score() -> None:
    found = of_means(np.arange(30.0) + 1, np.arange(30.0))
    assert found.is_shown and found.difference > 0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_p_values_that_are_none_are_refused(p: float) -> None:
    with pytest.raises(InvalidValue, match="a p-value is"):
        holm([0.5, p])


def test_many_comparisons_show_less() -> None:
    one = of_means(np.arange(9.0), np.arange(9.0) - 1)
    assert one.corrected_p == one.randomisation_p
    alone = {
        key: replace(one, randomisation_p=p)
        for key, p in zip("abc", (0.03, 0.04, 0.001), strict=True)
    }
    several = corrected(alone)
    assert [each.corrected_p for each in several.values()] == pytest.approx([0.06, 0.06, 0.003])
    assert [each.randomisation_p for each in several.values()] == [0.03, 0.04, 0.001]
    assert not several["a"].is_shown
    assert several["c"].is_shown and several["c"].difference > 0
    assert corrected({"a": alone["a"]})["a"].is_shown


def test_p_of_005_is_not_below_005() -> None:
    found = of_means(np.ones(9), np.zeros(9))
    assert not replace(found, corrected_p=0.05).is_shown
    assert replace(found, corrected_p=0.0499).is_shown


def test_chunks_do_not_need_to_divide_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    whole = of_means(first, second, resamples=1003)
    monkeypatch.setattr(paired, "_DRAWS_AT_ONCE", 350)
    parts = of_means(first, second, resamples=1003)
    assert parts.bootstrap_p == pytest.approx(whole.bootstrap_p, abs=0.05)
    assert parts.randomisation_p == pytest.approx(whole.randomisation_p, abs=0.05)
    assert round(parts.randomisation_p * 1004, 6) == round(parts.randomisation_p * 1004)


def test_large_comparisons_take_little_time() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 10_000, 10))
    began = time.perf_counter()
    compared(first, second, lambda sums: sums.sum(axis=-1), resamples=1000)
    assert time.perf_counter() - began < 5


def means(values: Any) -> Any:
    """A score of sets that is also a mean, so that what ``compared`` says of it is known."""
    return lambda sets: sets @ values / sets.sum(axis=1)


def of_sets(first: Any, second: Any, **options: Any) -> Difference:
    return compared_sets(len(first), means(np.concatenate([first, second])), **options)


def test_sets_are_compared_as_sums_are_where_a_score_is_both() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    found, known = of_sets(first, second), of_means(first, second)
    for name in ("first", "second", "difference"):
        assert getattr(found, name) == pytest.approx(getattr(known, name))
    for name in ("low", "high", "bootstrap_p", "randomisation_p"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), abs=0.03)
    assert 0.01 < known.randomisation_p < 0.5
    assert found.samples == 50


def test_the_randomisation_of_sets_is_that_over_all_exchanges() -> None:
    first, second = np.array([5.0, 3, 4, 9, 2, 8]), np.array([4.0, 1, 5, 4, 1, 5])
    spread = np.concatenate([first, second])
    every = [
        np.where(signs, first, second).std() - np.where(signs, second, first).std()
        for signs in itertools.product((True, False), repeat=6)
    ]
    exact = np.mean(np.abs(every) >= abs(every[0]) - 1e-9)
    found = compared_sets(
        6, lambda sets: np.array([spread[is_in].std() for is_in in sets]), resamples=20_000
    )
    assert found.difference == pytest.approx(every[0])
    assert found.randomisation_p == pytest.approx(exact, abs=0.015)


def test_a_set_is_no_better_than_itself() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = of_sets(values, values.copy())
    assert (found.low, found.difference, found.high) == (0, 0, 0)
    assert (found.bootstrap_p, found.randomisation_p) == (1, 1)


def test_the_interval_of_sets_is_of_what_it_is_given() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 400))
    influence = 3 * rng.normal(size=400) + 7  # its mean says nothing
    found = of_sets(first, second, influence=influence)
    reach = 1.96 * influence.std() / 20
    assert found.high - found.difference == pytest.approx(reach, rel=0.1)
    assert found.difference - found.low == pytest.approx(reach, rel=0.1)
    assert found.randomisation_p == of_sets(first, second).randomisation_p


def test_sets_have_a_signature_a_seed_and_p_values_that_the_resamples_can_tell() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.3
    found = of_sets(first, second, seed=3, resamples=999)
    assert found == of_sets(first, second, seed=3, resamples=999)
    assert found != of_sets(first, second, seed=4, resamples=999)
    assert found.signature == (
        f"paired|bootstrap-999-of-jackknife|randomisation-999|seed:3|numpy:{np.__version__}"
    )
    clear = of_sets(np.ones(60), np.zeros(60), resamples=999)
    assert clear.randomisation_p == pytest.approx(1 / 1000)
    assert clear.bootstrap_p == pytest.approx(2 / 1000)


def test_the_most_comparisons_of_an_evaluation_leave_a_set_its_chance() -> None:
    clear = of_sets(np.ones(60), np.zeros(60))
    every = {place: replace(clear, randomisation_p=1.0) for place in range(70)}
    assert corrected({**every, 0: clear})[0].is_shown
    assert clear.randomisation_p == pytest.approx(1 / (SET_RESAMPLES + 1))


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InvalidValue, match="samples is 1"):
        of_sets(np.ones(1), np.ones(1))
    with pytest.raises(InvalidValue, match="resamples is 5"):
        of_sets(np.ones(3), np.ones(3), resamples=5)
    with pytest.raises(InvalidValue, match=r"score \[nan, nan\]; only finite"):
        of_sets(np.full(3, np.nan), np.ones(3))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((1, 2)), np.ones((1, 2)), "give the same statistics of the same samples"),
        (np.ones((3, 2)), np.ones((4, 2)), r"first has shape \(3, 2\) and second \(4, 2\)"),
        (np.ones((0, 2)), np.ones((0, 2)), "at least 2"),
        (np.ones((3, 0)), np.ones((3, 0)), "at least 2"),
        (None, np.ones((3, 2)), "first is None; give an array"),
        (np.ones((3, 2)), np.ones(3), "second is array"),
        (np.array([["a"], ["b"]]), np.ones((2, 1)), "first is array"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "second holds NaN"),
        (np.zeros((3, 2)), np.zeros((3, 2)), r"score \[nan, nan\]; only finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_compared_is_refused(first: Any, second: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        compared(first, second, ratio)


def test_seeds_and_resamples_are_checked() -> None:
    with pytest.raises(InvalidValue, match="seed is -1"):
        of_means(np.ones(3), np.ones(3), seed=-1)
    with pytest.raises(InvalidValue, match="resamples is 99"):
        of_means(np.ones(3), np.ones(3), resamples=99)
