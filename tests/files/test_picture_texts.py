"""Texts in a picture are found wherever they stand, and no bomb is unpacked."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.files.picture_texts import MOST_BYTES, texts_in
from pipelines.settings import ROOT, Limits
from pipelines.sharing.reading import receipt_in_picture

SAID = 'Süß, "quoted", 東京 🐱'


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def text_chunk(kind: str, text: str, keyword: bytes = b"triptych") -> bytes:
    """A chunk as the PNG specification has it; ``iTXt+`` is a packed one."""
    if kind == "tEXt":
        return chunk(b"tEXt", keyword + b"\0" + text.encode("latin-1"))
    if kind == "zTXt":
        return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text.encode("latin-1")))
    data = text.encode()
    packed, data = (b"\1", zlib.compress(data)) if kind == "iTXt+" else (b"\0", data)
    return chunk(b"iTXt", keyword + b"\0" + packed + b"\0de\0Schl\xc3\xbcssel\0" + data)


def write(path: Path, extra: bytes, place: str = "behind") -> Path:
    """A PNG with more chunks before or behind its pixels."""
    Image.new("RGB", (8, 8), "teal").save(path)
    whole = path.read_bytes()
    at = whole.index(b"IDAT" if place == "before" else b"IEND") - 4
    path.write_bytes(whole[:at] + extra + whole[at:])
    return path


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt+"])
def test_a_text_is_found_wherever_and_however_it_stands(
    tmp_path: Path, kind: str, place: str
) -> None:
    said = SAID if kind.startswith("iTXt") else "Süß"
    path = write(tmp_path / "a.png", text_chunk(kind, said), place)
    assert texts_in(path) == {"triptych": said}


def test_a_program_that_saves_again_does_not_lose_the_receipt() -> None:
    """ImageMagick puts texts behind the pixels, where Pillow reads them only once it decodes."""
    original, resaved = (
        receipt_in_picture(ROOT / f"tests/data/receipt-{name}.png", Limits())
        for name in ("original", "resaved")
    )
    assert original == resaved
    assert original["request"]["seed"] == 7


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_no_bomb_is_unpacked(tmp_path: Path, kind: bytes) -> None:
    head = b"triptych\0\0" if kind == b"zTXt" else b"triptych\0\1\0\0\0"
    bomb = chunk(kind, head + zlib.compress(b"x" * 40 * MOST_BYTES))
    path = write(tmp_path / "bomb.png", bomb)
    tracemalloc.start()
    with pytest.raises(InvalidValue, match=r"more than 8\.0 MB"):
        texts_in(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MOST_BYTES


def test_many_texts_are_bounded_together(tmp_path: Path) -> None:
    part = zlib.compress(b"x" * (MOST_BYTES // 2))
    many = b"".join(chunk(b"zTXt", b"k%d\0\0" % i + part) for i in range(3))
    with pytest.raises(InvalidValue, match="more than"):
        texts_in(write(tmp_path / "many.png", many))
    with pytest.raises(InvalidValue, match="more than"):
        texts_in(write(tmp_path / "long.png", text_chunk("tEXt", "x" * (MOST_BYTES + 1))))


@pytest.mark.parametrize(
    "damage",
    [
        chunk(b"tEXt", b"no zero"),
        chunk(b"tEXt", b"\0no keyword"),
        chunk(b"tEXt", b"k" * 80 + b"\0text"),
        chunk(b"zTXt", b"triptych\0\0not packed"),
        chunk(b"zTXt", b"triptych\0\0" + zlib.compress(b"cut off")[:-6]),
        struct.pack(">I", 2**31) + b"tEXttriptych\0",
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"eXIf", b"no TIFF"),
    ],
)
def test_what_is_damaged_is_left_out(tmp_path: Path, damage: bytes) -> None:
    assert "triptych" not in texts_in(write(tmp_path / "damaged.png", damage))


def test_the_first_of_two_counts(tmp_path: Path) -> None:
    both = text_chunk("tEXt", "first") + text_chunk("zTXt", "second")
    assert texts_in(write(tmp_path / "two.png", both)) == {"triptych": "first"}


@pytest.mark.parametrize("ending", ["jpg", "webp", "png"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + SAID.encode("utf-16-be"),
        b"UNICODE\0" + b"\xff\xfe" + SAID.encode("utf-16-le"),
        b"\0" * 8 + SAID.encode(),
        SAID.encode(),
    ],
)
def test_the_comment_of_a_photograph_is_a_text(tmp_path: Path, ending: str, comment: bytes) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (8, 8)).save(path, exif=exif.tobytes())
    assert texts_in(path) == {"UserComment": SAID}


def test_a_picture_without_a_text_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.new("RGB", (8, 8)).save(path)
    assert texts_in(path) == {}
    path.write_bytes(b"\xff\xd8\xff\xe1\xff\xff no picture")
    assert texts_in(path) == {}
