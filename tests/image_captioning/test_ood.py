"""What the embedded captioner says of pictures that are not of its world, and of those that are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.image_captioning.pipeline import CaptionRequest, CaptionResult, generate
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from tests.running import finished

SCENES = sorted((ROOT / "assets/datasets/emoji-scenes").glob("*.png"))[::16]
PHOTOGRAPHS = [
    Path(gradio.__file__).parent / "media_assets/images" / name
    for name in ("cheetah.jpg", "lion.jpg", "tower.jpg")
]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    data = tmp_path_factory.mktemp("data")
    return Studio(Settings(models_dir=ROOT / "assets/models", data_dir=data, hub_enabled=False))


def is_foreign(studio: Studio, picture: Image.Image) -> bool:
    request = CaptionRequest("emoji-captioner", picture, count=1, max_new_tokens=1)
    result: CaptionResult = finished(generate, studio, request)
    return result.is_foreign


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (200, 200), colour)


def ramp(first: tuple[int, ...], last: tuple[int, ...]) -> Image.Image:
    share = np.linspace(0, 1, 160)[:, None, None]
    row = np.array(first) + (np.array(last) - np.array(first)) * share
    return Image.fromarray(np.broadcast_to(row, (160, 160, 3)).astype(np.uint8))


def noise(spread: int) -> Image.Image:
    values = np.random.default_rng(0).normal(128, spread, (150, 150, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def texture() -> Image.Image:
    """Woven: waves of three scales across each other."""
    rows, columns = np.mgrid[0:256, 0:256] / 256
    waves = np.sin(50 * rows) * np.sin(70 * columns) + np.sin(9 * rows + 4 * columns)
    return Image.fromarray(
        (128 + 60 * waves[..., None] * [1, 0.8, 0.5]).clip(0, 255).astype(np.uint8)
    )


def drawn(ground: str, draw: Callable[[ImageDraw.ImageDraw], object]) -> Image.Image:
    picture = Image.new("RGB", (256, 256), ground)
    draw(ImageDraw.Draw(picture))
    return picture


def house(pen: ImageDraw.ImageDraw) -> None:
    pen.line([(50, 210), (50, 120), (120, 60), (190, 120), (190, 210), (50, 210)], "black", 3)
    pen.rectangle((100, 150, 140, 210), outline="black", width=3)
    pen.line([(50, 120), (190, 120)], "black", 3)


def lines_of_text(pen: ImageDraw.ImageDraw) -> None:
    for y in range(10, 250, 14):
        pen.text((8, y), "The quick brown fox jumps over the lazy dog.", fill="black")


def bars(pen: ImageDraw.ImageDraw) -> None:
    for bar, height in enumerate((40, 120, 90, 180, 60)):
        pen.rectangle((20 + 45 * bar, 230 - height, 50 + 45 * bar, 230), fill="steelblue")


FOREIGN = {
    "white": plain("white"),
    "blue": plain("#4a7adc"),
    "unknown colour": plain("#123456"),
    "soft gradient": ramp((230, 230, 250), (180, 200, 240)),
    "gradient": ramp((255, 0, 0), (0, 0, 255)),
    "noise": noise(60),
    "faint noise": noise(5),
    "stripes": Image.fromarray(
        np.tile(np.array([[[200, 30, 30]] * 16 + [[250] * 3] * 16], np.uint8), (256, 8, 1))
    ),
    "texture": texture(),
    "red disc": drawn("white", lambda pen: pen.ellipse((70, 70, 186, 186), fill=(220, 20, 20))),
    "square": drawn("#f5963c", lambda pen: pen.rectangle((60, 80, 170, 190), fill="navy")),
    "triangle": drawn(
        "white", lambda pen: pen.polygon([(128, 40), (220, 200), (36, 200)], "green")
    ),
    "ring": drawn("white", lambda pen: pen.ellipse((60, 60, 196, 196), outline="black", width=8)),
    "sketch": drawn("white", house),
    "text": drawn("white", lines_of_text),
    "chart": drawn("white", bars),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_picture_is_told(embedded: Studio, kind: str) -> None:
    assert is_foreign(embedded, FOREIGN[kind])


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_a_photograph_is_told(embedded: Studio, path: Path) -> None:
    if not path.is_file():
        pytest.skip("this version of Gradio comes without the photograph")
    assert is_foreign(embedded, Image.open(path).convert("RGB"))


def as_it_is(picture: Image.Image) -> Image.Image:
    return picture


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    return Image.open(file)


def smaller(picture: Image.Image) -> Image.Image:
    return picture.resize((64, 64), Image.Resampling.BICUBIC)


def larger(picture: Image.Image) -> Image.Image:
    return picture.resize((512, 512), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("change", [as_it_is, compressed, smaller, larger])
def test_held_out_scenes_are_at_home(
    embedded: Studio, change: Callable[[Image.Image], Image.Image]
) -> None:
    assert len(SCENES) == 32
    told = [is_foreign(embedded, change(Image.open(path).convert("RGB"))) for path in SCENES]
    assert sum(told) <= 1


@pytest.mark.parametrize("path", sorted((ROOT / "assets/examples").glob("*.png")))
def test_the_pages_examples_are_at_home(embedded: Studio, path: Path) -> None:
    assert not is_foreign(embedded, Image.open(path))
