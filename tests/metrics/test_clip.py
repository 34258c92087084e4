"""CLIPScore by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.clip import (
    clip_score,
    clip_score_of_each,
)

MODEL = "emoji-clip@0123abcd"
PICTURES = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [1.0, 0.0]])
TEXTS = np.array([[5.0, 0.0], [1.0, 1.0], [4.0, 3.0], [-1.0, 0.0]])


def test_four_pairs_by_hand() -> None:
    each = clip_score_of_each(PICTURES, TEXTS)
    assert each == pytest.approx([2.5, 2.5 / np.sqrt(2), 2.5 * 24 / 25, 0])
    score = clip_score(PICTURES, TEXTS, MODEL)
    assert score.value == pytest.approx(each.mean())


def test_order_repetition_and_length_of_features_do_not_matter() -> None:
    pictures, texts = np.repeat(PICTURES, 2, 0), np.repeat(TEXTS, 2, 0)
    score = clip_score(pictures, texts, MODEL)
    assert score.low < score.value < score.high
    assert clip_score(pictures[::-1], texts[::-1], MODEL) == score
    twice = clip_score(np.repeat(pictures, 2, 0), np.repeat(texts, 2, 0), MODEL)
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low
    scaled = clip_score(pictures * 1e25, texts * 1e-25, MODEL)
    assert scaled.value == pytest.approx(score.value)


def test_equal_features_score_best() -> None:
    score = clip_score(np.ones((5, 3)), np.ones((5, 3)), MODEL)
    assert score.value == pytest.approx(2.5)
    assert score.signature == (
        f"CLIPScore(emoji-clip@0123abcd)|n:5|w:2.5|ci:bootstrap-t-1000|seed:0|numpy:{np.__version__}"
    )
    assert score.higher_is_better


@pytest.mark.parametrize(
    ("pictures", "texts", "message"),
    [
        (np.ones((1, 3)), np.ones((1, 3)), "give at least 2 rows"),
        (np.ones((0, 3)), np.ones((0, 3)), "give at least 2 rows"),
        (np.ones((3, 3)), np.ones((2, 3)), "There are 3 pictures and 2 texts"),
        (np.ones((2, 3)), np.ones((2, 4)), "dimensions"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "reference holds NaN"),
        (np.zeros((2, 3)), np.ones((2, 3)), "row 0 of pictures holds nothing but 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    pictures: npt.NDArray[Any], texts: npt.NDArray[Any], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        clip_score(pictures, texts, MODEL)


def test_the_model_is_checked_too() -> None:
    with pytest.raises(InvalidValue, match="model is 'clip'"):
        clip_score(PICTURES, TEXTS, "clip")
