"""Captions wherever people keep them: read, with a line that says how, and disagreement named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.files.captions import read_captions
from pipelines.files.imagefolder import DataLimits, check_imagefolder, opened, read_pairs
from pipelines.settings import ROOT

LIMITS = DataLimits(least_pictures=1)


def with_pictures(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number * 20, 90, 200)).save(folder / name)
    return folder


def coco(folder: Path, name: str = "captions.json", **changes: Any) -> Path:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 8, "caption": "a dog"},
            {"id": 2, "image_id": 7, "caption": "a cat "},
            {"id": 3, "image_id": 7, "caption": "one cat"},
        ],
    }
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("sidecar.zip", "12 captions from .txt files beside the pictures."),
        ("captionkey.zip", "12 captions from caption in metadata.jsonl."),
    ],
)
def test_archives_that_were_refused_are_read_and_say_how(name: str, how: str) -> None:
    with opened(ROOT / "tests/data" / name, LIMITS) as folder:
        pairs, report = read_pairs(folder, LIMITS)
    assert [pair.name for pair in pairs] == [f"{number:04d}.png" for number in range(12)]
    assert {pair.text for pair in pairs} == {"a red apple"}
    assert report.notes == [how]
    assert report.problems == []


def test_a_file_beside_a_picture_has_a_caption_in_each_line(tmp_path: Path) -> None:
    with_pictures(tmp_path, "in/a.png", "other/b.jpg")
    (tmp_path / "in/a.txt").write_text("\ufeffa cat\r\n\n  one cat  \n", encoding="utf-8")
    (tmp_path / "other/b.caption").write_text("a dog")
    (tmp_path / "readme.txt").write_text("no caption")
    pairs, report = read_pairs(tmp_path, LIMITS)
    assert [(pair.name, pair.text, pair.wordings) for pair in pairs] == [
        ("in/a.png", "a cat", ("one cat",)),
        ("other/b.jpg", "a dog", ()),
    ]
    how = "3 captions of 2 pictures from .caption and .txt files beside the pictures."
    assert report.notes == [how]


def test_a_picture_without_a_caption_is_named(tmp_path: Path) -> None:
    with_pictures(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "a.txt").write_text("a cat")
    (tmp_path / "c.txt").write_text(" \n")
    report = check_imagefolder(tmp_path, LIMITS)
    assert report.problems == ["1 picture without a caption: c.png."]
    assert report.notes[1] == "1 picture left out, without a caption: b.png."


@pytest.mark.parametrize("name", ["captions.json", "annotations/captions_val2017.json"])
def test_cocos_annotations_find_their_pictures(tmp_path: Path, name: str) -> None:
    with_pictures(tmp_path, "val2017/a.png", "b.png")
    (tmp_path / "settings.json").write_text("{}")
    path = coco(tmp_path, name)
    pairs, report = read_pairs(tmp_path, LIMITS)
    assert [(pair.name, pair.text, pair.wordings) for pair in pairs] == [
        ("b.png", "a dog", ()),
        ("val2017/a.png", "a cat", ("one cat",)),
    ]
    how = f"3 captions of 2 pictures from COCO's annotations in {path.name}."
    assert report.notes == [how]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": [{"image_id": 9, "caption": "a"}]}, "captions.json has a caption of the"),
        ({"annotations": [{"image_id": 7, "caption": 5}]}, "Entry 1 of annotations in captions"),
        ({"images": 5, "annotations": [{"image_id": 7, "caption": "a"}]}, "Entry 1 of images in"),
        ({"images": [{"id": 7, "file_name": "../a.png"}]}, "picture 8"),
    ],
)
def test_malformed_annotations_are_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    coco(with_pictures(tmp_path, "a.png"), **changes)
    with pytest.raises(InvalidValue, match=words):
        read_captions(tmp_path, 9)


def test_annotations_lead_to_no_file_outside(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "../a.png"}, {"id": 8, "file_name": "b.png"}]
    coco(with_pictures(tmp_path, "a.png", "b.png"), images=images)
    with pytest.raises(InvalidValue, match="inside of the folder"):
        read_captions(tmp_path, 9)


def test_two_files_of_annotations_are_one_too_many(tmp_path: Path) -> None:
    coco(tmp_path, "train.json"), coco(with_pictures(tmp_path, "a.png"), "val.json")
    with pytest.raises(
        InvalidValue, match=r"2 files of COCO's annotations: train\.json, val\.json"
    ):
        read_captions(tmp_path, 9)


def test_sources_that_disagree_are_named_with_the_picture(tmp_path: Path) -> None:
    with_pictures(tmp_path, "a.png", "b.png")
    rows = [
        {"file_name": "a.png", "text": "a cat", "caption": "a lynx"},
        {"file_name": "b.png", "text": "a dog", "caption": "a dog"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.txt").write_text("a cat")
    (tmp_path / "b.txt").write_text("a wolf")
    pairs, report = read_pairs(tmp_path, LIMITS)
    assert [pair.text for pair in pairs] == ["a cat", "a dog"]
    assert report.notes == [
        "metadata.jsonl has another caption than the one that was taken for a.png.",
        "The file beside the picture says something else than metadata.jsonl, which was taken, "
        "for b.png.",
    ]


def test_a_caption_is_neither_cut_nor_read_through_a_link(tmp_path: Path) -> None:
    with_pictures(tmp_path / "data", "a.png", "b.png")
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "data/b.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "data/a.txt").write_text("a" * 2_001)
    with pytest.raises(InvalidValue, match=r"text in a\.png has 2,001 characters; at most 2,000"):
        read_captions(tmp_path / "data", 9)
    (tmp_path / "data/a.txt").write_text("a cat")
    assert [row.name for row in read_captions(tmp_path / "data", 9).rows] == ["a.png"]


def test_too_many_captioned_pictures_are_refused(tmp_path: Path) -> None:
    for picture in ("a", "b", "c"):
        with_pictures(tmp_path, f"{picture}.png")
        (tmp_path / f"{picture}.txt").write_text(picture)
    with pytest.raises(InvalidValue, match="3 pictures with captions; give from 1 to 2"):
        read_captions(tmp_path, 2)
