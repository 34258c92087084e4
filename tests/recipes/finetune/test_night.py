"""Night scenes: light lines on a dark blue sky, told in the words of the plain scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.files.imagefolder import DataLimits, check_imagefolder
from pipelines.recipes.emoji_scenes.data import Item, Scene, World, arrange
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.finetune import night


@pytest.fixture(scope="module")
def world() -> World:
    return World(everyday()[32:38])


def test_the_sky_is_dark_blue_whatever_colour_is_asked_for(world: World) -> None:
    rng = np.random.default_rng(0)
    for colour in ("white", "red", "yellow"):
        scene = Scene((Item(world.emoji[0]),), "", colour)
        pixels = night.draw_night(world, scene, arrange(scene, rng))
        red, green, blue = np.median(pixels[:8].reshape(-1, 3), axis=0)
        assert blue > 2 * red
        assert max(red, green) < 30


def test_lines_stand_where_the_shape_ends_and_its_inside_stays_dark() -> None:
    disc = np.zeros((40, 40, 4), np.uint8)
    y, x = np.mgrid[:40, :40]
    radius = np.hypot(y - 19.5, x - 19.5)
    disc[radius < 15] = (200, 30, 30, 255)
    lines = night.outline(disc)
    assert lines[np.abs(radius - 15) < 0.7].min() > 0.5
    assert lines[radius < 12].max() == 0
    assert lines[radius > 18].max() == 0


def test_lights_and_shades_within_the_shape_are_lines_too() -> None:
    halves = np.full((40, 40, 4), 255, np.uint8)
    halves[:, 20:, :3] = 0
    lines = night.outline(halves)
    assert lines[10:30, 19:21].min() > 0.9
    assert lines[10:30, 5:15].max() == 0


def test_the_folder_is_an_imagefolder_and_the_same_for_a_seed(world: World, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        night.write_night(world, tmp_path / name, 12, seed)
    reports = [check_imagefolder(tmp_path / n, DataLimits()) for n in ("first", "again", "other")]
    assert reports[0].problems == []
    assert reports[0].sizes == {"128 × 128": 12}
    assert reports[0].sha256 == reports[1].sha256 != reports[2].sha256
    lines = (tmp_path / "first/metadata.jsonl").read_text().splitlines()
    names = [name for entry in world.emoji for name in entry.names]
    assert all(any(name in json.loads(line)["text"] for name in names) for line in lines)
    assert Image.open(tmp_path / "first/0000.png").mode == "RGB"


def test_a_count_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--count is 0"):
        night.main(["--output", str(tmp_path / "night"), "--count", "0"])
