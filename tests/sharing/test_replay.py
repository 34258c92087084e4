"""A receipt run again: the same on the same machine, and told where it is not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.arena.card import card
from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.image_captioning import pipeline as describing
from pipelines.runtime.studio import Studio
from pipelines.sharing.documents import as_json
from pipelines.sharing.reading import MOST_CHARACTERS, read_object, text_of
from pipelines.sharing.replay import (
    Line,
    Replayed,
    explained,
    pinned_fields,
    replay,
    same_machine,
)
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting
from tests.arena.ballots import ballot
from tests.tiny_models import make_text_lora

PICTURE = Image.new("RGB", (64, 48), "orange")


def finish(run: Any) -> Any:
    return list(with_result(run))[-1]


def receipt_of(studio: Studio, task: str) -> dict[str, Any]:
    if task == "write":
        request = writing.TextRequest("tiny-writer", "Once", 8)
        result = finish(writing.generate(studio, request))
    elif task == "paint":
        result = finish(
            painting.generate(studio, painting.PaintRequest("tiny-painter", "a cat", steps=2))
        )
    else:
        caption = describing.CaptionRequest(
            "tiny-captioner", PICTURE, method="sampling", max_new_tokens=6
        )
        result = finish(describing.generate(studio, caption))
    receipt: dict[str, Any] = result.receipt
    return receipt


@pytest.mark.parametrize("task", ["write", "paint", "describe"])
def test_a_receipt_run_again_gives_the_same_output(studio: Studio, task: str) -> None:
    receipt = receipt_of(studio, task)
    again: Replayed = finish(replay(studio, receipt, PICTURE))
    assert again.is_equal


def test_a_receipt_with_a_lora_is_run_with_it(studio: Studio) -> None:
    settings = studio.settings
    make_text_lora(settings.data_dir / "models/tiny-lora", settings.models_dir / "tiny-writer")
    request = writing.TextRequest("tiny-writer + tiny-lora:0.7", "Once", 8)
    receipt = finish(writing.generate(studio, request)).receipt
    again: Replayed = finish(replay(studio, receipt))
    assert again.is_equal
    receipt["model"]["adapters"] = "none"
    with pytest.raises(InvalidValue, match="not whole"):
        finish(replay(studio, receipt))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"reference": "tiny-writer", "commit": "c1"}, "tiny-writer"),
        ({"reference": "ada/writer", "commit": "c1"}, "ada/writer@c1"),
        (
            {
                "reference": "ada/writer",
                "commit": "c1",
                "adapters": [{"reference": "bob/lora", "commit": "c2", "weight": 0.5}],
            },
            "ada/writer@c1 + bob/lora@c2:0.5",
        ),
    ],
)
def test_what_came_from_the_hub_is_opened_at_the_receipts_commits(
    studio: Studio, model: dict[str, Any], expected: str
) -> None:
    receipt = receipt_of(studio, "write") | {"model": model}
    assert pinned_fields(receipt, "write")["model"] == expected


def test_what_differs_is_named(studio: Studio) -> None:
    receipt = receipt_of(studio, "write")
    receipt["versions"]["torch"] = "1.0"
    receipt["output_sha256"] = "0" * 64
    again: Replayed = finish(replay(studio, receipt))
    lines = {line.text: line.is_equal for line in again.lines if not line.is_equal}
    assert not lines["the output itself"] and len(lines) == 2
    assert any(text.startswith("version of torch: was 1.0") for text in lines)


def test_another_picture_than_the_receipts_is_refused(studio: Studio) -> None:
    receipt = receipt_of(studio, "describe")
    with pytest.raises(InvalidValue, match="not the picture that the receipt names"):
        finish(replay(studio, receipt, Image.new("RGB", (64, 48), "green")))


@pytest.mark.parametrize(
    "text", [None, True, math.nan, [], "", " ", "no", "[]", "[" * 50_000, "x" * 16_000_001]
)
def test_what_is_no_receipt_is_refused_with_words(text: Any) -> None:
    with pytest.raises(InvalidValue, match=r"[Rr]eceipt") as caught:
        read_object(text)
    assert len(str(caught.value)) < 200


def test_the_card_of_ten_thousand_votes_is_read_and_no_longer_file(tmp_path: Path) -> None:
    votes = [ballot("abcdefgh", "a", second=second) for second in range(1_000)]
    text = as_json(card(votes, "write"))
    assert read_object(text)["log"]["votes"] == 1_000
    named = sum(text.count(f'"reference": "{name}"') for name in "abcdefgh")
    assert 10 * (len(text) + 32 * named) < MOST_CHARACTERS, "with names of 32 letters, too"
    (tmp_path / "card.json").write_bytes(b" " * (MOST_CHARACTERS + 1))
    with pytest.raises(InvalidValue, match="16,000,001 bytes; at most 16,000,000"):
        text_of(tmp_path / "card.json")


@pytest.mark.parametrize(
    "receipt",
    [
        {},
        {"schema": 1, "task": "sing"},
        {"schema": 2, "task": "write", "request": {}},
        {"schema": 1, "task": "write", "request": {"model": "tiny-writer", "command": "rm"}},
        {"schema": 1, "task": "write", "request": {"model": "tiny-writer"}},
        {"schema": 1, "task": "write", "request": {"model": ["tiny-writer"], "prompt": "a"}},
    ],
)
def test_a_forged_receipt_is_refused_with_words(studio: Studio, receipt: dict[str, Any]) -> None:
    from pipelines.errors import StudioError

    with pytest.raises(StudioError):
        finish(replay(studio, receipt))


def test_causes_are_named_only_where_a_result_differs() -> None:
    cause, other = Line(False, "torch: was 1, is 2", "version of torch"), Line(True, "numpy", "n")
    same, changed = Line(True, "equal"), Line(False, "another")
    assert explained([cause, other], [same], "nothing") == (cause, other, same)
    assert explained([other], [changed], "nothing")[-1] == Line(False, "nothing")
    *_, last = explained([cause, other, cause], [same, changed], "nothing")
    assert last == Line(False, "What differs may be because of the version of torch.")


def test_hardware_counts_where_the_older_one_names_it() -> None:
    old = {"versions": {"torch": "1"}, "device": {"kind": "cpu"}}
    new = {"versions": {"torch": "1"}, "device": {"kind": "cpu", "hardware": "a"}}
    assert [line.text for line in same_machine(old, new)] == [
        "version of torch: 1",
        "device kind: cpu",
    ]
    old["device"]["hardware"] = "b"
    lines = {line.text: line.is_equal for line in same_machine(old, new)}
    assert not lines["device hardware: was b, is a"]


def test_a_replay_is_equal_where_every_line_is() -> None:
    same, other = Line(True, "same"), Line(False, "other")
    assert Replayed({}, (same, same)).is_equal
    assert not Replayed({}, (same, other)).is_equal
