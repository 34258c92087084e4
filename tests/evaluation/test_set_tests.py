"""Paired tests of whole sets: the scores are the metrics', and the chances are right."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import InvalidValue
from pipelines.evaluation import set_tests as sets
from pipelines.evaluation.set_tests import (
    frechet_distance_test,
    kernel_distance_test,
    mean_distance_test,
    recall_test,
    texts_test,
)
from pipelines.metrics import paired
from pipelines.metrics.frechet import frechet_distance
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.paired import Difference, compared_sets
from pipelines.metrics.retrieval import recall
from pipelines.metrics.variety import mean_cosine_distance
from pipelines.metrics.wording import (
    distinct,
    distinct_of_sets,
    self_bleu,
    self_bleu_of_sets,
)

EXTRACTOR = "x@" + "0" * 16
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(40, 6))
OURS, THEIRS = RNG.normal(size=(24, 6)), RNG.normal(size=(24, 6)) * 1.8 + 0.6


ASKED = OURS + np.random.default_rng(1).normal(size=(24, 6)) * 0.3
OWN = np.eye(24, dtype=bool)

Array = npt.NDArray[np.float64]
TESTS: dict[str, Callable[[Array, Array, int], Difference]] = {
    "kid": lambda ours, theirs, seed: kernel_distance_test(ours, theirs, REAL, seed),
    "fid": lambda ours, theirs, seed: frechet_distance_test(ours, theirs, REAL, seed),
    "diversity": mean_distance_test,
    "recall": lambda ours, theirs, seed: recall_test(
        ours, theirs, ASKED[: len(ours)], OWN[: len(ours), : len(ours)], seed
    ),
}


def written(seed: int, count: int = 24, words: int = 60) -> list[str]:
    """Texts of twelve words of so many, some of them far more common than others."""
    chances = 1 / np.arange(1, words + 1)
    drawn = np.random.default_rng(seed).choice(words, (count, 12), p=chances / chances.sum())
    return [" ".join(f"w{word}" for word in row) for row in drawn]


def test_the_difference_is_that_of_the_metrics() -> None:
    found = kernel_distance_test(OURS, THEIRS, REAL, seed=0)
    assert found.first == pytest.approx(kernel_distance(OURS, REAL, EXTRACTOR).value)
    assert found.second == pytest.approx(kernel_distance(THEIRS, REAL, EXTRACTOR).value)
    found = mean_distance_test(OURS, THEIRS, seed=0)
    assert found.first == pytest.approx(mean_cosine_distance(OURS, EXTRACTOR).value)
    assert found.second == pytest.approx(mean_cosine_distance(THEIRS, EXTRACTOR).value)
    found = frechet_distance_test(OURS, THEIRS, REAL, seed=0)
    assert found.first == pytest.approx(frechet_distance(OURS, REAL, EXTRACTOR).value)
    assert found.second == pytest.approx(frechet_distance(THEIRS, REAL, EXTRACTOR).value)
    found = recall_test(OURS, THEIRS, ASKED, OWN, seed=0)
    assert found.first == recall(ASKED, OURS, OWN, EXTRACTOR, [1])[1].value
    assert found.second == recall(ASKED, THEIRS, OWN, EXTRACTOR, [1])[1].value


@pytest.mark.parametrize(
    ("metric", "of_sets"), [(distinct, distinct_of_sets), (self_bleu, self_bleu_of_sets)]
)
def test_the_difference_of_texts_is_that_of_the_metrics(metric: Any, of_sets: Any) -> None:
    ours, theirs = written(0), written(1, words=20)
    found = texts_test(ours, theirs, of_sets, seed=0)
    assert found.first == pytest.approx(metric(ours).value)
    assert found.second == pytest.approx(metric(theirs).value)
    assert found.is_shown
    assert texts_test(ours, ours, of_sets, seed=0).randomisation_p == 1
    assert not texts_test(ours, written(2), of_sets, seed=0).is_shown
    order = np.random.default_rng(0).permutation(24)
    turned, other = ([texts[place] for place in order] for texts in (ours, theirs))
    assert texts_test(turned, other, of_sets, seed=0) == found


@pytest.mark.parametrize("name", TESTS)
def test_the_order_of_samples_does_not_matter_and_the_seed_does(name: str) -> None:
    rng = np.random.default_rng(2)
    near, order = OURS + rng.normal(size=OURS.shape) * 0.6, rng.permutation(24)
    found = TESTS[name](OURS, near, 0)
    if name == "recall":
        turned = recall_test(OURS[order], near[order], ASKED[order], OWN, 0)
    else:
        turned = TESTS[name](OURS[order], near[order], 0)
    assert turned == found
    assert TESTS[name](OURS, near, 1) != found


def test_what_is_right_for_one_sample_is_right_for_its_like() -> None:
    is_right = OWN.copy()
    is_right[0, 1] = is_right[1, 0] = True
    swapped = OURS.copy()
    swapped[[0, 1]] = OURS[[1, 0]]
    found = recall_test(swapped, OURS, OURS, is_right, seed=0)
    assert (found.first, found.second) == (1, 1)
    assert recall_test(swapped, OURS, OURS, OWN, seed=0).first == 22 / 24


def test_a_clear_difference_is_shown_and_none_is_not() -> None:
    far = kernel_distance_test(OURS, THEIRS, REAL, seed=0)
    assert far.is_shown
    assert far.low <= far.difference <= far.high < 0
    near = np.random.default_rng(3).normal(size=(24, 6))
    assert not kernel_distance_test(OURS, near, REAL, seed=0).is_shown
    assert kernel_distance_test(OURS, OURS, REAL, seed=0).randomisation_p == 1


def test_which_comes_first_turns_the_sign() -> None:
    one, other = (kernel_distance_test(*pair, REAL, 0) for pair in ((OURS, THEIRS), (THEIRS, OURS)))
    assert one.difference == pytest.approx(-other.difference)


@pytest.mark.parametrize("name", TESTS)
def test_seven_samples_show_nothing_and_eight_have_an_interval(name: str) -> None:
    with pytest.raises(InvalidValue, match="n = 7 is too small to show anything"):
        TESTS[name](OURS[:7], THEIRS[:7], 0)
    assert np.isfinite(TESTS[name](OURS[:8], THEIRS[:8], 0).low)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_false_alarms_of_fid_are_as_rare_as_the_level_says(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of painters at the truth as of ones that are off it alike."""
    monkeypatch.setattr(paired, "RESAMPLES", 1_000)
    monkeypatch.setattr(sets, "compared_sets", partial(compared_sets, resamples=200))
    rng = np.random.default_rng(0)
    shown = missed = 0
    for _ in range(200):
        prompts = rng.normal(size=(40, 3)) + shift
        ours, theirs = (prompts + rng.normal(size=(40, 3)) for _ in range(2))
        found = frechet_distance_test(ours, theirs, REAL[:, :3] * 1.4, 0)
        shown += found.randomisation_p < 0.05
        missed += not found.low <= 0 <= found.high
    assert shown / 200 == pytest.approx(0.05, abs=0.04)
    assert missed / 200 < 0.09


def test_power_grows_with_the_difference_of_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "compared_sets", partial(compared_sets, resamples=200))
    rng = np.random.default_rng(0)
    shown = []
    for scale in (1.0, 1.4, 1.8):
        pairs = [rng.normal(size=(2, 40, 3)) * [[[1.0]], [[scale]]] for _ in range(20)]
        tests = [frechet_distance_test(one, two, REAL[:, :3], 0) for one, two in pairs]
        shown.append(sum(found.is_shown for found in tests))
    assert shown[0] <= 4 < shown[1] < shown[2] == 20
