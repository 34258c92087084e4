"""Data sets: what is in them, what they are hashed by, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.datasets import archives as archive
from pipelines.datasets import samples as data
from pipelines.datasets.archives import read_archive
from pipelines.datasets.samples import (
    DataSet,
    embedded,
    from_json_lines,
    from_texts,
    read_folder,
    read_texts,
)
from pipelines.errors import InvalidValue
from pipelines.settings import Limits
from tests.evaluation.conftest import make_scenes, zipped

LIMITS = Limits()


def test_the_held_out_scenes_have_pictures_and_five_wordings() -> None:
    scenes = embedded("emoji-scenes")

    assert len(scenes.samples) == 512
    assert scenes.has_pictures
    assert all(len(sample.references) == 5 for sample in scenes.samples)
    assert scenes.samples[0].references[0] == scenes.samples[0].text
    assert scenes.samples[0].picture(LIMITS).size == (128, 128)
    assert scenes.signature == f"emoji-scenes@{scenes.sha256[:16]}"


def test_texts_ship_that_neither_the_writer_nor_its_fine_tune_has_seen() -> None:
    speeches = embedded("shakespeare")

    assert len(speeches.samples) == 939
    assert not speeches.has_pictures
    assert speeches.samples[0].text == "GREMIO:\nGood morrow, neighbour Baptista."
    assert speeches.signature == f"shakespeare@{speeches.sha256[:16]}"


@pytest.mark.parametrize("name", ["../models", "assets/datasets/emoji-scenes", "", None, 3, True])
def test_a_name_is_looked_up_and_never_a_path(name: Any) -> None:
    with pytest.raises(InvalidValue, match="emoji-scenes"):
        embedded(name)


def test_lines_are_samples_where_no_line_is_blank() -> None:
    found = from_texts("my tales", b"\xef\xbb\xbfone\r\ntwo words\r\nthree\n", LIMITS)

    assert [sample.text for sample in found.samples] == ["one", "two words", "three"]
    assert [sample.name for sample in found.samples] == ["line 1", "line 2", "line 3"]
    assert found.name == "my-tales"
    assert not found.has_pictures


def test_blank_lines_part_paragraphs() -> None:
    found = from_texts("tales", b"\nfirst\nof two\n \nsecond\n\n\n\nthird\n", LIMITS)

    assert [sample.text for sample in found.samples] == ["first\nof two", "second", "third"]
    assert found.samples[2].name == "paragraph 3"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 samples"),
        (b"one", "1 samples"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"short\n" + b"x" * 20_001, "line 2 has 20,001"),
        (b"a\n" * 10_001, "10,001 samples"),
    ],
)
def test_texts_out_of_bounds_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        from_texts("tales", content, LIMITS)


def test_the_hash_tells_texts_and_pictures_apart(tmp_path: Path) -> None:
    first = read_folder(make_scenes(tmp_path / "a" / "scenes", 3))
    same = read_folder(make_scenes(tmp_path / "b" / "scenes", 3))
    folder = make_scenes(tmp_path / "c" / "scenes", 3)
    Image.new("RGB", (32, 32), "red").save(folder / "1.png")

    assert first.sha256 == same.sha256
    assert first.sha256 != read_folder(folder).sha256
    assert from_texts("x", b"a\nb", LIMITS).sha256 != from_texts("x", b"a\nc", LIMITS).sha256


def test_a_larger_draw_begins_with_the_smaller_one() -> None:
    scenes = embedded("emoji-scenes")
    few, many = scenes.drawn(16, seed=3), scenes.drawn(64, seed=3)

    assert many[:16] == few
    assert few != scenes.drawn(16, seed=4)
    everything = scenes.drawn(10_000, seed=0)
    assert sorted(everything, key=lambda sample: sample.index) == list(scenes.samples)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "Line 3 of metadata"),
        ('{"file_name": "2.png", "text": " "}', r"1 picture without a caption: 2\.png"),
        ('{"file_name": "2.png", "text": "a", "wordings": "b"}', "wordings in line 3"),
        ('{"file_name": "none.png", "text": "a"}', r"none\.png \(there is no such file"),
        ('{"file_name": "../scenes/../../secret.png", "text": "a"}', "inside of the folder"),
        ('{"file_name": "/etc/hostname", "text": "a"}', "inside of the folder"),
    ],
)
def test_a_faulty_line_of_metadata_is_named(tmp_path: Path, row: str, words: str) -> None:
    folder = make_scenes(tmp_path / "in" / "scenes", 3)
    (tmp_path / "secret.png").write_bytes(b"secret")
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join([*lines[:2], row]))

    with pytest.raises(InvalidValue, match=words):
        read_folder(folder)
    with pytest.raises(InvalidValue, match=words):
        read_archive(zipped(folder, tmp_path / "x.zip"), "x", tmp_path / "tmp", LIMITS)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "in" / "scenes", 3)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "1.png").unlink()
    (folder / "1.png").symlink_to(tmp_path / "secret.png")

    with pytest.raises(InvalidValue, match=r"1\.png"):
        read_folder(folder)


@pytest.mark.parametrize("inside", ["", "my set/"])
def test_a_zip_holds_what_its_folder_holds(tmp_path: Path, inside: str) -> None:
    folder = make_scenes(tmp_path / "scenes", 5)
    path = zipped(folder, tmp_path / "scenes.zip", inside)
    found, known = read_archive(path, "scenes", tmp_path / "tmp", LIMITS), read_folder(folder)

    assert found.sha256 == known.sha256
    assert [s.picture(LIMITS).tobytes() for s in found.samples] == [
        s.picture(LIMITS).tobytes() for s in known.samples
    ]
    (kept,) = (tmp_path / "tmp").iterdir()
    assert all(s.file is not None and s.file.is_relative_to(kept) for s in found.samples)
    assert read_archive(path, "scenes", tmp_path / "tmp", LIMITS) == found
    assert list((tmp_path / "tmp").iterdir()) == [kept]


def test_two_runs_may_unpack_one_archive_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(make_scenes(tmp_path / "scenes", 3), tmp_path / "scenes.zip")
    unpack = vars(archive)["unpack"]
    others: list[DataSet] = []

    def unpack_late(*given: Any) -> None:
        monkeypatch.setattr(archive, "unpack", unpack)
        others.append(read_archive(path, "scenes", tmp_path / "tmp", LIMITS))
        unpack(*given)

    monkeypatch.setattr(archive, "unpack", unpack_late)
    assert read_archive(path, "scenes", tmp_path / "tmp", LIMITS) == others[0]
    assert others[0].samples[2].picture(LIMITS).size == (32, 32)


def test_a_picture_that_is_there_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 3)
    (folder / "copy.png").write_bytes((folder / "1.png").read_bytes())
    with (folder / "metadata.jsonl").open("a") as lines:
        lines.write(json.dumps({"file_name": "copy.png", "text": "again"}))
    found = read_folder(folder)

    assert [sample.name for sample in found.samples] == ["0.png", "1.png", "2.png"]
    assert found.notes == ("scenes: 1 picture twice, used once: copy.png = 1.png.",)
    assert embedded("emoji-scenes").notes == ()


def test_wordings_are_right_answers_too(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 2)
    before = read_folder(folder).sha256
    rows = [{"file_name": f"{i}.png", "text": "a", "wordings": ["b"]} for i in range(2)]
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = read_folder(folder)

    assert found.samples[0].references == ("a", "b")
    assert found.sha256 != before


def test_broken_and_huge_pictures_are_told_when_the_set_is_read(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 3)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    Image.new("1", (10_000, 5_000)).save(folder / "1.png")
    words = r"2 pictures that cannot be used: 1\.png .*50,000,000 pixels.*, 2\.png .*damaged"

    with pytest.raises(InvalidValue, match=words):
        read_folder(folder)
    with pytest.raises(InvalidValue, match=words):
        read_archive(zipped(folder, tmp_path / "x.zip"), "x", tmp_path / "tmp", LIMITS)


def test_a_picture_to_look_at_is_no_larger_than_one_to_paint(scenes: DataSet) -> None:
    assert scenes.samples[0].picture(LIMITS).mode == "RGB"
    with pytest.raises(InvalidValue, match=r"0\.png.*pixels"):
        scenes.samples[0].picture(Limits(picture_pixels=1000))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MOST_ARCHIVE_BYTES", 100, "ZIP has .* are allowed"),
        ("MOST_UNPACKED_BYTES", 100, "unpack to"),
        ("MOST_SAMPLES", 1, "4 entries; at most 2"),
    ],
)
def test_a_zip_out_of_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int, words: str
) -> None:
    monkeypatch.setattr(archive, name, value)
    path = zipped(make_scenes(tmp_path / "scenes", 3), tmp_path / "x.zip")
    with pytest.raises(InvalidValue, match=words):
        read_archive(path, "x", tmp_path / "tmp", LIMITS)


def test_one_picture_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="1 usable pictures; at least 2"):
        read_folder(make_scenes(tmp_path / "scenes", 1))


def test_json_lines_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "tales.jsonl"
    rows = [{"text": "one\u2028line", "id": 3}, {"text": " two "}]
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"\ufeff{lines}\n", encoding="utf-8")
    found = read_texts(path, "tales", LIMITS)

    assert [sample.text for sample in found.samples] == ["one\u2028line", "two"]
    assert [sample.name for sample in found.samples] == ["line 1", "line 3"]
    path.rename(tmp_path / "tales.txt")
    assert read_texts(tmp_path / "tales.txt", "tales", LIMITS).samples[0].text.startswith('{"text"')


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Line 2 is '{'"),
        ("[" * 100_000, "Line 2"),
        ("[]", "Line 2"),
        ('{"texts": "a"}', "Line 2"),
        ('{"text": null}', "Line 2"),
        ('{"text": " "}', "Line 2"),
        ('{"text": "\\ud800"}', "Line 2"),
        ('{"text": "' + "x" * 20_001 + '"}', "line 2 has 20,001"),
        ("", "1 samples"),
    ],
    ids=lambda text: text[:16],
)
def test_json_lines_without_texts_are_refused(line: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(words)) as caught:
        from_json_lines("x", f'{{"text": "one"}}\n{line}'.encode(), LIMITS)
    assert len(str(caught.value)) < 300


def test_a_large_file_of_texts_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_TEXT_BYTES", 10)
    (tmp_path / "tales.txt").write_text("a long line\n")
    with pytest.raises(InvalidValue, match="Give a part of it"):
        read_texts(tmp_path / "tales.txt", "tales", LIMITS)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("", "upload"),
        ("a|b@c d", "a-b-c-d"),
        ("x" * 99, "x" * 60),
    ],
)
def test_a_file_name_becomes_plain(name: str, plain: str) -> None:
    assert data.plain_name(name) == plain
