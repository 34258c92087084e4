"""The panel takes receipts and cards alike, and says of both what is equal."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest

from pipelines.arena.card import card
from pipelines.datasets.sources import in_file
from pipelines.errors import InvalidValue
from pipelines.evaluation.card import card as evaluation_card
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.request import EvaluationRequest
from pipelines.model_comparison.published import as_json
from pipelines.runtime.events import with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.sharing import cards
from pipelines.sharing.tab import (
    _again,
    _handler,
    _progress,
    _reader,
    _verdict,
)
from pipelines.text_generation import pipeline as writing
from tests.arena.ballots import duels


def test_a_receipt_and_a_card_are_told_apart(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", 4)
    *_, written = with_result(writing.generate(studio, request))
    *_, again = with_result(_again(studio, written.receipt, None, None))
    assert _verdict(again) == ("The same result, from the same model, versions and kind of device.")
    made = json.loads(json.dumps(card(duels(12, 8), "write")))
    *_, replayed = with_result(_again(studio, made, None, None))
    head, first, *_ = _verdict(replayed).splitlines()
    assert head == "All is equal."
    assert first.startswith("equal · votes: the same 20")
    made["models"][0]["rating"]["points"] += 9
    *_, replayed = with_result(_again(studio, made, None, None))
    assert _verdict(replayed).startswith("Not all is equal.\n")
    assert "\nDIFFERS · x: " in _verdict(replayed)


def test_a_card_of_an_unknown_kind_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match="kind is 'song'"):
        list(_again(studio, {"kind": "song", "schema": 1}, None, None))


def test_a_card_of_an_evaluation_on_a_file_is_run_on_the_file(
    studio: Studio, tmp_path: Path
) -> None:
    texts = tmp_path / "tales.txt"
    texts.write_text("once upon a time\nthere was a king\nwho had a cat\n")
    data = in_file(texts, studio.settings)
    request = EvaluationRequest("write", data, ("tiny-writer",), ("bits_per_byte",), 3)
    *_, result = with_result(generate(studio, request))
    made = cards.read(as_json(evaluation_card(result)))

    *events, again = with_result(_again(studio, made, None, texts.rename(tmp_path / "mine.txt")))
    assert [_progress(event).message for event in events]
    head, *lines = _verdict(again).splitlines()
    assert (
        head == "All is equal. Times and memory are not compared: they are of one run each, "
        "and never come twice."
    )
    assert "equal · samples: the same 3" in lines
    with pytest.raises(InvalidValue, match=r"file called 'tales'.*upload it"):
        list(_again(studio, made, None, None))
    other = tmp_path / "other.txt"
    other.write_text("a\nb\n")
    with pytest.raises(InvalidValue, match="other has the hash"):
        list(_again(studio, made, None, other))


def test_the_panel_runs_what_is_given(studio: Studio) -> None:
    run = _handler(studio)
    made = as_json(card(duels(12, 8), "write"))
    *_, (status, verdict) = run(made, None, None)
    assert "Done" in status
    assert verdict["visible"] and verdict["value"].startswith("All is equal.\n")
    with pytest.raises(gr.Error, match="no receipt and no card yet"):
        list(run("", None, None))


def test_what_is_loaded_is_shown_to_be_run(tmp_path: Path) -> None:
    read = _reader(Limits())
    path = tmp_path / "card.json"
    path.write_bytes('{"kind": "vötes\xff"}'.encode("latin-1"))
    assert json.loads(read(str(path))) == {"kind": "v\ufffdtes\ufffd"}
