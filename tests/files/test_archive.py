"""ZIPs of bad will: nothing leaves the folder, and no more comes out than is allowed."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InvalidValue
from pipelines.files.archive import safe_name, unpack

WORDS = b"a red apple on a blue background\n" * 40


def made(path: Path, entries: dict[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, two steps below the test's own."""
    path = tmp_path / "deep" / "folder"
    path.mkdir(parents=True)
    return path


def unpacked(path: Path, folder: Path, most_files: int = 10, most_bytes: int = 10_000) -> list[str]:
    unpack(path, folder, most_files, most_bytes)
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_in_it_comes_out(tmp_path: Path, folder: Path, method: int) -> None:
    path = made(tmp_path / "x.zip", {"a/0.txt": WORDS, "empty/": b"", "é 1.txt": b"1"}, method)
    assert unpacked(path, folder) == ["a/0.txt", "é 1.txt"]
    assert (folder / "a" / "0.txt").read_bytes() == WORDS


def test_a_mac_s_litter_is_left_out(tmp_path: Path, folder: Path) -> None:
    names = ("__MACOSX/a/._0.png", "a/.DS_Store", ".DS_Store", "a/0.png")
    assert unpacked(made(tmp_path / "x.zip", dict.fromkeys(names, b"x")), folder) == ["a/0.png"]


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_nothing_is_written_outside(tmp_path: Path, folder: Path, name: str) -> None:
    path = made(tmp_path / "x.zip", {"0.png": b"x", name: b"evil"})
    with pytest.raises(InvalidValue, match="inside of the folder"):
        unpacked(path, folder)
    assert [f.name for f in tmp_path.rglob("*") if f.is_file()] == ["x.zip"]


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "/etc/passwd", "../x.png", "a/../../x.png", "..", "C:\\x.png", "a\\b.png"),
        *("C:x.png", "a\0.png", "a\n.png", "x" * 300, None, 7, True, float("nan"), ["a"]),
    ],
)
def test_a_name_that_leads_out_of_its_folder_is_refused(name: Any) -> None:
    with pytest.raises(InvalidValue, match="inside of the folder") as caught:
        safe_name(name)
    assert len(str(caught.value)) < 300


def test_no_file_lies_deeper_than_a_data_set_needs(tmp_path: Path, folder: Path) -> None:
    assert safe_name("a/" * 8 + "0.png")
    path = made(tmp_path / "x.zip", {"a/" * 9 + "0.png": b"x"})
    with pytest.raises(InvalidValue, match="at most 8 folders deep"):
        unpacked(path, folder)
    assert list(folder.iterdir()) == []


def test_a_name_in_its_folder_is_kept() -> None:
    assert safe_name("pictures/..1/0 é.png") == "pictures/..1/0 é.png"


def test_a_link_is_refused(tmp_path: Path, folder: Path) -> None:
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InvalidValue, match=r"'link\.png' in the ZIP is a link"):
        unpacked(made(tmp_path / "x.zip", {entry: b"/etc/passwd"}), folder)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, folder: Path) -> None:
    path = made(tmp_path / "x.zip", {"0.png": b"x", "bomb.png": b"\0" * 2_000_000})
    with pytest.raises(InvalidValue, match=r"'bomb\.png' in the ZIP unpacks to .* more than 200"):
        unpacked(path, folder, most_bytes=10**9)
    assert list(folder.iterdir()) == []


def test_count_and_sum_are_limited(tmp_path: Path, folder: Path) -> None:
    path = made(tmp_path / "x.zip", {f"{i}.txt": WORDS for i in range(5)})
    size = 5 * len(WORDS)
    with pytest.raises(InvalidValue, match="5 entries; at most 4"):
        unpacked(path, folder, most_files=4)
    with pytest.raises(InvalidValue, match=r"unpack to .* or more; at most"):
        unpacked(path, folder, most_bytes=size - 1)
    assert list(folder.iterdir()) == []
    assert len(unpacked(path, folder, most_files=5, most_bytes=size)) == 5


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path, folder: Path) -> None:
    path = made(tmp_path / "x.zip", {"liar.png": b"x" * 9_999}, zipfile.ZIP_STORED)
    honest = (9_999).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(honest) == 4
    path.write_bytes(content.replace(honest, (10).to_bytes(4, "little")))
    with pytest.raises(InvalidValue, match="damaged"):
        unpacked(path, folder)


def test_what_comes_out_is_counted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the entries say: here each opens as something longer."""
    path = made(tmp_path / "x.zip", {f"{i}.txt": b"1" for i in range(3)})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda self, entry: io.BytesIO(b"x" * 4_000))
    with pytest.raises(InvalidValue, match=r"unpack to .* or more"):
        unpacked(path, folder, most_bytes=11_000)
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 11_000


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, folder: Path) -> None:
    path = made(tmp_path / "x.zip", {"0.png": b"one"})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("0.png", b"other")
    with pytest.raises(InvalidValue, match=r"'0\.png' 2 times"):
        unpacked(path, folder)


@pytest.mark.parametrize("names", [("a", "a/b"), ("é" * 200 + ".png",)])
def test_names_that_no_disk_takes_are_told_without_our_folder(
    tmp_path: Path, folder: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidValue, match="cannot be unpacked here") as caught:
        unpacked(made(tmp_path / "x.zip", dict.fromkeys(names, b"x")), folder)
    assert str(tmp_path) not in str(caught.value)


def test_an_unusual_method_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidValue, match="packed in an unusual way"):
        unpacked(made(tmp_path / "x.zip", {"0.txt": WORDS}, zipfile.ZIP_LZMA), folder)


def flipped(content: bytes) -> bytes:
    return content[:60] + bytes([content[60] ^ 0xFF]) + content[61:]


def locked(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-30], "damaged"),
        (lambda content: b"", "damaged"),
        (lambda content: b"this is no ZIP", "damaged"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (flipped, "damaged"),
        (locked, "encrypted"),
    ],
)
def test_a_damaged_zip_is_told(tmp_path: Path, folder: Path, damage: Any, words: str) -> None:
    path = made(tmp_path / "x.zip", {"0.txt": WORDS})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidValue, match=words):
        unpacked(path, folder)


def test_an_empty_zip_is_an_empty_folder(tmp_path: Path, folder: Path) -> None:
    assert unpacked(made(tmp_path / "x.zip", {}), folder) == []
