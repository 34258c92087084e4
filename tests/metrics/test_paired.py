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
    samples_needed,
)
from tests.benchmarks.coverage import PAIRS, false_alarms


def of_means(first: Any, second: Any, **options: Any) -> Difference:
    return compared(of_values(first), of_values(second), ratio, **options)


EIGHT = np.array([5.0, 3, 4, 9, 2, 8, 3, 6]), np.array([4.0, 1, 5, 4, 1, 5, 4, 5])


def test_randomisation_is_that_over_all_exchanges() -> None:
    first, second = EIGHT
    change = first - second
    every = [abs(np.dot(signs, change)) for signs in itertools.product((1, -1), repeat=8)]
    exact = np.mean(np.array(every) >= abs(change.sum()) - 1e-9)
    found = of_means(first, second, resamples=100_000)
    assert found.difference == pytest.approx(change.mean())
    assert found.randomisation_p == pytest.approx(exact, abs=0.005)
    assert 0.05 < exact < 0.2


def test_the_interval_leaves_0_out_where_the_bootstrap_s_p_value_is_small() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.2, 0.4, 0.6, 0.8):
        first = rng.exponential(size=30)
        found = of_means(first + shift, first + rng.normal(size=30))
        assert (found.low > 0 or found.high < 0) == (found.bootstrap_p < 0.05)
        assert found.low < found.difference < found.high


def test_a_perfect_record_of_hits_leaves_room_on_both_sides() -> None:
    """Of 20 hits against none the interval was from 1 to 1."""
    found = of_means(np.ones(20), np.zeros(20))
    assert (found.difference, found.high) == (1, 1)
    assert found.low == pytest.approx(0.727, abs=0.01)
    assert found.is_shown
    none = of_means(np.ones(20), np.ones(20))
    assert none.low == -none.high == pytest.approx(-0.126, abs=0.01)


def test_scores_that_are_alike_are_no_hits() -> None:
    """Two sets of texts of the same Distinct-2 differed by -0.28 to 0.28."""
    found = compared_sets(9, lambda is_in: np.ones(len(is_in)))
    assert (found.difference, found.detectable) == (0, None)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_a_correction_takes_more_samples() -> None:
    """Eight samples were said to show a difference as large as one that they did not."""
    rng = np.random.default_rng(1)
    many = {n: of_means(rng.normal(0.6, 1, 12), np.zeros(12)) for n in range(9)}
    least = min(many, key=lambda n: max(many[n].bootstrap_p, many[n].randomisation_p))
    found, alone = corrected(many)[least], many[least]
    assert None not in (found.needed, alone.needed, found.detectable, alone.detectable)
    assert found.needed > alone.needed and found.detectable > alone.detectable  # type: ignore[operator]
    assert found.corrected_p == pytest.approx(9 * alone.corrected_p)
    (only,) = corrected({0: alone}).values()
    assert only.needed == alone.needed
    assert samples_needed(9.0, 0.1, 0.05 / 9) == 9, "no exchange of 8 has so small a p-value"


def test_differences_that_do_not_vary_have_no_interval() -> None:
    values = np.arange(20.0)
    found = of_means(values + 0.25, values)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert (found.effect, found.detectable, found.needed) == (None, None, None)


def test_too_few_samples_are_told_with_how_many_would_do() -> None:
    """Five pairs showed p-values and intervals that meant nothing."""
    first, second = np.array([0.3, 0.5, 0.4, 0.6, 0.9]), np.array([0.2, 0.5, 0.5, 0.4, 0.6])
    with pytest.raises(InvalidValue) as told:
        of_means(first, second)
    assert str(told.value) == (
        "n = 5 is too small to show anything; about 22 would be needed for a difference such as "
        "this"
    )
    with pytest.raises(InvalidValue, match=r"n = 5 .* at least 8 are needed"):
        of_sets(first, first)


