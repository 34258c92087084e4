"""The panel takes receipts and cards alike, and says of both what is equal."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest

from pipelines.arena.card import card
from pipelines.arena.replay import VOTES
from pipelines.datasets.sources import in_file
from pipelines.errors import InvalidValue
from pipelines.evaluation.card import card as evaluation_card
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import EVALUATION
from pipelines.evaluation.request import EvaluationRequest
from pipelines.events import Progress, with_result
from pipelines.model_comparison.replay import COMPARISON
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.sharing.cards import Opening, Sources, run_again
from pipelines.sharing.documents import as_json
from pipelines.sharing.reading import read_object
from pipelines.sharing.tab import _handler, _reader, _verdict, wire_openings
from pipelines.text_generation import pipeline as writing
from tests.arena.ballots import duels

KINDS = (COMPARISON, EVALUATION, VOTES)


def given(upload: Path) -> Sources:
    return Sources(data=str(upload))


def test_a_receipt_and_a_card_are_told_apart(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", 4)
    *_, written = with_result(writing.generate(studio, request))
    *_, again = with_result(run_again(studio, written.receipt, KINDS, Sources()))
    assert _verdict(again) == ("The same result, from the same model, versions and kind of device.")
    made = json.loads(json.dumps(card(duels(12, 8), "write")))
    *_, replayed = with_result(run_again(studio, made, KINDS, Sources()))
    head, first, *_ = _verdict(replayed).splitlines()
    assert head == "All is equal."
    assert first.startswith("equal · votes: the same 20")
    made["models"][0]["rating"]["points"] += 9
    *_, replayed = with_result(run_again(studio, made, KINDS, Sources()))
    assert _verdict(replayed).startswith("Not all is equal.\n")
    assert "\nDIFFERS · x: " in _verdict(replayed)


def test_a_card_of_an_unknown_kind_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match="kind is 'song'"):
        list(run_again(studio, {"kind": "song", "schema": 1}, KINDS, Sources()))


def test_a_card_of_an_evaluation_on_a_file_is_run_on_the_file(
    studio: Studio, tmp_path: Path
) -> None:
    texts = tmp_path / "tales.txt"
    texts.write_text("once upon a time\nthere was a king\nwho had a cat\n")
    data = in_file(texts, studio.settings)
    request = EvaluationRequest("write", data, ("tiny-writer",), ("bits_per_byte",), 3)
    *_, result = with_result(generate(studio, request))
    made = read_object(as_json(evaluation_card(result)))

    *events, again = with_result(
        run_again(studio, made, KINDS, given(texts.rename(tmp_path / "mine.txt")))
    )
    assert all(isinstance(event, Progress) for event in events)
    assert "tiny-writer: 2 of 3 samples" in [event.message for event in events]
    head, *lines = _verdict(again).splitlines()
    assert (
        head == "All is equal. Times and memory are not compared: they are of one run each, "
        "and never come twice."
    )
    assert "equal · samples: the same 3" in lines
    with pytest.raises(InvalidValue, match=r"file called 'tales'.*upload it"):
        list(run_again(studio, made, KINDS, Sources()))
    other = tmp_path / "other.txt"
    other.write_text("a\nb\n")
    with pytest.raises(InvalidValue, match="other has the hash"):
        list(run_again(studio, made, KINDS, given(other)))


def test_the_panel_runs_what_is_given(studio: Studio) -> None:
    run = _handler(studio, KINDS)
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


def test_a_panel_is_opened_by_its_cards_and_links_alone(tmp_path: Path) -> None:
    with gr.Blocks():
        openings = [
            Opening(kind, lambda *given: {"filled": given}, [gr.Textbox()], gr.UploadButton())
            for kind in KINDS
        ]
        from_links = wire_openings(Settings(data_dir=tmp_path), openings)
        from_cards = [fn.fn for fn in gr.context.Context.root_block.fns.values()]  # type: ignore[union-attr]
    path = tmp_path / "card.json"
    path.write_text(as_json(card(duels(2, 9), "write")))
    (setup, own_prompt) = from_cards[2](str(path), "my own prompt")["filled"]  # type: ignore[misc]
    assert (setup.models, own_prompt) == (("y", "x"), "my own prompt")
    for from_card in from_cards[:2]:
        with pytest.raises(gr.Error, match="Open it in Compare, Blind votes"):
            from_card(str(path))  # type: ignore[misc]
    for from_link in from_links:
        with pytest.raises(gr.Error, match="The link"):
            from_link("<b>")
