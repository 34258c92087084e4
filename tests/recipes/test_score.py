"""The table of scores: a perfect painter has them all, a blank one none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.features import weights_hash
from pipelines.metrics.proportion import proportion
from pipelines.recipes import results, score
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip.model import build
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.caption_parser import CaptionParser, describes
from pipelines.recipes.emoji_scenes.data import Pixels, Scene, World, arrange
from pipelines.recipes.emoji_scenes.dataset import HELD_OUT, read_dataset, write_dataset
from pipelines.recipes.emoji_scenes.oracle import Oracle
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, everyday
from pipelines.settings import ROOT

Kinds = dict[tuple[int, bool], list[Scene]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def asked(world: World) -> Kinds:
    return score.scenes_to_paint(world, read_dataset(ROOT / HELD_OUT), 6)


def values(rows: list[score.Row]) -> dict[str, float]:
    return {row.what: row.score.value for row in rows}


def test_scenes_are_asked_for_in_four_kinds(asked: Kinds) -> None:
    assert set(asked) == {(1, True), (1, False), (2, True), (2, False)}
    for (items, seen), scenes in asked.items():
        assert len(scenes) == 6
        assert all(len(scene.items) == items for scene in scenes)
        assert all(scene.is_held_out() != seen for scene in scenes)


def test_a_perfect_painter_reaches_every_floor(world: World, asked: Kinds) -> None:
    rng = np.random.default_rng(0)
    oracle = Oracle(world)
    found = {
        kind: [oracle.recognise(world.draw(scene, arrange(scene, rng))) for scene in scenes]
        for kind, scenes in asked.items()
    }
    rows = score.recognition_rows(asked, found)
    assert set(values(rows).values()) == {1.0}
    assert "not reached" not in score.table(rows)


def test_a_painter_of_empty_backgrounds_has_the_colours_alone(world: World, asked: Kinds) -> None:
    def empty(scene: Scene) -> Pixels:
        return np.full((128, 128, 3), COLOURS[scene.colour], np.uint8)

    oracle = Oracle(world)
    found = {kind: [oracle.recognise(empty(s)) for s in scenes] for kind, scenes in asked.items()}
    shares = values(score.recognition_rows(asked, found))
    assert shares.pop("the background's colour") == 1.0
    assert set(shares.values()) == {0.0}
    assert "0.7 (not reached)" in score.table(score.recognition_rows(asked, found))


def test_aliases_and_turned_places_tell_the_same_scene_and_other_things_do_not() -> None:
    parser = CaptionParser(everyday())
    example = next(e for e in read_dataset(ROOT / HELD_OUT) if e.scene.place == "left")
    for words in example.captions:
        named = example.scene.colour in words.split()
        assert describes(parser.parse(words), example.scene, example.boxes) == named
    swapped = example.captions[0].replace("to the left of", "to the right of")
    assert not describes(parser.parse(swapped), example.scene, example.boxes)
    assert not describes(parser.parse("a picture"), example.scene, example.boxes)


def test_the_command_scores_the_models_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(World(), tmp_path / "scenes", count=24)
    options = ["--models", str(ROOT / "assets/models"), "--dataset", str(tmp_path / "scenes")]
    options += ["--pictures", "2", "--json", str(tmp_path / "rows.json")]
    monkeypatch.setattr("sys.argv", ["score", *options])
    score.main()
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["model"] for row in rows} == {"painter", "captioner", "clip"}
    assert all(row["what"] in printed for row in rows)
    scored = [row["score"] for row in rows if not math.isnan(row["score"]["low"])]
    assert all(each["low"] <= each["value"] <= each["high"] for each in scored)
    assert "emoji-captioner-encoder@" in printed
    assert "FID" in printed


def test_a_clip_is_asked_for_each_picture_s_text_and_each_text_s_picture(tmp_path: Path) -> None:
    write_dataset(World(), tmp_path / "scenes", count=12)
    examples = read_dataset(tmp_path / "scenes")
    tokenizer = build_tokenizer({word for e in examples for word in e.captions[0].split()})
    path = tmp_path / "emoji-clip"
    results.save(build(tokenizer, 32, (1, 1), 16, 1), path, tokenizer, build_image_processor())
    rows = score.clip_rows(path, [*examples, examples[0]])
    signed = f"(emoji-clip-without-prefix@{weights_hash(path)})|n:13|candidates:13|"
    assert [row.what for row in rows] == [
        f"{way}, {what}"
        for way in ("picture to text", "text to picture")
        for what in ("recall@1", "recall@5", "recall@10", "median rank")
    ]
    assert all(row.model == "clip" and signed in row.score.signature for row in rows)
    scores = [row.score for row in rows if not math.isnan(row.score.low)]
    assert all(score.low <= score.value <= score.high for score in scores)
    # A picture that is there twice has two right texts, so that neither is in the other's way.
    assert all(row.score.value >= 1 for row in rows if row.what.endswith("median rank"))
    only = [row.score.value for row in score.clip_rows(path, [examples[0]] * 3)]
    assert only == [1.0] * 8


def test_without_a_clip_there_are_no_rows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(score, "read_dataset", lambda path: [])
    for name in ("captioner_rows", "painter_rows"):
        monkeypatch.setattr(score, name, lambda *given: [])

    def clip_rows(path: Path, examples: list[Any]) -> list[score.Row]:
        asked.append(path)
        return []

    monkeypatch.setattr(score, "clip_rows", clip_rows)
    for options in ([], ["--only", "captioner"], ["--only", "clip"]):
        monkeypatch.setattr("sys.argv", ["score", "--models", str(tmp_path), *options])
        score.main()
    assert asked == [tmp_path / "emoji-clip"]
    (tmp_path / "emoji-clip").mkdir()
    monkeypatch.setattr("sys.argv", ["score", "--models", str(tmp_path)])
    score.main()
    assert len(asked) == 2


def test_floors_are_marked_where_they_are_not_reached() -> None:
    some = proportion([True, False], "hand")
    rows = [score.Row("m", "low", some, 0.9), score.Row("m", "high", some, 0.4)]
    lines = score.table(rows).splitlines()
    assert "not reached" in lines[2]
    assert "not reached" not in lines[3]
