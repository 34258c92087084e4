"""Pictures from strangers: refused before they cost memory, or opened upright and clean."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import AvifImagePlugin, Image, ImageChops, ImageDraw, PngImagePlugin

from pipelines.errors import InvalidValue
from pipelines.files.avif import coded_sizes
from pipelines.files.images import FORMATS, check_pixels, on_white, open_picture
from pipelines.settings import ROOT, Limits
from tests.heif_writer import add_heif_writer

add_heif_writer()
LIMITS = Limits()
MIB = 1024**2


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(InvalidValue, match="0 bytes"):
        open_picture(path, LIMITS)


@pytest.mark.parametrize("name", ["missing.png", "", "\0"])
def test_what_is_not_there_is_refused_without_telling_where(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        open_picture(tmp_path / name, Limits())
    assert str(tmp_path) not in str(caught.value)
    assert "Upload it again" in str(caught.value) or "choose another" in str(caught.value)


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    Image.effect_noise((256, 256), 90).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidValue, match="damaged or incomplete"):
        open_picture(path, LIMITS)


@pytest.mark.parametrize("kept", [10, 40, 100, 500])
def test_a_png_cut_anywhere_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidValue):
        open_picture(path, LIMITS)


@pytest.mark.parametrize("content", [b"hello, I am a text", b"%PDF-1.7", b"<svg/>", b"\0" * 5000])
def test_what_is_no_picture_is_refused_with_the_formats(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=r"allowed are PNG, .*TIFF, AVIF, HEIF \(HEIC is HEIF\)"):
        open_picture(path, LIMITS)


@pytest.mark.parametrize("other", ["PPM", "ICO", "EPS", "PDF"])
def test_other_formats_are_refused_under_any_name(tmp_path: Path, other: str) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (16, 16), "red").save(path, format=other)
    with pytest.raises(InvalidValue, match="no picture that can be read here"):
        open_picture(path, LIMITS)


def test_too_many_bytes_are_refused_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "fat.bmp"
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(InvalidValue, match=r"has 0\.0 MB; at most 0\.0 MB"):
        open_picture(path, Limits(upload_bytes=1000))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(path: Path, width: int, height: int) -> Path:
    """A valid grey PNG of one colour: about a thousandth of a byte a pixel."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def test_fifty_megapixels_in_twenty_kilobytes_are_refused_in_little_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 8000, 6250)
    assert path.stat().st_size < 25_000
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pipelines.errors import InvalidValue\n"
        "from pipelines.files.images import open_picture\n"
        "from pipelines.settings import Limits\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try:\n"
        "    open_picture(Path(sys.argv[1]), Limits())\n"
        "except InvalidValue as error:\n"
        "    print(peak() - before, error)\n"
    )
    run = [sys.executable, "-c", program, str(path)]
    output = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    grown_kib, _, message = output.partition(" ")
    assert "8,000 × 6,250 = 50,000,000 pixels; at most 20,000,000" in message
    assert int(grown_kib) < 16 * 1024


def test_a_gigapixel_bomb_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="at most 20,000,000"):
        open_picture(bomb(tmp_path / "bomb.png", 40_000, 10_000), LIMITS)


def test_a_picture_at_the_limit_passes() -> None:
    check_pixels(5_000, 4_000, LIMITS)
    with pytest.raises(InvalidValue):
        check_pixels(5_000, 4_001, LIMITS)


@pytest.mark.parametrize("kind", ["png", "tif", "avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright_whatever_its_exif_says(
    tmp_path: Path, orientation: int, kind: str
) -> None:
    upright = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(upright).rectangle((0, 0, 31, 31), fill="red")  # marks the upper left
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{kind}"
    stored.save(path, exif=exif.tobytes())

    opened = open_picture(path, LIMITS)

    assert opened.size == upright.size
    blocks = ImageChops.difference(opened, upright).reduce(16)
    assert np.asarray(blocks).max() < 24


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 0, 255))
    path = tmp_path / "clear.png"
    clear.convert(mode).save(path)

    opened = open_picture(path, LIMITS)

    assert opened.mode == "RGB"
    assert opened.getpixel((4, 4)) == (255, 255, 255)
    assert opened.getpixel((0, 0)) == (0, 0, 0)


