"""What a comparison says: how large a difference is, how many samples would do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.evaluation.findings import size, verdict
from pipelines.evaluation.result import Comparison
from pipelines.metrics.interval import ratio
from pipelines.metrics.paired import compared, of_values

RNG = np.random.default_rng(0)
BASE = RNG.normal(2, 0.3, 64)


def comparison(first: Any, second: Any, **options: Any) -> Comparison:
    difference = compared(of_values(first), of_values(second), ratio)
    return Comparison("bits_per_byte", "tune", difference, **options)


def test_a_difference_comes_with_its_size_in_words() -> None:
    """An evaluation said "better by 0.0315 (p < 0.001)" and nothing of how much that is."""
    change = np.tile([0.06, 0.04, 0.03, -0.01], 16)
    found = comparison(BASE - change, BASE, better_in=48, worse_in=16)
    assert size(found) == "1.5% less, better in 48 of 64 samples, a large effect"
    assert verdict([found]) == (
        "better in Bits per byte by 0.03 (1.5% less, better in 48 of 64 samples, a large effect, "
        "p < 0.001)"
    )
    worse = comparison(BASE + change, BASE, better_in=16, worse_in=48)
    assert size(worse).startswith("1.5% more, worse in 48 of 64 samples")


def test_no_difference_shown_comes_with_what_could_have_been_shown() -> None:
    found = comparison(BASE + RNG.normal(0.01, 0.2, 64), BASE)
    difference = found.difference
    assert difference is not None and difference.needed is not None
    told = verdict([found])
    assert told == (
        f"no difference shown in Bits per byte (64 samples show {difference.detectable:.2g} or "
        f"more, about {difference.needed:,} one as large as this)"
    )
    assert 0.05 < float(difference.detectable or 0) < 0.1


def test_outputs_that_are_the_same_are_said_to_be_so() -> None:
    """They were "no difference shown", with p = 1."""
    same = Comparison("rouge_l", "b", None, "the same outputs on all 20 samples", True)
    assert verdict([same]) == "the same outputs on all 20 samples"
    other = comparison(BASE + RNG.normal(0, 0.2, 64), BASE)
    assert verdict([other, same]).endswith(
        "; the same outputs on all 20 samples, and so the same ROUGE-L"
    )


def test_a_difference_that_samples_mostly_show_and_these_do_not_is_said_to_be_so() -> None:
    """8 samples were said to show 0.065 or more, and did not show 0.12."""
    found = comparison(BASE[:9] + np.array([0.1] * 8 + [0.9]), BASE[:9])
    difference = found.difference
    assert difference is not None and difference.detectable is not None
    unshown = replace(difference, corrected_p=0.07, detectable=0.1, needed=8)
    assert size(replace(found, difference=unshown)) == (
        "about 8 samples mostly show one as large as this, but these vary too unevenly"
    )


def test_the_same_on_every_sample_is_not_the_same_on_all_others() -> None:
    found = comparison(BASE[:9], BASE[:9], better_in=0, worse_in=0)
    assert found.difference is not None and math.isnan(found.difference.low)
    assert size(found) == "the same on all 9 samples; up to 28% of others may differ"
    of_sets = Comparison("distinct_2", "tune", found.difference)
    assert size(of_sets) == "the same score", "in which samples do not stand alone"


def test_each_metric_has_its_own_reason_why_nothing_was_tested() -> None:
    """Two models of one tokeniser were said to need 20 samples, and only bits per byte did."""
    reasons = {"bits_per_byte": "about 20", "perplexity": "about 8", "chrf": "about 8"}
    few = [Comparison(metric, "b", None, reason) for metric, reason in reasons.items()]
    assert verdict(few) == (
        "no difference was tested in Bits per byte: about 20; nor in Perplexity and chrF: about 8"
    )
    tested = comparison(BASE + RNG.normal(0.01, 0.2, 64), BASE)
    assert verdict([tested, few[1]]).endswith("); no difference was tested in Perplexity: about 8")


def test_where_nothing_was_tested_the_reason_is_told() -> None:
    few = Comparison("rouge_l", "b", None, "n = 5 is too small to show anything; about 63 would do")
    assert verdict([few]) == (
        "no difference was tested: n = 5 is too small to show anything; about 63 would do"
    )


def test_a_score_that_is_not_above_0_has_no_share() -> None:
    found = comparison(RNG.normal(1, 0.2, 20), np.zeros(20) - 0.5)
    assert "%" not in size(found) and size(found).endswith("a large effect")
    many = comparison(np.tile([2.8, 3.2], 10), np.full(20, 0.1))
    assert size(many).startswith("30 times as much")
