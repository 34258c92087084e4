"""The held-out scenes that ship: complete, held out, and what the recipe writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.recipes.emoji_scenes.caption_parser import CaptionParser, names_all, place_is_true
from pipelines.recipes.emoji_scenes.data import World
from pipelines.recipes.emoji_scenes.dataset import COUNT, HELD_OUT, read_dataset, write_dataset
from pipelines.recipes.emoji_scenes.oracle import Oracle
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.settings import ROOT

SHIPPED = ROOT / HELD_OUT


def test_all_scenes_are_held_out_and_their_files_are_there() -> None:
    examples = read_dataset(SHIPPED)
    assert len(examples) == COUNT == 512
    assert all(example.scene.is_held_out() for example in examples)
    assert all(example.pixels().shape == (128, 128, 3) for example in examples[::64])
    assert {example.file.name for example in examples} == {f.name for f in SHIPPED.glob("*.png")}


def test_the_recipe_writes_what_ships(tmp_path: Path) -> None:
    write_dataset(World(), tmp_path, count=5)
    made = (tmp_path / "metadata.jsonl").read_text().splitlines()
    assert made == (SHIPPED / "metadata.jsonl").read_text().splitlines()[:5]
    for example in read_dataset(tmp_path):
        twin = np.asarray(example.pixels())
        shipped = next(e for e in read_dataset(SHIPPED) if e.file.name == example.file.name)
        assert np.array_equal(twin, shipped.pixels())


def test_every_wording_says_what_the_picture_shows() -> None:
    parser = CaptionParser(everyday())
    for example in read_dataset(SHIPPED):
        for words in example.captions:
            reading = parser.parse(words)
            assert reading is not None, words
            assert reading.colour in ("", example.scene.colour)
            assert place_is_true(reading, example.scene, example.boxes), words
        assert names_all(parser.parse(example.captions[0]), example.scene)


def test_the_oracle_reads_the_files() -> None:
    oracle = Oracle(World())
    examples = read_dataset(SHIPPED)[::16]
    assert all(oracle.recognise(example.pixels()).shows(example.scene) for example in examples)


def test_it_is_an_imagefolder() -> None:
    rows = [json.loads(line) for line in (SHIPPED / "metadata.jsonl").read_text().splitlines()]
    assert all((SHIPPED / row["file_name"]).is_file() and row["text"] for row in rows)


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"emoji_scenes\.dataset"):
        read_dataset(tmp_path / "nothing")
