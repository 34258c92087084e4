"""A duel's link sets the panel up, and is a stranger's input."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from pipelines.arena.link import decode, encode
from pipelines.arena.setup import Setup
from pipelines.errors import InvalidValue, StudioError
from pipelines.settings import Limits
from pipelines.sharing.links import MOST_CHARACTERS

LIMITS = Limits()
MODELS = ("one", "ada/two@c1 + ada/lora@c2:0.5")
SETUPS = [
    Setup("write", MODELS, "Once «upon» a 時", 7),
    Setup("paint", tuple("abcdefgh"), "", -1),
    Setup("describe", MODELS, None, 0),
    Setup("write", MODELS),
]


def content(setup: Setup = SETUPS[0]) -> dict[str, Any]:
    text = encode(setup)
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def link_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: str(setup.task))
def test_a_link_brings_every_field_back(setup: Setup) -> None:
    text = encode(setup)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), "nothing that a query would have to escape"
    assert decode(text, LIMITS) == setup


def test_what_is_said_of_a_card_is_not_in_its_link() -> None:
    assert decode(encode(replace(SETUPS[0], notes=("a note",))), LIMITS) == SETUPS[0]


def test_a_prompt_too_long_for_a_link_is_refused_with_both_numbers() -> None:
    with pytest.raises(InvalidValue, match=r"4,\d{3} characters; at most 4,000 .* prompt"):
        encode(replace(SETUPS[0], prompt="x" * 3_000))


BAD_TEXTS: list[Any] = [
    None, True, 7, math.nan, b"abc", [], "", "a", "!", "<script>", "../../etc/passwd", "x" * 10_000,
    "A" * MOST_CHARACTERS, link_of([]), link_of(7), link_of({}), encode(SETUPS[0])[:-9],
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: repr(text)[:20])
def test_what_is_no_link_is_refused_with_words(text: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        decode(text, LIMITS)
    assert len(str(caught.value)) < 300


BAD: list[tuple[str, Any, str]] = [
    ("task", "sing", "task is 'sing'"),
    ("task", None, "task is None"),
    ("task", "describe", "prompt is 'Once"),
    ("command", "rm", "the unknown field"),
    ("picture", "/etc/passwd", "the unknown field"),
    ("prompt", 7, "prompt is 7"),
    ("prompt", True, "prompt is True"),
    ("prompt", "\ud800", "damaged"),
    ("seed", True, "seed is True"),
    ("seed", -2, "seed is -2"),
    ("seed", math.nan, "seed is nan"),
    ("seed", "7", "seed is '7'"),
    ("models", None, "models are None"),
    ("models", "one", "give a list"),
    ("models", {"one": 1, "two": 2}, "give a list"),
    ("models", ["one"], "1 models"),
    ("models", list("abcdefghi"), "9 models"),
    ("models", ["one", "one"], "given twice"),
    ("models", ["one", 7], "One of the models is 7"),
    ("models", ["one", ""], "One of the models is ''"),
    ("models", ["one", "x" * 2_001], "One of the models"),
    ("models", ["one", "/etc/passwd"], "model is '/etc/passwd'"),
    ("models", ["one", "../secrets"], "model is"),
    ("models", ["one", "<img src=x>"], "model is '<img"),
    ("models", ["one", "file:///etc/passwd"], "model is"),
    ("models", ["one", "two + "], "a name is missing"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_field_that_is_not_right_is_named(name: str, value: Any, words: str) -> None:
    with pytest.raises(StudioError, match=words) as caught:
        decode(link_of(content() | {name: value}), LIMITS)
    assert len(str(caught.value)) < 400


def test_a_link_without_prompt_and_seed_leaves_both_open() -> None:
    told = {name: content()[name] for name in ("task", "models")}
    assert decode(link_of(told), LIMITS) == Setup("write", MODELS, None, -1)


def test_a_painter_s_prompt_is_held_to_a_painter_s_length() -> None:
    told = content() | {"task": "paint", "prompt": "x" * 2_001}
    with pytest.raises(InvalidValue, match="2,001 characters"):
        decode(link_of(told), LIMITS)
