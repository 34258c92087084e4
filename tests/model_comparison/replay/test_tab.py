"""The panel takes receipts and cards alike, and says of both what is equal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.model_comparison.replay.tab import _again, _text, _verdict
from pipelines.model_comparison.votes.card import card
from pipelines.studio import Studio
from pipelines.text_generation import pipeline as writing
from tests.model_comparison.votes.ballots import duels


def test_a_receipt_and_a_card_are_told_apart(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", 4)
    *_, written = with_result(writing.generate(studio, request))
    *_, again = with_result(_again(studio, written.receipt, None))
    assert _verdict(again) == ("The same result, from the same model, versions and kind of device.")
    made = json.loads(json.dumps(card(duels(12, 8), "write")))
    *_, replayed = with_result(_again(studio, made, None))
    head, first, *_ = _verdict(replayed).splitlines()
    assert head == "All is equal."
    assert first.startswith("equal · votes: the same 20")
    made["models"][0]["rating"]["points"] += 9
    *_, replayed = with_result(_again(studio, made, None))
    assert _verdict(replayed).startswith("Not all is equal.\n")
    assert "\nDIFFERS · x: " in _verdict(replayed)


def test_a_card_of_an_unknown_kind_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match="kind is 'song'"):
        list(_again(studio, {"kind": "song", "schema": 1}, None))


def test_a_file_that_is_no_text_is_no_card(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(b'{"kind": "\xff"}')
    assert json.loads(_text(path)) == {"kind": "\ufffd"}
