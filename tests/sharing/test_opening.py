"""Each panel opens the cards of its own kind, and says which panel opens another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InvalidValue
from pipelines.sharing.cards import COMPARISON, EVALUATION, VOTES
from pipelines.sharing.opening import read_card


def saved(folder: Path, content: Any) -> Path:
    file = folder / "card.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


@pytest.mark.parametrize("kind", [COMPARISON, EVALUATION, VOTES])
def test_a_card_of_the_kind_is_read(tmp_path: Path, kind: str) -> None:
    found = {"schema": 1, "kind": kind, "task": "write"}
    assert read_card(saved(tmp_path, found), kind) == found


@pytest.mark.parametrize(
    ("kind", "panel"),
    [(COMPARISON, "Side by side"), (EVALUATION, "On a data set"), (VOTES, "Blind votes")],
)
def test_a_card_of_another_kind_is_refused_with_the_panel_that_opens_it(
    tmp_path: Path, kind: str, panel: str
) -> None:
    file = saved(tmp_path, {"schema": 1, "kind": kind})
    for other in {COMPARISON, EVALUATION, VOTES} - {kind}:
        with pytest.raises(InvalidValue, match=rf"kind {kind}, .*Open it in Compare, {panel}\."):
            read_card(file, other)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 9_000, [], 7, {}, {"kind": ["votes"]}, {"kind": "votes"}]
)
def test_what_is_no_card_is_refused_with_words(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InvalidValue):
        read_card(saved(tmp_path, content), VOTES)
