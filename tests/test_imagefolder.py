"""Pictures that people bring: what is counted, what is refused, and in which words."""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.imagefolder import (
    DataLimits,
    check_imagefolder,
    opened,
    safe_name,
    usable_pairs,
)
from pipelines.settings import Limits
from tests.recipes.finetune.conftest import write_imagefolder

LIMITS = DataLimits()


@pytest.fixture
def imagefolder(tmp_path: Path) -> Path:
    """Twelve pictures with captions."""
    return write_imagefolder(tmp_path / "pictures")


def add_line(folder: Path, **row: Any) -> None:
    with (folder / "metadata.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


def zipped(folder: Path, inside: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, inside + file.name)
    return path


def test_whole_data_have_no_problems(imagefolder: Path) -> None:
    report = check_imagefolder(imagefolder, LIMITS)
    assert (report.pictures, report.usable, report.sizes) == (12, 12, {"128 × 128": 12})
    assert report.bytes == sum(file.stat().st_size for file in imagefolder.glob("*.png"))
    assert report.problems == report.notes == []


@pytest.mark.parametrize("inside", ["", "my pictures/"])
def test_a_zip_is_the_same_as_its_folder(imagefolder: Path, inside: str) -> None:
    assert check_imagefolder(zipped(imagefolder, inside), LIMITS) == check_imagefolder(
        imagefolder, LIMITS
    )


def test_a_zip_is_gone_after_use(imagefolder: Path) -> None:
    with opened(zipped(imagefolder), LIMITS) as folder:
        assert (folder / "00.png").is_file()
    assert not folder.exists()


def test_the_hash_tells_other_captions_and_other_pictures(imagefolder: Path) -> None:
    before = check_imagefolder(imagefolder, LIMITS).sha256
    path = imagefolder / "metadata.jsonl"
    path.write_text(path.read_text().replace("dog", "cat", 1))
    words = check_imagefolder(imagefolder, LIMITS).sha256
    Image.new("RGB", (128, 128), "white").save(imagefolder / "00.png")
    assert len({before, words, check_imagefolder(imagefolder, LIMITS).sha256}) == 3


def test_what_is_wrong_is_counted_and_named(imagefolder: Path) -> None:
    Image.open(imagefolder / "00.png").save(imagefolder / "copy.bmp")
    add_line(imagefolder, file_name="copy.bmp", text="the same pixels in another file")
    Image.new("RGB", (64, 32), "red").save(imagefolder / "empty.png")
    add_line(imagefolder, file_name="empty.png", text=" \n")
    whole = (imagefolder / "01.png").read_bytes()
    (imagefolder / "half.png").write_bytes(whole[: len(whole) // 2])
    add_line(imagefolder, file_name="half.png", text="a half")
    add_line(imagefolder, file_name="gone.png", text="nothing")
    Image.new("RGB", (8, 200)).save(imagefolder / "thin.png")
    add_line(imagefolder, file_name="thin.png", text="a line")
    Image.new("RGB", (20, 20)).save(imagefolder / "unlisted.jpg")
    report = check_imagefolder(imagefolder, LIMITS)
    assert report.pictures == 17
    assert report.usable == 12
    assert report.sizes["64 × 32"] == 1
    assert report.empty == ("empty.png",)
    assert report.duplicates == (("00.png", "copy.bmp"),)
    assert report.unlisted == ("unlisted.jpg",)
    reasons = dict(report.broken)
    assert list(reasons) == ["half.png", "gone.png", "thin.png"]
    assert "damaged" in reasons["half.png"]
    assert "no such file" in reasons["gone.png"]
    assert "8 × 200" in reasons["thin.png"]
    assert "1 picture without a caption: empty.png" in report.problems[0]
    assert "3 pictures that cannot be used: half.png" in report.problems[1]
    assert "copy.bmp = 00.png" in report.notes[0]
    with pytest.raises(InvalidValue, match=r"not ready: 1 picture .* take their lines out"):
        usable_pairs(imagefolder, LIMITS)


def test_a_duplicate_is_used_once(imagefolder: Path) -> None:
    Image.open(imagefolder / "00.png").save(imagefolder / "copy.png")
    add_line(imagefolder, file_name="copy.png", text="again")
    pairs, report = usable_pairs(imagefolder, LIMITS)
    assert [pair.name for pair in pairs] == [f"{n:02d}.png" for n in range(12)]
    assert report.problems == []


def test_too_few_pictures_are_a_problem(tmp_path: Path) -> None:
    report = check_imagefolder(write_imagefolder(tmp_path / "few", 3), LIMITS)
    assert report.problems == ["3 usable pictures; at least 8 are needed."]


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/passwd", "../x.png", "a/../../x.png", "..", "C:\\x.png", "a\\b.png"),
        *("C:x.png", "a\0.png", "x" * 300, None, 7, True, float("nan"), ["a"], {"a": 1}),
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(imagefolder: Path, name: Any) -> None:
    with pytest.raises(InvalidValue, match="inside of the folder"):
        safe_name(name)
    add_line(imagefolder, file_name=name, text="a secret")
    with pytest.raises(InvalidValue, match="inside of the folder") as caught:
        check_imagefolder(imagefolder, LIMITS)
    assert len(str(caught.value)) < 300


def test_a_link_out_of_the_folder_is_not_followed(imagefolder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "green").save(tmp_path / "secret.png")
    (imagefolder / "link.png").symlink_to(tmp_path / "secret.png")
    add_line(imagefolder, file_name="link.png", text="a secret")
    assert dict(check_imagefolder(imagefolder, LIMITS).broken) == {
        "link.png": "it is a link out of the folder."
    }


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "[]", "null", "7", '{"file_name": "00.png"}', '{"text": "a"}', "[" * 100_000),
        *('{"file_name": "00.png", "text": null}', '{"file_name": "00.png", "text": 7}'),
    ],
    ids=lambda line: line[:20] or "empty",
)
def test_malformed_lines_are_refused_by_their_number(imagefolder: Path, line: str) -> None:
    (imagefolder / "metadata.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(InvalidValue, match=r"Line 2 of metadata.jsonl|has 0 lines") as caught:
        check_imagefolder(imagefolder, LIMITS)
    assert len(str(caught.value)) < 300


def test_metadata_of_other_bytes_are_refused(imagefolder: Path) -> None:
    (imagefolder / "metadata.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InvalidValue, match="not UTF-8"):
        check_imagefolder(imagefolder, LIMITS)


def test_a_long_caption_a_repeated_name_and_too_many_lines_are_refused(imagefolder: Path) -> None:
    with pytest.raises(InvalidValue, match="has 12 lines; give from 1 to 10"):
        check_imagefolder(imagefolder, replace(LIMITS, pictures=10))
    add_line(imagefolder, file_name="00.png", text="once more")
    with pytest.raises(InvalidValue, match=r"names 00\.png twice"):
        check_imagefolder(imagefolder, LIMITS)
    add_line(imagefolder, file_name="x.png", text="a" * 10_000)
    with pytest.raises(InvalidValue, match="has 10,000 characters; at most 2,000"):
        check_imagefolder(imagefolder, LIMITS)


def test_what_is_no_imagefolder_is_told_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no pictures")
    for path in (tmp_path / "gone", tmp_path / "notes.txt"):
        with pytest.raises(InvalidValue, match="give a folder or a ZIP"):
            check_imagefolder(path, LIMITS)
    with pytest.raises(InvalidValue, match=r'no metadata\.jsonl.*"file_name"'):
        check_imagefolder(tmp_path, LIMITS)


def test_too_large_a_picture_is_broken_and_not_decoded(imagefolder: Path) -> None:
    small = replace(LIMITS, picture=replace(Limits(), upload_pixels=100))
    assert len(check_imagefolder(imagefolder, small).broken) == 12


# ZIPs of bad will


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_a_zip_writes_nothing_outside(imagefolder: Path, name: str) -> None:
    path = zipped(imagefolder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(InvalidValue, match="inside of the folder"):
        check_imagefolder(path, LIMITS)
    assert list(imagefolder.parent.rglob("evil*")) == []


def test_a_link_in_a_zip_is_refused(imagefolder: Path) -> None:
    path = zipped(imagefolder)
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InvalidValue, match="is a link"):
        check_imagefolder(path, LIMITS)


def test_a_bomb_is_refused_before_it_is_unpacked(imagefolder: Path) -> None:
    path = zipped(imagefolder)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"\0" * 20_000_000)
    with pytest.raises(InvalidValue, match=r"'bomb\.png' in the ZIP unpacks to .* more than 200"):
        check_imagefolder(path, LIMITS)


def test_the_sum_of_a_zip_is_limited(imagefolder: Path) -> None:
    path = zipped(imagefolder)
    with pytest.raises(InvalidValue, match=r"unpack to .* or more; at most"):
        check_imagefolder(path, replace(LIMITS, unpacked_bytes=2_000))
    with pytest.raises(InvalidValue, match="13 entries; at most 5 pictures"):
        check_imagefolder(path, replace(LIMITS, pictures=5))


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path, imagefolder: Path) -> None:
    path = zipped(imagefolder)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("liar.png", b"x" * 9_999)
    honest = (9_999).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(honest) >= 2
    path.write_bytes(content.replace(honest, (10).to_bytes(4, "little")))
    with pytest.raises(InvalidValue, match=r"damaged|unpacks to|unpack to"):
        check_imagefolder(path, LIMITS)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-30], lambda b: b"", lambda b: b"PK\x05\x06" + b[9:]]
)
def test_a_damaged_zip_is_told(imagefolder: Path, damage: Any) -> None:
    path = zipped(imagefolder)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidValue, match=r"damaged|give a folder or a ZIP"):
        check_imagefolder(path, LIMITS)


def test_a_mac_s_litter_is_left_out(imagefolder: Path) -> None:
    path = zipped(imagefolder, "pictures/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/pictures/._00.png", b"litter")
        archive.writestr("pictures/.DS_Store", b"litter")
    assert check_imagefolder(path, LIMITS).notes == []
