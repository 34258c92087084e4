"""Bits per byte: by hand, and of models whose entropy is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.likelihood import bits_per_byte

TEXT = "tales@0123abcd"


def test_two_passages_by_hand() -> None:
    score = bits_per_byte([8 * math.log(2), 16 * math.log(2)], [4, 4], TEXT)
    assert score.value == pytest.approx(3)
    # A quarter of the resamples hold the first alone, another the second.
    assert (score.low, score.high) == pytest.approx((2, 4))


def test_long_passages_weigh_more() -> None:
    assert bits_per_byte([math.log(2), 90 * math.log(2)], [1, 9], TEXT).value == pytest.approx(9.1)


def test_a_guess_among_all_bytes_costs_8_bits_and_leaves_no_doubt() -> None:
    counts = [10, 200, 3]
    score = bits_per_byte([count * math.log(256) for count in counts], counts, TEXT)
    assert (score.value, score.low, score.high) == pytest.approx((8, 8, 8))


def test_a_model_that_knows_the_text_needs_no_bits() -> None:
    assert bits_per_byte([0, 0.0], [3, 4], TEXT).value == 0


def test_order_and_repetition_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    nats, counts = rng.uniform(1, 9, 30).tolist(), rng.integers(1, 9, 30).tolist()
    score = bits_per_byte(nats, counts, TEXT)
    assert bits_per_byte(nats[::-1], counts[::-1], TEXT) == score
    twice = bits_per_byte(nats * 2, counts * 2, TEXT)
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low


def test_the_seed_moves_the_interval_alone() -> None:
    first, second = (bits_per_byte([1, 2, 4, 9, 3], [1, 3, 5, 7, 2], TEXT, seed) for seed in (0, 1))
    assert first.value == second.value
    assert (first.low, first.high) != (second.low, second.high)


def test_a_signature_names_the_text_and_its_size_and_no_tokeniser() -> None:
    score = bits_per_byte([1, 2, 3], [4, 5, 6], TEXT, seed=7)
    assert score.signature == (
        f"bits_per_byte|text:tales@0123abcd|bytes:15|ci:bootstrap-1000|seed:7|numpy:{np.__version__}"
    )
    assert score.samples == 3
    assert not score.higher_is_better


@pytest.mark.parametrize(
    ("nats", "counts", "message"),
    [
        ([], [], "There are 0 likelihoods and 0 byte counts; give .* at least 2 passages"),
        ([1.0], [1], "There are 1 likelihoods and 1 byte counts"),
        ([1.0, 2.0], [1], "There are 2 likelihoods and 1 byte counts"),
        ([1.0, -2.0], [1, 1], r"nats of passage 2 are -2\.0; give a finite number of 0 or more"),
        ([math.nan, 2.0], [1, 1], "nats of passage 1 are nan"),
        ([1.0, math.inf], [1, 1], "nats of passage 2 are inf"),
        ([1.0, 2.0], [1, 0], "byte_counts of passage 2 is 0; give a whole number of 1 or more"),
        ([1.0, 2.0], [1.5, 1], r"byte_counts of passage 1 is 1\.5"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    nats: list[float], counts: list[int], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        bits_per_byte(nats, counts, TEXT)


def test_the_text_and_the_seed_are_checked_too() -> None:
    with pytest.raises(InvalidValue, match="text is 'tales'"):
        bits_per_byte([1, 2], [1, 2], "tales")
    with pytest.raises(InvalidValue, match="seed is -1"):
        bits_per_byte([1, 2], [1, 2], TEXT, seed=-1)