def test_half_transparent_colours_mix_with_white() -> None:
    assert on_white(Image.new("RGBA", (1, 1), (255, 0, 0, 51))).getpixel((0, 0)) == (255, 204, 204)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "avif", "heic"])
def test_metadata_stays_behind(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"  # where the picture was taken
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "private")
    path = tmp_path / f"photo.{kind}"
    Image.new("RGB", (64, 64), "red").save(path, exif=exif, pnginfo=text)
    assert b"camera" in path.read_bytes()

    opened = open_picture(path, LIMITS)
    again = io.BytesIO()
    opened.save(again, "PNG")

    assert opened.info == {}
    assert not opened.getexif()
    assert b"private" not in again.getvalue()
    assert b"camera" not in again.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_the_list_opens(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", (32, 16), (250, 10, 10)).save(path, kind)
    opened = open_picture(path, LIMITS)
    red, green, blue = opened.getpixel((5, 5))  # type: ignore[misc]
    assert opened.size == (32, 16)
    assert red > 230
    assert max(green, blue) < 30


def test_the_library_that_reads_heif_has_no_encoder() -> None:
    """That of pillow-heif is x265, under the GPL."""
    import pi_heif  # type: ignore[import-untyped]

    assert "x265" not in str(pi_heif.libheif_info())
    assert Image.OPEN["HEIF"][0].__module__.startswith("pi_heif")


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "I;16", "P"])
def test_every_kind_of_pixels_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    Image.new(mode, (8, 8)).save(path)
    assert open_picture(path, LIMITS).mode == "RGB"


RAMP = np.tile(np.arange(256), (16, 1))
"""Every level of eight bits, from left to right."""


