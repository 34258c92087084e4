"""The oracle reads drawn scenes, soft ones as well, and says when nothing is there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pipelines.recipes.emoji_scenes.data import Item, Pixels, Scene, World, arrange
from pipelines.recipes.emoji_scenes.oracle import Oracle, background_colour
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, everyday

NAMES = {emoji.name: emoji for emoji in everyday()}
APPLE, CAT = NAMES["red apple"], NAMES["cat face"]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def oracle(world: World) -> Oracle:
    return Oracle(world)


def blurred(pixels: Pixels, radius: float = 1.5) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_it_reads_held_out_scenes_right_in_99_of_100(world: World, oracle: Oracle) -> None:
    rng = np.random.default_rng(31)
    wrong = 0
    for _ in range(100):
        scene = world.sample(rng, held_out=True)
        wrong += not oracle.recognise(world.draw(scene, arrange(scene, rng))).shows(scene)
    assert wrong <= 1


def test_it_finds_size_and_box(world: World, oracle: Oracle) -> None:
    items = Item(APPLE, "small"), Item(CAT, "big")
    boxes = ((0, 40, 40), (48, 32, 72))
    found = oracle.recognise(world.draw(Scene(items, "left", "cyan"), boxes))
    by_name = dict(zip((item.emoji.name for item in found.items), found.boxes, strict=True))
    assert set(found.items) == set(items)
    assert by_name == {"red apple": boxes[0], "cat face": boxes[1]}


def test_softness_does_not_blind_it(world: World, oracle: Oracle) -> None:
    rng = np.random.default_rng(8)
    scenes = [world.sample(rng) for _ in range(24)]
    read = [oracle.recognise(blurred(world.draw(scene, arrange(scene, rng)))) for scene in scenes]
    right = sum(found.shows(scene) for found, scene in zip(read, scenes, strict=True))
    assert right >= 22


@pytest.mark.parametrize("colour", ["white", "black"])
def test_an_empty_background_shows_nothing(oracle: Oracle, colour: str) -> None:
    found = oracle.recognise(np.full((128, 128, 3), COLOURS[colour], np.uint8))
    assert found.colour == colour
    assert found.items == ()


def test_the_other_way_round_is_another_place(world: World, oracle: Oracle) -> None:
    boxes = ((0, 40, 56), (64, 40, 56))
    found = oracle.recognise(world.draw(Scene((Item(APPLE), Item(CAT)), "left", "gray"), boxes))
    assert found.shows(Scene((Item(APPLE), Item(CAT)), "left", "gray"))
    turned = Scene((Item(CAT), Item(APPLE)), "left", "gray")
    assert found.shows_items(turned)
    assert not found.shows(turned)
    assert found.shows(Scene((Item(CAT), Item(APPLE)), "beside", "gray"))
    assert not found.shows(Scene((Item(APPLE), Item(CAT)), "left", "white"))


@pytest.mark.parametrize("name", sorted(COLOURS))
def test_a_colour_is_read_from_the_frame_whatever_stands_inside(name: str) -> None:
    pixels = np.full((128, 128, 3), COLOURS[name], np.uint8)
    pixels[10:118, 10:118] = 77
    assert background_colour(pixels) == name
