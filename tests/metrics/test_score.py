"""Scores: what names the models that they depend on."""

from __future__ import annotations

import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.score import name_and_hash


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
