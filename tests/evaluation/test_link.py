"""An evaluation's link sets the panel up, and is a stranger's input."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

import pytest

from pipelines.errors import InvalidValue, StudioError
from pipelines.evaluation.link import decode, encode
from pipelines.evaluation.request import (
    Describing,
    EvaluationRequest,
    Generation,
    Painting,
    Writing,
    checked,
)
from pipelines.evaluation.setup import setup_of
from pipelines.settings import Limits
from pipelines.sharing.links import MOST_CHARACTERS
from tests.evaluation.test_setup import card_of

LIMITS = Limits()
OF_TASKS = [
    Describing(9, 0.3, "sampling"),
    Describing(no_repeat_ngram_size=2, repetition_penalty=1.5),
    Writing(max_new_tokens=5, temperature=1),
    Painting(3, 2),
]


def content(settings: Generation | None = None) -> dict[str, Any]:
    text = encode(setup_of(card_of(settings), LIMITS))
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def link_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("settings", OF_TASKS, ids=lambda kind: type(kind).__name__)
def test_a_link_brings_every_field_back(settings: Generation) -> None:
    setup = setup_of(card_of(settings), LIMITS)
    text = encode(setup)
    again = decode(text, LIMITS)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), "nothing that a query would have to escape"
    assert again.data == setup.data == "emoji-scenes"
    assert again.notes == ()
    told, asked = vars(again.request), vars(setup.request)
    assert {n: v for n, v in told.items() if n != "data"} == {
        n: v for n, v in asked.items() if n != "data"
    }
    assert told["settings"] == settings


def test_an_upload_has_no_link() -> None:
    uploaded = {**card_of(), "data": {"name": "mine", "sha256": "0" * 64}}
    with pytest.raises(InvalidValue, match="file of one's own"):
        encode(setup_of(uploaded, LIMITS))


def test_a_setting_without_a_field_is_not_left_out_in_silence() -> None:
    with pytest.raises(InvalidValue, match=r"no link.* top_k is 3"):
        encode(setup_of(card_of(Writing(top_k=3)), LIMITS))


def test_names_too_long_for_a_link_are_refused_with_both_numbers() -> None:
    long = f"ada/{'x' * 90}/{'y' * 90}"
    models = [
        {"reference": f"{long}/{'z' * 90}{n}", "commit": "c" * 120, "adapters": []}
        for n in range(8)
    ]
    with pytest.raises(InvalidValue, match=r"4,\d{3} characters; at most 4,000 .*fewer models"):
        encode(setup_of({**card_of(), "models": models}, LIMITS))


@pytest.mark.parametrize(
    "text",
    [None, True, 7, math.nan, b"abc", [], "", "a", "!", "<script>", "../../etc/passwd",
     "x" * 10_000, "A" * MOST_CHARACTERS, link_of([]), link_of(7), link_of({})],
    ids=lambda text: repr(text)[:20],
)  # fmt: skip
def test_what_is_no_link_is_refused_with_words(text: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        decode(text, LIMITS)
    assert len(str(caught.value)) < 300


BAD: list[tuple[str, Any, str]] = [
    ("task", "sing", "task of the link is 'sing'"),
    ("task", None, "task of the link is None"),
    ("task", ["describe"], "task of the link"),
    ("task", "paint", "settings of the link has the unknown field"),
    ("command", "rm", "the unknown field"),
    ("upload", "/etc/passwd", "the unknown field"),
    ("data", "/etc/passwd", "data is '/etc/passwd'"),
    ("data", "../secrets", "data is"),
    ("data", "upload", "data is 'upload'"),
    ("data", "<b>x</b>", "data is"),
    ("data", None, "data is None"),
    ("data", "x" * 2_001, "2,001 characters"),
    ("models", "one", "models are 'one'"),
    ("models", [], "0 models"),
    ("models", ["one", 7], "One of the models is 7"),
    ("models", ["one", "/etc/passwd"], "model is '/etc/passwd'"),
    ("models", ["one", "<img src=x>"], "model is '<img"),
    ("models", ["one", "file:///etc/passwd"], "model is"),
    ("models", ["one", "two + "], "a name is missing"),
    ("metrics", ["fid"], "metrics is 'fid'"),
    ("metrics", {"cider": 1}, "metrics are"),
    ("sample_size", True, "sample_size is True"),
    ("sample_size", 10**9, "sample_size"),
    ("seed", math.nan, "seed is nan"),
    ("seed", -1, "seed is -1"),
    ("settings", None, "settings of the link is None; named fields"),
    ("settings", {"top_k": 3}, "unknown field 'top_k'; known are max_new_tokens, temperature"),
    ("settings", {"method": "luck", "temperature": 1, "max_new_tokens": 9}, "'luck'"),
    ("settings", {"method": "beams", "temperature": "1", "max_new_tokens": 9}, "temperature"),
    ("clip", "/etc/passwd", "clip is '/etc/passwd'"),
    ("clip", 7, "clip is 7"),
    ("extractor", "os.system", "extractor is 'os.system'"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_field_that_is_not_right_is_named(name: str, value: Any, words: str) -> None:
    with pytest.raises(StudioError, match=words) as caught:
        decode(link_of(content() | {name: value}), LIMITS)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("settings", OF_TASKS, ids=lambda kind: type(kind).__name__)
def test_a_link_from_before_a_field_existed_means_its_default(settings: Generation) -> None:
    whole = content(settings)
    needed = {name: whole[name] for name in ("task", "data", "models")}
    request = decode(link_of(needed), LIMITS).request
    models = tuple(whole["models"])
    assert request == checked(EvaluationRequest(whole["task"], request.data, models), LIMITS)
    assert decode(link_of(needed | {"settings": {}}), LIMITS).request == request
    for name in ("data", "models"):
        with pytest.raises(InvalidValue, match=f"The link has no field {name}"):
            decode(link_of({other: needed[other] for other in needed if other != name}), LIMITS)
