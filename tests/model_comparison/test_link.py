"""A link sets the page up, and is a stranger's input."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue, StudioError
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.link import decode, encode, fields_of, request_of
from pipelines.model_comparison.pipeline import CompareRequest, checked
from pipelines.settings import Limits
from pipelines.sharing.links import MOST_CHARACTERS
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image.pipeline import PaintRequest

LIMITS = Limits()
TEXT = TextRequest("one", "Once «upon» a 時", 40, temperature=0.2, seed=7)
PAINT = PaintRequest("base + ada/lora@c1:0.5", "a cat", steps=5, scheduler="Euler", seed=0)
CAPTION = CaptionRequest("one", Image.new("RGB", (8, 8)), method="sampling", count=2, seed=7)
REQUESTS: dict[Task, CompareRequest] = {
    "write": CompareRequest("write", TEXT, replace(TEXT, model="ada/two", temperature=1.2)),
    "paint": CompareRequest("paint", PAINT, replace(PAINT, guidance_scale=6.0)),
    "describe": CompareRequest(
        "describe", CAPTION, replace(CAPTION, method="beams", no_repeat_ngram_size=0)
    ),
}


def content(task: Task = "write") -> dict[str, Any]:
    text = encode(fields_of(REQUESTS[task]))
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def link_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("task", REQUESTS)
def test_a_link_brings_every_field_of_its_task_back(task: Task) -> None:
    setup = fields_of(REQUESTS[task])
    text = encode(setup)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), "nothing that a query would have to escape"
    assert decode(text, LIMITS) == setup
    assert "picture" not in setup


@pytest.mark.parametrize("task", ["write", "paint"])
def test_the_fields_make_the_same_request_again(task: Task) -> None:
    setup = decode(encode(fields_of(REQUESTS[task])), LIMITS)
    again = request_of(setup, None, LIMITS)
    assert checked(again, LIMITS) == checked(REQUESTS[task], LIMITS)


def test_settings_of_other_tasks_are_not_in_it() -> None:
    assert set(content()) == {"task", "prompt", "seed", "max_new_tokens", "A", "B"}
    assert set(content()["A"]) == {"model", "temperature"}
    assert set(content("describe")) == {"task", "seed", "A", "B"}


def test_a_random_seed_stays_random() -> None:
    loose = replace(TEXT, seed=None)
    setup = decode(encode(fields_of(CompareRequest("write", loose, loose))), LIMITS)
    assert setup["seed"] == -1


def test_what_the_page_has_no_field_for_is_not_left_out_in_silence() -> None:
    with pytest.raises(InvalidValue, match=r"top_k is 3.*no field"):
        fields_of(CompareRequest("write", TEXT, replace(TEXT, top_k=3)))
    with pytest.raises(InvalidValue, match="not the same max_new_tokens"):
        fields_of(CompareRequest("write", TEXT, replace(TEXT, max_new_tokens=9)))


def test_a_prompt_too_long_for_a_link_is_refused_with_both_numbers() -> None:
    long = replace(TEXT, prompt="x" * 3_000)
    with pytest.raises(InvalidValue, match=r"4,\d{3} characters; at most 4,000 .* card"):
        encode(fields_of(CompareRequest("write", long, long)))


BAD_TEXTS: list[Any] = [
    None, True, 7, math.nan, b"abc", [], "", "a", "!", "<script>", "../../etc/passwd", "x" * 10_000,
    "A" * MOST_CHARACTERS, link_of([]), link_of(7), link_of({}),
    encode(fields_of(REQUESTS["write"]))[:-9],
    base64.urlsafe_b64encode(b"[" * 2_500).decode(), base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: repr(text)[:20])
def test_what_is_no_link_is_refused_with_words(text: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        decode(text, LIMITS)
    assert len(str(caught.value)) < 300


BAD_FIELDS: list[tuple[str, str, Any, str]] = [
    ("write", "task", "sing", "task of the link is 'sing'"),
    ("write", "task", None, "task of the link is None"),
    ("write", "task", "paint", "the unknown field 'max_new_tokens'"),
    ("write", "command", "rm", "the unknown field"),
    ("write", "picture", "/etc/passwd", "the unknown field"),
    ("write", "prompt", None, "prompt is None"),
    ("write", "prompt", 7, "prompt is 7"),
    ("write", "prompt", "\ud800", "damaged"),
    ("write", "seed", True, "seed is True"),
    ("write", "seed", -2, "seed is -2"),
    ("write", "seed", math.nan, "seed is nan"),
    ("write", "seed", "7", "seed is '7'"),
    ("write", "max_new_tokens", 10**9, "max_new_tokens is 1000000000"),
    ("paint", "prompt", "x" * 2_001, "2,001 characters"),
    ("write", "A", [], r"A of the link is \[\]; named fields"),
    ("write", "B", None, "B of the link is None; named fields"),
]


@pytest.mark.parametrize(("task", "name", "value", "words"), BAD_FIELDS)
def test_a_shared_field_that_is_not_right_is_named(
    task: Task, name: str, value: Any, words: str
) -> None:
    with pytest.raises(InvalidValue, match=words):
        decode(link_of(content(task) | {name: value}), LIMITS)


BAD_SIDES: list[tuple[str, str, Any, str]] = [
    ("write", "temperature", 9, "temperature of B is 9"),
    ("write", "temperature", math.nan, "temperature of B is nan"),
    ("write", "temperature", True, "temperature of B is True"),
    (
        "write",
        "picture",
        "/etc",
        "B of the link has the unknown field 'picture'; known are model, temperature",
    ),
    ("paint", "steps", 10**6, "steps of B is 1000000"),
    ("paint", "steps", 0, "steps of B is 0"),
    ("paint", "guidance_scale", -2, "guidance_scale of B is -2"),
    ("paint", "scheduler", "os.system", "scheduler of B is 'os.system'"),
    ("describe", "method", "magic", "method of B is 'magic'"),
    ("describe", "captions", 0, "captions of B is 0"),
    ("describe", "repetition_penalty", 0.05, "repetition_penalty of B is 0.05"),
    ("write", "model", None, "model of B is None"),
    ("write", "model", 7, "model of B is 7"),
    ("write", "model", "x" * 2_001, "2,001 characters"),
    ("write", "model", "/etc/passwd", "model of B"),
    ("write", "model", "../secrets", "model of B"),
    ("write", "model", "ada/../../x", "model of B"),
    ("write", "model", "C:\\models", "model of B"),
    ("write", "model", "~/models", "model of B"),
    ("write", "model", "<img src=x>", "model of B"),
    ("write", "model", "one\n", "model of B"),
    ("write", "model", "one + /etc/passwd:0.5", "model of B"),
    ("write", "model", "file:///etc/passwd", "model of B"),
]


@pytest.mark.parametrize(("task", "name", "value", "words"), BAD_SIDES)
def test_a_side_s_field_that_is_not_right_is_named(
    task: Task, name: str, value: Any, words: str
) -> None:
    told = content(task)
    with pytest.raises(InvalidValue, match=words) as caught:
        decode(link_of(told | {"B": told["B"] | {name: value}}), LIMITS)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "model",
    ["one", "my tale 2", "ada/two", "ada/two/sub@v1", "https://huggingface.co/ada/two",
     "base + ada/lora:0.8 + other:-0.5"],
)  # fmt: skip
def test_names_and_hub_references_are_models(model: str) -> None:
    told = content()
    told["A"]["model"] = model
    assert decode(link_of(told), LIMITS)["A"]["model"] == model


def test_a_composition_with_a_missing_name_is_told_in_its_own_words() -> None:
    told = content()
    told["A"]["model"] = "one + "
    with pytest.raises(StudioError, match="a name is missing"):
        decode(link_of(told), LIMITS)


@pytest.mark.parametrize("task", REQUESTS)
def test_a_link_from_before_a_setting_existed_means_the_request_s_default(task: Task) -> None:
    told = content(task)
    made: dict[str, Any] = {name: told[name] for name in ("task", "prompt") if name in told}
    made |= {side: {"model": told[side]["model"]} for side in "AB"}
    given = {"picture": None} if task == "describe" else {"prompt": told["prompt"]}
    sides = [TASKS[task].pipeline.Request(told[side]["model"], **given) for side in "AB"]
    assert decode(link_of(made), LIMITS) == fields_of(CompareRequest(task, *sides))


@pytest.mark.parametrize("lost", ["task", "prompt", "A", "model"])
def test_what_has_no_default_is_needed(lost: str) -> None:
    told = content()
    del (told["A"] if lost == "model" else told)[lost]
    with pytest.raises(InvalidValue, match=f"no field {lost}|task of the link is None"):
        decode(link_of(told), LIMITS)


def test_the_page_s_own_fields_go_through_as_they_are() -> None:
    side = {"model": "one", "steps": -1, "guidance_scale": -1, "scheduler": "Euler"}
    fields = {"task": "paint", "prompt": "a cat", "seed": -1, "A": side, "B": side}
    assert decode(encode(fields), LIMITS) == fields
