"""Pictures that people bring: what is counted, what is refused, and in which words."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.ImageFile import ImageFile

from pipelines.errors import Cancelled, InvalidValue
from pipelines.events import Progress
from pipelines.files.imagefolder import (
    DataLimits,
    check_imagefolder,
    opened,
    read_pairs,
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


def test_further_captions_are_counted_and_are_of_the_data(imagefolder: Path) -> None:
    plain = check_imagefolder(imagefolder, LIMITS)
    assert plain.captions_each == (1, 1)
    add_line(imagefolder, file_name="03.png", text="a dog")
    told = check_imagefolder(imagefolder, LIMITS)
    assert told.captions_each == (1, 2)
    assert told.sha256 != plain.sha256


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
    with pytest.raises(
        InvalidValue, match=r"not ready: 1 picture .* take their lines or files out"
    ):
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


def test_a_link_out_of_the_folder_is_not_followed(imagefolder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "green").save(tmp_path / "secret.png")
    (imagefolder / "link.png").symlink_to(tmp_path / "secret.png")
    add_line(imagefolder, file_name="link.png", text="a secret")
    assert dict(check_imagefolder(imagefolder, LIMITS).broken) == {
        "link.png": "it is a link out of the folder."
    }
    assert read_pairs(imagefolder, LIMITS, within=tmp_path)[1].broken == ()


def test_a_table_tells_texts_as_well(imagefolder: Path) -> None:
    lines = (imagefolder / "metadata.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    before = check_imagefolder(imagefolder, LIMITS)
    (imagefolder / "metadata.jsonl").unlink()
    table = "".join(f"{row['file_name']},{row['text']}\n" for row in rows)
    (imagefolder / "metadata.csv").write_text(f"file_name,text\n{table}")
    assert check_imagefolder(zipped(imagefolder, "in/"), LIMITS) == before


def test_further_texts_stay_with_their_picture(imagefolder: Path) -> None:
    Image.new("RGB", (64, 64), "green").save(imagefolder / "green.png")
    add_line(imagefolder, file_name="green.png", text="a lawn", wordings=["grass"])
    pairs, _ = read_pairs(imagefolder, LIMITS)
    assert (pairs[-1].text, pairs[-1].wordings) == ("a lawn", ("grass",))
    assert pairs[0].wordings == ()


def test_who_is_told_may_end_the_reading(imagefolder: Path) -> None:
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        read_pairs(imagefolder, LIMITS, report=stop)
    assert [progress.fraction for progress in told] == [0, 1 / 12, 2 / 12, 3 / 12]


def test_what_is_no_imagefolder_is_told_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no pictures")
    for path in (tmp_path / "gone", tmp_path / "notes.txt"):
        with pytest.raises(InvalidValue, match="give a folder or a ZIP"):
            check_imagefolder(path, LIMITS)
    with pytest.raises(InvalidValue, match=r'no metadata\.jsonl.*"file_name"'):
        check_imagefolder(tmp_path, LIMITS)


def test_fifty_megapixels_are_broken_and_not_decoded(
    imagefolder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (10_000, 5_000)).save(imagefolder / "huge.png")
    add_line(imagefolder, file_name="huge.png", text="too much")
    loaded: list[tuple[int, int]] = []
    load = ImageFile.load

    def counted(picture: ImageFile) -> Any:
        loaded.append(picture.size)
        return load(picture)

    monkeypatch.setattr(ImageFile, "load", counted)
    ((name, reason),) = check_imagefolder(imagefolder, LIMITS).broken
    assert name == "huge.png"
    assert "50,000,000 pixels; at most 20,000,000" in reason
    assert set(loaded) == {(128, 128)}


def test_the_limits_of_a_picture_are_those_that_are_given(imagefolder: Path) -> None:
    small = replace(LIMITS, picture=replace(Limits(), upload_pixels=100))
    assert len(check_imagefolder(imagefolder, small).broken) == 12
