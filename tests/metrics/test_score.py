"""Scores: which may be ranked, and what names them."""

from __future__ import annotations

import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.score import Score, name_and_hash, ranked


def score(
    value: float, *, higher: bool = True, signature: str = "BLEU|v", warning: str = ""
) -> Score:
    return Score(value, value - 1, value + 1, 10, signature, higher, warning or None)


def test_the_best_comes_first() -> None:
    assert ranked({"base": score(20), "mine": score(30), "old": score(-1)}) == [
        "mine",
        "base",
        "old",
    ]


def test_the_best_distance_is_the_lowest() -> None:
    scores = {"base": score(20, higher=False), "mine": score(0, higher=False)}
    assert ranked(scores) == ["mine", "base"]


def test_equal_scores_keep_their_order() -> None:
    assert ranked({"b": score(1), "a": score(1)}) == ["b", "a"]


def test_nothing_ranks_to_nothing() -> None:
    assert ranked({}) == []


def test_a_warning_forbids_ranking() -> None:
    doubtful = score(1, warning="too few samples.")
    assert score(1).is_reliable
    assert not doubtful.is_reliable
    with pytest.raises(InvalidValue, match=r"mine cannot be ranked: too few samples\."):
        ranked({"base": score(2), "mine": doubtful})


def test_different_signatures_forbid_ranking() -> None:
    with pytest.raises(InvalidValue, match=r"base and mine .* as A and as B"):
        ranked({"base": score(1, signature="A"), "mine": score(2, signature="B")})


@pytest.mark.parametrize("name", ["inception-2015-12-05@6f2a19c0", "a/b@" + "0" * 64])
def test_a_name_with_a_hash_is_taken(name: str) -> None:
    assert name_and_hash("extractor", name) == name


@pytest.mark.parametrize(
    "name",
    ["", "inception", "@6f2a19c0", "a@6f2a19c", "a@6F2A19C0", "a|b@6f2a19c0", "a b@6f2a19c0"],
)
def test_a_name_without_a_hash_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match=r"extractor is .*name@hash"):
        name_and_hash("extractor", name)