def test_as_many_samples_as_are_said_to_be_needed_show_the_difference_four_times_of_five() -> None:
    found = of_means(np.tile([0.0, 1.0, 0.5, 0.3], 4), np.tile([0.2, 0.6, 0.5, 0.2], 4))
    assert found.needed is not None and found.detectable is not None
    spread = found.difference / found.effect if found.effect else 0.0
    rng = np.random.default_rng(0)
    shown = [
        of_means(rng.normal(found.difference, spread, found.needed), np.zeros(found.needed),
                 resamples=400).is_shown
        for _ in range(300)
    ]  # fmt: skip
    assert np.mean(shown) == pytest.approx(0.8, abs=0.06)
    shown = [
        of_means(rng.normal(found.detectable, spread, 16), np.zeros(16), resamples=400).is_shown
        for _ in range(300)
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.08)


def test_a_difference_of_nothing_needs_no_number_of_samples() -> None:
    values = np.random.default_rng(0).normal(size=40)
    assert of_means(values, values.copy()).needed is None
    assert of_means(values, values[::-1].copy()).needed is None


def test_no_p_value_is_below_what_the_resamples_can_tell() -> None:
    found = of_means(np.ones(60), np.zeros(60), resamples=999)
    assert found.randomisation_p == pytest.approx(1 / 1000)
    assert found.bootstrap_p == pytest.approx(2 / 1000)


def test_a_system_is_no_better_than_itself() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = of_means(values, values.copy())
    assert found.difference == 0
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


@pytest.mark.parametrize("pair", ["normal, equal spreads", "exponential, spreads 1 and 1/3"])
def test_false_alarms_are_as_rare_as_the_level_says(pair: str) -> None:
    """Where spreads differ, randomisation alone showed 7% of differences that were none."""
    both, alone, held = false_alarms(PAIRS[pair], 20, 700)
    assert 0.025 < both < 0.065
    assert both <= alone
    assert held > 0.92
    if pair != "normal, equal spreads":
        assert alone > 0.065


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
    hits = np.array([True, True, False, True] * 2), np.array([True, False, False, False] * 2)
    assert of_means(*hits).difference == pytest.approx(0.5)
    sizes = np.array([3.0, 50, 7, 20] * 2)
    nats = np.column_stack([np.array([1.0, 30, 4, 9] * 2), sizes * math.log(2)])
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
    first, second = EIGHT
    spread = np.concatenate([first, second])
    every = [
        np.where(signs, first, second).std() - np.where(signs, second, first).std()
        for signs in itertools.product((True, False), repeat=8)
    ]
    exact = np.mean(np.abs(every) >= abs(every[0]) - 1e-9)
    found = compared_sets(
        8, lambda sets: np.array([spread[is_in].std() for is_in in sets]), resamples=20_000
    )
    assert found.difference == pytest.approx(every[0])
    assert found.randomisation_p == pytest.approx(exact, abs=0.015)


def test_a_set_is_no_better_than_itself() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = of_sets(values, values.copy())
    assert found.difference == 0
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
        f"paired|bootstrap-t-10000|randomisation-999|seed:3|numpy:{np.__version__}"
    )
    clear = of_sets(np.ones(60), np.zeros(60), resamples=999)
    assert clear.randomisation_p == pytest.approx(1 / 1000)
    assert clear.bootstrap_p == pytest.approx(2 / 10_001)


def test_the_most_comparisons_of_an_evaluation_leave_a_set_its_chance() -> None:
    clear = of_sets(np.ones(60), np.zeros(60))
    every = {place: replace(clear, randomisation_p=1.0) for place in range(70)}
    assert corrected({**every, 0: clear})[0].is_shown
    assert clear.randomisation_p == pytest.approx(1 / (SET_RESAMPLES + 1))


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InvalidValue, match="samples is 1"):
        of_sets(np.ones(1), np.ones(1))
    with pytest.raises(InvalidValue, match="resamples is 5"):
        of_sets(np.ones(9), np.ones(9), resamples=5)
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
