"""The texts that stand inside a picture's file, wherever they stand, read within bounds.

PNG: ``tEXt``, ``zTXt`` and ``iTXt`` before or behind the pixels, as programs that save again put
them. JPEG and WebP: the user's comment and what stands beside it in EXIF. No pixel is decoded,
and nothing is unpacked beyond ``MOST_BYTES``.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue

MOST_BYTES = 8 * 1024**2
"""Of all texts in a picture, unpacked. ComfyUI's graphs have some hundred thousand bytes."""
_MOST_CHUNKS = 100_000
_MOST_KEYWORD = 79
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS, _EXIF = (b"tEXt", b"zTXt", b"iTXt"), b"eXIf"
_EXIF_IFD = 0x8769
_EXIF_NAMES = {
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x010E: "ImageDescription",
    0x927C: "MakerNote",
    0x9286: "UserComment",
}
_CODES = {b"UNICODE\0": "utf-16-be", b"ASCII\0\0\0": "ascii", b"\0" * 8: "utf-8"}
"""The first eight bytes of a user's comment (Exif 2.32, 4.6.5), and Python's name for each."""


def texts_in(path: Path) -> dict[str, str]:
    """The texts in a picture's file by keyword, or by the name of their EXIF field.

    Of several with one keyword the first counts. What is damaged is left out.

    Raises:
        InvalidValue: the texts are too long.
    """
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) == _SIGNATURE:
            return _png_texts(file)
    return _exif_texts(path)


def _png_texts(file: BinaryIO) -> dict[str, str]:
    found: dict[str, str] = {}
    of_exif: dict[str, str] = {}
    left = MOST_BYTES
    for kind, content in _chunks(file):
        if kind == _EXIF:
            of_exif = _exif_texts(content)
            continue
        pair = _text_of(kind, content, left)
        if pair is not None:
            left -= len(pair[1])
            found.setdefault(pair[0], pair[1].decode(pair[2], errors="replace"))
    return of_exif | found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of text; what others hold is passed by."""
    size = _size_of(file)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND" or file.tell() + length > size:
            return
        if kind in (*_TEXTS, _EXIF):
            if length > MOST_BYTES:
                raise _too_long()
            yield kind, file.read(length)
            length = 0
        file.seek(length + 4, 1)  # with its checksum, which readers of texts do not need


def _size_of(file: BinaryIO) -> int:
    """How many bytes an open file has; the place in it stays."""
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def _text_of(kind: bytes, content: bytes, most: int) -> tuple[str, bytes, str] | None:
    """Keyword, bytes and encoding of a chunk of text; None where it is damaged."""
    keyword, zero, rest = content.partition(b"\0")
    if not zero or not 0 < len(keyword) <= _MOST_KEYWORD:
        return None
    encoding, is_packed = "latin-1", kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]  # the method, which is always the same
    elif kind == b"iTXt":
        encoding, is_packed = "utf-8", rest[:1] == b"\1"
        _, _, rest = rest[2:].partition(b"\0")  # the language
        _, _, rest = rest.partition(b"\0")  # the keyword in that language
    if is_packed:
        unpacked = _unpacked(rest, most)
        if unpacked is None:
            return None
        rest = unpacked
    if len(rest) > most:
        raise _too_long()
    return keyword.decode("latin-1"), rest, encoding


def _unpacked(data: bytes, most: int) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, most + 1)
    except zlib.error:
        return None
    if len(unpacked) > most:
        raise _too_long()
    return unpacked if unpacker.eof else None


def _too_long() -> InvalidValue:
    return InvalidValue(
        f"The texts in this picture have more than {mebibytes(MOST_BYTES)}; so much is not read. "
        "Give a picture as the program that painted it wrote it."
    )


def _exif_texts(source: Path | bytes) -> dict[str, str]:
    """Of a JPEG or WebP, or of a PNG's block; other files and damaged blocks have none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = _exif_of(source)
            values = {**exif, **exif.get_ifd(_EXIF_IFD)}
    except Exception:
        return {}
    texts = {name: _exif_text(values[tag]) for tag, name in _EXIF_NAMES.items() if tag in values}
    if sum(map(len, texts.values())) > MOST_BYTES:
        raise _too_long()
    return {name: text for name, text in texts.items() if text}


def _exif_of(source: Path | bytes) -> Image.Exif:
    if isinstance(source, bytes):
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + source)
        return exif
    with Image.open(source, formats=("JPEG", "WEBP")) as picture:
        return picture.getexif()


def _exif_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    code = _CODES.get(value[:8])
    if code is None:
        return value.decode("utf-8", errors="replace").strip("\0")
    if code == "utf-16-be" and value[8:10] in (b"\xff\xfe", b"\xfe\xff"):
        code = "utf-16"  # a byte order mark says which
    return value[8:].decode(code, errors="replace").strip("\0")
