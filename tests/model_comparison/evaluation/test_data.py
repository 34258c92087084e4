"""Data sets: what is in them, what they are hashed by, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.model_comparison.evaluation import archive, data
from pipelines.model_comparison.evaluation.archive import read_archive
from pipelines.model_comparison.evaluation.data import DataSet, embedded, from_texts, read_folder
from pipelines.settings import Limits
from tests.model_comparison.evaluation.conftest import make_scenes, zipped

LIMITS = Limits()


def test_the_held_out_scenes_have_pictures_and_five_wordings() -> None:
    scenes = embedded("emoji-scenes")

    assert len(scenes.samples) == 512
    assert scenes.has_pictures
    assert all(len(sample.references) == 5 for sample in scenes.samples)
    assert scenes.samples[0].references[0] == scenes.samples[0].text
    assert scenes.samples[0].picture(LIMITS).size == (128, 128)
    assert scenes.signature == f"emoji-scenes@{scenes.sha256[:16]}"


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


def test_a_larger_draw_holds_the_smaller_one() -> None:
    scenes = embedded("emoji-scenes")
    few, many = scenes.drawn(16, seed=3), scenes.drawn(64, seed=3)

    assert [s.index for s in few] == sorted(s.index for s in few)
    assert {s.index for s in few} < {s.index for s in many}
    assert few != scenes.drawn(16, seed=4)
    assert scenes.drawn(10_000, seed=0) == list(scenes.samples)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "file_name"),
        ('{"text": "a"}', "file_name"),
        ('{"file_name": "0.png"}', "text"),
        ('{"file_name": "0.png", "text": " "}', "text"),
        ('{"file_name": "0.png", "text": 5}', "text"),
        ('{"file_name": "0.png", "text": "a", "wordings": "b"}', "wordings"),
        ('{"file_name": "0.png", "text": "a", "wordings": [null]}', "wordings"),
        ('{"file_name": "none.png", "text": "a"}', "none.png"),
        ('{"file_name": "../scenes/../../secret.png", "text": "a"}', "secret.png"),
        ('{"file_name": "/etc/hostname", "text": "a"}', "hostname"),
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
    again = read_archive(path, "scenes", tmp_path / "tmp", LIMITS)
    assert again == found
    (kept,) = (tmp_path / "tmp").iterdir()
    assert sorted(file.name for file in kept.iterdir()) == [f"{i:05d}" for i in range(5)]


def test_one_picture_may_have_several_texts(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 2)
    with (folder / "metadata.jsonl").open("a") as lines:
        lines.write(json.dumps({"file_name": "0.png", "text": "another"}))
    found = read_archive(zipped(folder, tmp_path / "x.zip"), "x", tmp_path / "tmp", LIMITS)

    assert found.samples[2].file == found.samples[0].file
    assert found.sha256 == read_folder(folder).sha256


def bad_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_:
        for name, content in entries.items():
            archive_.writestr(name, content)
    return path


META = json.dumps({"file_name": "0.png", "text": "a"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"0.png": b"x"}, "0 files called metadata.jsonl"),
        ({"a/metadata.jsonl": META, "b/metadata.jsonl": META}, "2 files called metadata.jsonl"),
        ({"metadata.jsonl": META * 2, "0.png": b"0" * 3_000_000}, "too large"),
        ({"metadata.jsonl": b" " * 17_000_000}, "too large"),
        ({"metadata.jsonl": META}, "1 samples"),
        ({f"{i}": b"" for i in range(101)}, "101 entries"),
    ],
)
def test_a_zip_out_of_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, bytes], words: str
) -> None:
    monkeypatch.setattr(archive, "_MOST_ENTRIES", 100)
    small = Limits(upload_bytes=2_000_000)
    if words == "1 samples":
        entries = {**entries, "0.png": b"x"}
    with pytest.raises(InvalidValue, match=words):
        read_archive(bad_zip(tmp_path / "x.zip", entries), "x", tmp_path / "tmp", small)
    assert [p for p in (tmp_path / "tmp").iterdir() if any(p.iterdir())] == []


def test_all_of_a_zip_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED_BYTES", 100_000)
    rows = b"".join(
        json.dumps({"file_name": f"{i}.png", "text": "a"}).encode() + b"\n" for i in range(3)
    )
    entries = {f"{i}.png": b"0" * 40_000 for i in range(3)}
    path = bad_zip(tmp_path / "x.zip", {"metadata.jsonl": rows, **entries})

    with pytest.raises(InvalidValue, match="too large"):
        read_archive(path, "x", tmp_path / "tmp", LIMITS)


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "encrypted", "large"])
def test_a_damaged_zip_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path = zipped(make_scenes(tmp_path / "scenes", 3), tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this is no ZIP")
    elif damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[60] ^= 0xFF  # in the first file: its checksum tells
    elif damage == "encrypted":
        for sign in (b"PK\x01\x02", b"PK\x03\x04"):
            start = content.find(sign)
            while start >= 0:
                content[start + (8 if sign == b"PK\x01\x02" else 6)] |= 1
                start = content.find(sign, start + 4)
    else:
        monkeypatch.setattr(archive, "MOST_ARCHIVE_BYTES", 100)
    path.write_bytes(content)

    with pytest.raises(InvalidValue, match="ZIP"):
        read_archive(path, "x", tmp_path / "tmp", LIMITS)


def test_a_broken_picture_is_named_when_it_is_looked_at(scenes: DataSet, tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 3)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    found = read_folder(folder)

    assert scenes.samples[0].picture(LIMITS).mode == "RGB"
    with pytest.raises(InvalidValue, match=r"2\.png.*damaged"):
        found.samples[2].picture(LIMITS)
    with pytest.raises(InvalidValue, match=r"0\.png.*pixels"):
        found.samples[0].picture(Limits(picture_pixels=1000))


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