def deep_png(
    path: Path, pixels: npt.NDArray[Any], colour: int, clear: tuple[int, ...] = ()
) -> Path:
    """A PNG of 16 bits; Pillow writes none in colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if clear:
        parts.insert(1, (b"tRNS", struct.pack(f">{len(clear)}H", *clear)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def levels(picture: Image.Image) -> npt.NDArray[Any]:
    """The grey levels of a row, from left to right."""
    pixels = np.asarray(picture)
    assert (pixels == pixels[..., :1]).all()
    return pixels[pixels.shape[0] // 2, :, 0]


def test_a_ramp_of_16_bits_keeps_256_levels() -> None:
    """It came out in two, nearly all of it white."""
    assert (levels(open_picture(ROOT / "tests/data/ramp-16bit.png", LIMITS)) == RAMP[0]).all()


@pytest.mark.parametrize(
    ("kind", "white"),
    [
        *[("<u2", 65535), (">u2", 65535), ("i4", 65535), ("i4", 255)],
        *[("i4", 2**30), ("i4", 100_000), ("f4", 1.0), ("f4", 40_000.0)],
    ],
)
def test_deep_grey_is_scaled_and_not_cut_off(tmp_path: Path, kind: str, white: float) -> None:
    picture = Image.fromarray((RAMP * (white / 255)).astype(kind))
    assert abs(levels(on_white(picture)).astype(int) - RAMP[0]).max() <= 1
    picture.save(tmp_path / "ramp.tif")
    assert abs(levels(open_picture(tmp_path / "ramp.tif", LIMITS)).astype(int) - RAMP[0]).max() <= 1


def test_a_tiff_whose_zero_is_white_is_not_a_negative(tmp_path: Path) -> None:
    picture = Image.fromarray((65535 - RAMP * 257).astype("<u2"))
    path = tmp_path / "ramp.tif"
    picture.save(path)
    black, white = (struct.pack("<HHIH", 262, 3, 1, value) for value in (1, 0))
    path.write_bytes(path.read_bytes().replace(black, white))  # the tag that says what 0 is
    assert (levels(open_picture(tmp_path / "ramp.tif", LIMITS)) == RAMP[0]).all()


def test_floats_that_are_no_numbers_are_shown(tmp_path: Path) -> None:
    values = (RAMP / 255).astype("f4")
    values[0, :3] = np.nan, np.inf, -np.inf
    assert (levels(on_white(Image.fromarray(values))) == RAMP[0]).all()
    assert on_white(Image.new("F", (2, 2), -3.0)).size == (2, 2)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_16_bits_are_scaled(tmp_path: Path, colour: int, channels: int) -> None:
    pixels = np.stack([RAMP * 257] * channels, axis=-1)
    if colour in (4, 6):
        pixels[..., -1] = 65535
    path = deep_png(tmp_path / "ramp.png", pixels, colour)
    assert (levels(open_picture(path, LIMITS)) == RAMP[0]).all()


def test_a_transparent_value_of_16_bits_becomes_white(tmp_path: Path) -> None:
    path = deep_png(tmp_path / "ramp.png", RAMP * 257, 0, (0,))
    assert levels(open_picture(path, LIMITS))[:3].tolist() == [255, 1, 2]


@pytest.mark.parametrize("kind", ["tif", "avif", "heic"])
def test_what_a_phone_or_a_camera_sends_keeps_to_the_bounds(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photo.{kind}"
    Image.new("RGB", (200, 100), "red").save(path)
    with pytest.raises(InvalidValue, match=r"200 × 100 = 20,000 pixels; at most 1,000"):
        open_picture(path, Limits(upload_pixels=1000))
    whole = path.read_bytes()
    for kept in (20, 100, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:kept])
        with pytest.raises(InvalidValue):
            open_picture(path, LIMITS)


def test_a_small_size_that_is_claimed_decodes_no_large_picture(tmp_path: Path) -> None:
    path = tmp_path / "lie.heic"
    Image.new("RGB", (2000, 1000), "red").save(path, quality=30)
    claimed, real = (b"ispe" + struct.pack(">III", 0, *s) for s in ((64, 64), (2000, 1000)))
    path.write_bytes(path.read_bytes().replace(real, claimed))
    with pytest.raises(InvalidValue):
        open_picture(path, LIMITS)


def lying_avif(path: Path, size: tuple[int, int], **options: Any) -> Path:
    """An AVIF file that claims to be 64 pixels wide and high."""
    Image.new("RGB", size, "red").save(path, quality=30, speed=10, **options)
    claimed, real = (b"ispe" + struct.pack(">III", 0, *s) for s in ((64, 64), size))
    assert real in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(real, claimed))
    return path


def test_an_avif_that_claims_a_small_size_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 million pixels were decoded, more than twice of what is allowed."""
    path = lying_avif(tmp_path / "lie.avif", (2000, 1000))
    monkeypatch.setattr(AvifImagePlugin.AvifImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InvalidValue, match="2,000 × 1,000"):
        open_picture(path, Limits(upload_pixels=1_000_000))


def test_an_avif_of_several_frames_is_bounded_as_well(tmp_path: Path) -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (2000, 1000), "blue")]}
    path = lying_avif(tmp_path / "lie.avif", (2000, 1000), **frames)
    assert set(coded_sizes(path.read_bytes())) == {(2000, 1000)}


def test_the_coded_size_of_an_avif_is_found_in_any_kind(tmp_path: Path) -> None:
    for number, (mode, size) in enumerate(
        [("RGB", (1, 1)), ("RGBA", (640, 333)), ("L", (77, 500)), ("RGB", (3000, 2))]
    ):
        path = tmp_path / f"{number}.avif"
        Image.new(mode, size).save(path, speed=10)
        found = list(coded_sizes(path.read_bytes()))
        assert set(found) == {size}
        assert len(found) == (2 if mode == "RGBA" else 1)
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        with contextlib.suppress(ValueError):
            list(coded_sizes(whole[:end]))


def test_a_tiffs_tiles_are_bounded_as_well(tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 8000, 323: 6256, 324: 8, 325: 9}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    with pytest.raises(InvalidValue, match="8,000 × 6,256"):
        open_picture(path, LIMITS)
