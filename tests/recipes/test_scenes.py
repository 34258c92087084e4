"""Scenes: what stands where is what the caption says, and what is held out stays out."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    FONT,
    GRID,
    Item,
    Scene,
    World,
    arrange,
    caption,
    combination_is_held_out,
    plain_caption,
    plural,
    scene_words,
)
from pipelines.recipes.emoji_scenes.vocabulary import (
    COLOURS,
    NEVER_PAIRED,
    everyday,
    near_words,
    twelve,
    whole_font,
)

NAMES = {emoji.name: emoji for emoji in everyday()}


@pytest.fixture(scope="module")
def world() -> World:
    return World([NAMES[n] for n in ("red apple", "cat face", "robot", "rocket", "tree", "socks")])


def test_the_world_has_256_emoji_and_no_name_means_two_things() -> None:
    names = [name for emoji in everyday() for name in emoji.names]
    assert len(everyday()) == 256
    assert len(names) == len(set(names))
    assert {emoji.character for emoji in everyday()} >= NEVER_PAIRED
    assert len(NEVER_PAIRED) == 20


def test_the_whole_font_has_the_everyday_names_and_no_letters_or_flags() -> None:
    emoji = whole_font(FONT)
    names = [name for entry in emoji for name in entry.names]
    assert emoji[:256] == everyday()
    assert 1_100 < len(emoji) < 1_300
    assert len(names) == len(set(names))
    words = {word for entry in emoji[256:] for word in entry.name.split()}
    assert not words & {"letter", "flag", "arrow", "sign", "keycap"}
    World(emoji[250:270])  # the font draws them


def test_the_small_world_has_twelve_of_the_everyday_emoji() -> None:
    assert len(twelve()) == 12
    assert set(twelve()) < set(everyday())


def test_words_near_to_a_thing_are_in_no_caption_and_stand_once_in_a_line() -> None:
    in_captions = {
        word for emoji in everyday() for n in emoji.names for word in f"{n} {plural(n)}".split()
    }
    near = near_words()
    assert list(near) == [emoji.name for emoji in everyday()]
    for words in near.values():
        assert len(words) == len(set(words))
        assert not in_captions & set(words)
        assert all(word.isalpha() and word.islower() for word in words)


def test_a_tenth_of_the_combinations_is_held_out() -> None:
    held = [combination_is_held_out(e, colour) for e in everyday() for colour in COLOURS]
    assert 0.08 < np.mean(held) < 0.12


def test_training_scenes_and_held_out_scenes_do_not_mix(world: World) -> None:
    rng = np.random.default_rng(0)
    assert not any(world.sample(rng).is_held_out() for _ in range(300))
    assert all(world.sample(rng, held_out=True).is_held_out() for _ in range(100))


def test_what_never_stands_in_a_pair_is_not_in_one_in_training(world: World) -> None:
    rng = np.random.default_rng(1)
    pairs = [scene for scene in (world.sample(rng) for _ in range(400)) if len(scene.items) == 2]
    assert pairs
    assert all(item.emoji.name != "robot" for scene in pairs for item in scene.items)


def test_sprites_stand_on_the_grid_inside_and_as_the_place_says(world: World) -> None:
    rng = np.random.default_rng(2)
    for _ in range(500):
        scene = world.sample(rng)
        boxes = arrange(scene, rng)
        for left, top, edge in boxes:
            assert left % GRID == top % GRID == 0
            assert 0 <= left <= EDGE - edge
            assert 0 <= top <= EDGE - edge
        if scene.place == "left":
            assert boxes[0][0] + boxes[0][2] <= boxes[1][0]
        if scene.place == "above":
            assert boxes[0][1] + boxes[0][2] <= boxes[1][1]


def test_a_drawn_scene_has_its_background_and_its_sprite(world: World) -> None:
    scene = Scene((Item(NAMES["red apple"], "big"),), "", "blue")
    pixels = world.draw(scene, [(24, 24, 72)])
    assert tuple(pixels[2, 2]) == COLOURS["blue"]
    red, green, blue = pixels[66, 60].astype(int)
    assert red > green
    assert red > blue


def test_captions_use_only_the_words_that_models_are_given(world: World) -> None:
    rng = np.random.default_rng(3)
    words = scene_words(world)
    for _ in range(500):
        scene = world.sample(rng)
        for text in (caption(scene, rng), plain_caption(scene)):
            assert set(text.split()) <= words


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (
            Scene((Item(NAMES["red apple"]), Item(NAMES["cat face"], "big")), "left", "orange"),
            "a red apple to the left of a big cat face on an orange background",
        ),
        (Scene((Item(NAMES["socks"], "small"),), "", "white"), "small socks on a white background"),
        (
            Scene((Item(NAMES["cat face"]), Item(NAMES["cat face"])), "and", "gray"),
            "two cat faces on a gray background",
        ),
    ],
)
def test_plain_captions_are_english(scene: Scene, words: str) -> None:
    assert plain_caption(scene) == words


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("box", "boxes"),
        ("cherry", "cherries"),
        ("snowman", "snowmen"),
        ("glass of milk", "glasses of milk"),
        ("face with mask", "faces with mask"),
        ("key", "keys"),
        ("tomato", "tomatoes"),
        ("socks", "socks"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many
