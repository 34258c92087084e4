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
    assert world.notes("prompt", "🍎 on a white background") == ["🍎 is read as “red apple”."]


@pytest.mark.parametrize("prompt", ["", "...", "a white background", "to the left of"])
def test_a_prompt_without_a_thing_is_told(world: World, prompt: str) -> None:
    (note,) = world.notes("prompt", prompt)
    assert note.startswith("The prompt names no thing")
    assert f"“{world.names[0]}”" in note
    assert world.notes("negative prompt", prompt) == []


def test_the_nearest_names_are_those_that_look_alike(world: World) -> None:
    assert world.nearest("aple") == ["red apple"]
    assert world.nearest("dogs")[0] == world.nearest("dogg")[0] == "dog face"
    assert world.nearest("xylophone") == []
    assert len(world.nearest("face", count=1)) == 1


def test_a_word_listed_as_near_comes_before_one_spelled_alike() -> None:
    near = {"cat face": ["kitty", "pet", "apply"], "dog face": ["hound", "pet"]}
    world = World.from_json({**WORLD, "near": near})
    assert world.unknown_words("a kitty") == ["kitty"]
    assert world.nearest("kitty") == world.nearest("kitties") == ["cat face"]
    assert world.nearest("pet") == ["cat face", "dog face"]
    assert world.nearest("pet", count=1) == ["cat face"]
    assert world.nearest("apply") == ["cat face"], "an apple by its letters alone"


@pytest.mark.parametrize("word", ["tax", "that", "ale", "maple", "aaple", "catx", "doge", "cake"])
def test_a_word_that_is_no_slip_of_the_keys_is_left_alone(world: World, word: str) -> None:
    """``that`` was said to be near a top hat."""
    assert world.nearest(word) == (["red apple"] if word == "aaple" else [])


def test_more_than_two_of_a_thing_are_said_and_a_number_is_no_misspelled_thing() -> None:
    """``three apples`` was answered with a tree."""
    world = World.from_json({**WORLD, "aliases": {"tree": "red apple"}})
    assert world.nearest("three") == []
    assert "the prompt names 3" in world.beyond("three red apples")[0]


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
        {**WORLD, "near": ["kitty"]},
        {**WORLD, "near": {"cat face": 7}},
    ],
)
def test_a_world_that_cannot_be_read_is_told(value: dict[str, Any]) -> None:
    with pytest.raises(LoadFailed, match=r"world\.json"):
        World.from_json(value)


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("🍎 on a white background", "a red apple on a white background"),
        ("a small 🍎 next to 🐶", "a small red apple next to a dog face"),
        ("🍎🐶 on blue", "a red apple and a dog face on blue"),
        ("🐶\ufe0f 🍎!", "a dog face and a red apple !"),
        ("😺 above 🐕", "a cat face above a dog face"),
        ("🍕, ©", "🍕, ©"),
        ("🍎🍕", "a red apple and 🍕"),
        ("a cat, on white!", "a cat, on white!"),
    ],
)
def test_emoji_are_read_as_their_names(world: World, prompt: str, read: str) -> None:
    """A prompt of "🍕 on a pink background" painted an unrelated face."""
    assert " ".join(world.read(prompt).split()) == read


def test_an_emoji_of_another_colour_is_not_read_as_the_thing(world: World) -> None:
    assert world.read("🍏").split() == ["a", "red", "apple"]
    knows_green = World.from_json({**WORLD, "colours": ["white", "green"]})
    assert knows_green.read("🍏") == "🍏"


def test_unknown_words_of_a_negative_prompt_are_left_out_and_named(world: World) -> None:
    assert world.known_part("zebras, a cat face and yaks").split() == [
        ",",
        "a",
        "cat",
        "face",
        "and",
    ]
    assert world.notes("negative prompt", "a xylophone") == [
        "This painter has never seen “xylophone” (negative prompt). It is left out."
    ]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red apple and a cat face on a white background", []),
        ("two dog faces on blue", []),
        ("a red apple, a cat and a dog", ["names 3"]),
        ("two red apples and 🐶", ["names 3"]),
        ("two red apples next to two cat faces", ["names 4"]),
        ("a blue cat face on a white background", ["“blue” before it"]),
        ("a white apple", ["“white” before it"]),
    ],
)
def test_what_no_scene_has_is_said(world: World, prompt: str, said: list[str]) -> None:
    found = [note for note in world.notes("prompt", prompt) if "is read as" not in note]
    assert len(found) == len(said)
    assert all(part in note for part, note in zip(said, found, strict=True))
