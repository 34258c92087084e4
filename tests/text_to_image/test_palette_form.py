"""The palette of a small world, and what is said of a prompt while one types."""

from __future__ import annotations

import pytest

from pipelines.settings import Settings
from pipelines.text_to_image import palette_form
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
    assert sum(not label[0].isascii() for label in samples) > 240
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


def test_a_visitors_words_are_text_in_the_hint(world: World) -> None:
    """The line is Markdown: a link or a tag in the prompt must not become one."""
    said = palette_form.hint_on(world, "[applee](http://evil.example) <img src=x> *applee*")
    for sign in ("[applee]", "<img", "*applee*"):
        assert sign not in said


def test_a_lora_has_the_world_of_its_base_and_a_stranger_has_none() -> None:
    assert palette_form.world_of(Settings(), "emoji-painter + emoji-painter-night:0.5") is not None
    for name in ("fairytale-gpt", "no-such-model", "../emoji-painter", None, 7):
        assert palette_form.world_of(Settings(), name) is None
