"""What a painter knows, and what it says of a prompt that asks for more."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import LoadFailed
from pipelines.text_to_image.world import World
from tests.tiny_models import WORLD


@pytest.fixture
def world() -> World:
    return World.from_json(WORLD)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "!!! — …",
        "a red apple",
        "Red APPLES above two dog faces",
        "a tiny cat to the left of an apple, on a white background",
    ],
)
def test_what_captions_say_is_known(world: World, prompt: str) -> None:
    assert world.unknown_words(prompt) == []


def test_unknown_words_come_once_in_order_and_in_lower_case(world: World) -> None:
    prompt = "A Zebra and a yak beside the ZEBRA with 3 cats’ hats"
    assert world.unknown_words(prompt) == ["zebra", "yak", "3", "cats", "hats"]


def test_a_symbol_is_a_word_and_goes_by_its_name(world: World) -> None:
    """On a page of emoji an emoji is what people type; it was passed over in silence."""
    assert world.unknown_words("🍎 and 🍕, © on white!") == ["🍎", "🍕", "©"]
    assert world.nearest("🍎") == ["red apple"], "RED APPLE"
    assert world.nearest("🐶") == ["dog face"]
    assert world.notes("prompt", "🍎 on a white background") == [
        "This painter has never seen “🍎” (prompt). Nearest that it knows: red apple."
    ]


@pytest.mark.parametrize("prompt", ["", "...", "a white background", "to the left of"])
def test_a_prompt_without_a_thing_is_told(world: World, prompt: str) -> None:
    (note,) = world.notes("prompt", prompt)
    assert note.startswith("The prompt names no thing")
    assert f"“{world.names[0]}”" in note
    assert world.notes("negative prompt", prompt) == []


def test_the_nearest_names_are_those_that_look_alike(world: World) -> None:
    assert world.nearest("aple") == ["red apple"]
    assert world.nearest("dogs")[0] == "dog face"
    assert world.nearest("xylophone") == []
    assert len(world.nearest("face", count=1)) == 1


def test_a_note_names_the_word_its_place_and_what_is_near(world: World) -> None:
    assert world.notes("prompt", "an aple") == [
        "This painter has never seen “aple” (prompt). Nearest that it knows: red apple."
    ]
    assert world.notes("prompt", "a xylophone") == [
        "This painter has never seen “xylophone” (prompt)."
    ]


def test_notes_stay_few_and_short_whatever_is_asked_for(world: World) -> None:
    notes = world.notes("prompt", " ".join(f"wwwword{i}" for i in range(1000)))
    assert len(notes) == 4
    assert notes[-1].endswith("and 990 more.")
    (note,) = world.notes("prompt", "x" * 2000)
    assert len(note) < 120


def without(part: str) -> dict[str, Any]:
    return {name: value for name, value in WORLD.items() if name != part}


@pytest.mark.parametrize(
    "value",
    [
        {},
        without("names"),
        without("aliases"),
        without("plurals"),
        without("colours"),
        {**WORLD, "aliases": 7},
        {**WORLD, "names": None},
    ],
)
def test_a_world_that_cannot_be_read_is_told(value: dict[str, Any]) -> None:
    with pytest.raises(LoadFailed, match=r"world\.json"):
        World.from_json(value)
