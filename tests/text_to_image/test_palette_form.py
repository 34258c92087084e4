"""The palette of a small world, and what is said of a prompt while one types."""

from __future__ import annotations

import pytest

from pipelines.settings import Settings
from pipelines.text_to_image import palette_form
from pipelines.text_to_image.tab import EXAMPLES
from pipelines.text_to_image.world import World


@pytest.fixture(scope="module")
def world() -> World:
    world = palette_form.world_of(Settings(), "emoji-painter")
    assert world is not None
    return world


def test_every_thing_of_the_world_can_be_clicked_and_nearly_all_have_their_emoji(
    world: World,
) -> None:
    samples = [label for (label,) in palette_form._samples(world)]
    assert len(samples) == 256
    assert "🍎 red apple" in samples
    assert "🐱 cat face" in samples
    assert "🎃 pumpkin" in samples, "jack-o-lantern: the names have no hyphens"
    assert "😍 face with heart eyes" in samples
    assert "🏠 house" in samples, "HOUSE BUILDING, and not HOUSE BUILDINGS"
    assert sum(not label[0].isascii() for label in samples) > 250
    assert all(label.endswith(name) for label, name in zip(samples, world.names, strict=True))


@pytest.mark.parametrize(
    ("prompt", "name", "built"),
    [
        ("", "red apple", "a red apple on a white background"),
        ("a cat face on a blue background", "rose",
         "a cat face next to a rose on a blue background"),
        ("", "unicorn", "a unicorn on a white background"),
        ("a cat face", "onion", "a cat face next to an onion on a white background"),
        ("a cat face next to a rose on a blue background", "socks", "socks on a blue background"),
    ],
)  # fmt: skip
def test_a_click_adds_a_second_thing_or_begins_anew(
    world: World, prompt: str, name: str, built: str
) -> None:
    assert palette_form.with_thing(world, prompt, name) == built
    assert not world.unknown_words(built)


def test_typing_an_unknown_word_names_what_is_near_and_is_silent_where_nothing_is(
    world: World,
) -> None:
    assert "“appel”; near it: red apple" in palette_form.hint_on(world, "an appel")
    assert palette_form.hint_on(world, "a xqzvw on a white background") == ""
    assert palette_form.hint_on(world, "a red apple on a white background") == ""
    assert "names 3" in palette_form.hint_on(world, "a cat, a dog and a rose")
    assert palette_form.hint_on(None, "an appel") == ""
    assert palette_form.hint_on(world, 7) == ""


EVERYDAY = {
    "kitty": "cat face", "doggie": "dog face", "hare": "rabbit face", "pony": "horse face",
    "lamb": "sheep", "piglet": "pig face", "calf": "cow face", "toad": "frog",
    "gorilla": "monkey face", "tortoise": "turtle", "alligator": "crocodile", "pigeon": "bird",
    "wasp": "bee", "moth": "butterfly", "hawk": "eagle", "queen": "princess", "infant": "baby",
    "jet": "airplane", "lorry": "truck", "boat": "sailboat", "cab": "taxi", "spaceship": "rocket",
    "ufo": "flying saucer", "home": "house", "palace": "castle", "chapel": "church",
    "smartphone": "phone", "tv": "television", "mandarin": "tangerine", "muffin": "cake",
    "flower": "rose", "oak": "tree", "flame": "fire", "ocean": "wave", "thunder": "lightning",
    "jewel": "diamond", "cash": "bag of money", "sneaker": "boot", "love": "red heart",
    "novel": "red book",
}  # fmt: skip
"""Chosen before the words of the world were listed."""
FAR = (
    "philosophy tax democracy wednesday grammar algorithm mortgage yesterday theory insurance "
    "percent politics eleven because contract meeting history opinion economy statistics"
).split()


def test_everyday_words_have_the_thing_that_they_mean_and_far_ones_none(world: World) -> None:
    assert len(EVERYDAY) == 40
    assert len(FAR) == 20
    assert {word: world.nearest(word)[:1] for word in EVERYDAY} == {
        word: [name] for word, name in EVERYDAY.items()
    }
    assert world.unknown_words(" ".join(EVERYDAY)) == list(EVERYDAY)
    assert palette_form.hint_on(world, "two kitties on blue").endswith("near it: cat face.")
    assert {word for word in FAR if world.nearest(word)} == set()


def test_words_that_only_look_alike_come_second(world: World) -> None:
    typed = {
        "elefant": "elephant",
        "bananna": "banana",
        "penguine": "penguin",
        "umbrela": "umbrella",
    }
    assert {word: world.nearest(word) for word in typed} == {w: [name] for w, name in typed.items()}


def test_the_examples_ask_for_nothing_that_the_painter_cannot_do(world: World) -> None:
    for (prompt,) in EXAMPLES:
        assert palette_form.hint_on(world, prompt) == ""
        assert world.notes("prompt", prompt) == []


def test_plurals_of_every_name_are_known(world: World) -> None:
    """Captions have ``two cats``; the page said that the painter had never seen them."""
    assert world.unknown_words("two cats next to puppies") == []
    assert world.mentions("two bunnies") == [("rabbit face", "two")]


def test_a_visitors_words_are_text_in_the_hint(world: World) -> None:
    """The line is Markdown: a link or a tag in the prompt must not become one."""
    said = palette_form.hint_on(world, "[applee](http://evil.example) <img src=x> *applee*")
    for sign in ("[applee]", "<img", "*applee*"):
        assert sign not in said


def test_a_lora_has_the_world_of_its_base_and_a_stranger_has_none() -> None:
    assert palette_form.world_of(Settings(), "emoji-painter + emoji-painter-night:0.5") is not None
    for name in ("fairytale-gpt", "no-such-model", "../emoji-painter", None, 7):
        assert palette_form.world_of(Settings(), name) is None
