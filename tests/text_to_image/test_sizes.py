"""Sizes are checked at what is painted, and every receipt that is written runs again."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from pipelines.errors import InvalidValue
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.families import FAMILIES
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, checked, with_own_values
from pipelines.text_to_image.sizes import check_painted, own_size
from tests.running import finished, loaded
from tests.text_to_image.tiny_families import make

OWN = {"own-32": 16, "own-1024": 512, "own-1536": 768, "wide": (32, 48)}
"""Cells of latents by folder; the tiny autoencoders have two pixels a cell."""
KINDS = ("stable-diffusion", "lcm", "xl", "sd3", "pixart", "sana", "flux")
SIZES = ((0, 0), (64, 64), (1024, 1024), (1024, 64), (32, 32))
LIMITS = Limits()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    for name, cells in OWN.items():
        make("stable-diffusion", folder / name, sample_size=cells)
    return folder


@pytest.fixture
def studio(tmp_path: Path, folder: Path) -> Studio:
    return Studio(Settings(models_dir=folder, data_dir=tmp_path, hub_enabled=False))


def paint(studio: Studio, **fields: Any) -> PaintResult:
    request = PaintRequest(**{"prompt": "a cat", "steps": 1, "seed": 0, **fields})
    result: PaintResult = finished(painting.generate, studio, request)
    return result


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of the right size in place of the painter's: a megapixel takes too long here."""
    from PIL import Image

    def at_once(painter: Any, request: PaintRequest, seed: int, watcher: Any) -> Image.Image:
        return Image.new("RGB", (request.width, request.height), (seed % 256, 0, 0))

    monkeypatch.setattr(painting, "_denoised", at_once)


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("model", OWN)
def test_every_receipt_that_is_written_runs_again(studio: Studio, model: str) -> None:
    """A painter of 1536 wrote a receipt that it refused, for other sizes end at 1024."""
    painted = 0
    for count, size in product((1, 2, 4, 8), SIZES):
        try:
            result = paint(studio, model=model, count=count, width=size[0], height=size[1])
        except InvalidValue:
            continue
        painted += 1
        again = paint(studio, **result.receipt["request"])
        assert again.receipt["output_sha256"] == result.receipt["output_sha256"]
        assert sum(p.width * p.height for p in result.pictures) <= LIMITS.picture_pixels
    assert painted >= 8


@pytest.mark.usefixtures("blank")
def test_the_models_own_size_counts_towards_the_limit(studio: Studio) -> None:
    """Eight pictures of 1024 were painted where no size was given: twice the limit."""
    with pytest.raises(InvalidValue, match=r"^8 pictures of 1024 × 1024 have 8,388,608 pixels"):
        paint(studio, model="own-1024", count=8)
    assert len(paint(studio, model="own-1024", count=4).pictures) == 4
    with pytest.raises(InvalidValue, match=r"^2 pictures of 1536 × 1536"):
        paint(studio, model="own-1536", count=2)
    small = Studio(replace(studio.settings, limits=Limits(picture_pixels=1024**2)))
    with pytest.raises(InvalidValue, match=r"^width is 1536; give a whole number from 0 to 1024"):
        paint(small, model="own-1536")


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("model", ["own-32", "own-1536"])
def test_a_models_own_size_may_be_given_and_no_other_beyond_the_bounds(
    studio: Studio, model: str
) -> None:
    own = {"own-32": 32, "own-1536": 1536}[model]
    assert paint(studio, model=model, width=own, height=own).pictures[0].size == (own, own)
    for edge in (8, 56, 1032):
        with pytest.raises(InvalidValue, match=rf"^width is {edge}; give .* own size, {own} × "):
            paint(studio, model=model, width=edge, height=64)
        with pytest.raises(InvalidValue, match=rf"^height is {edge}; give a multiple of 8"):
            paint(studio, model=model, width=64, height=edge)


@pytest.mark.usefixtures("blank")
def test_steps_of_the_models_own_count_towards_the_limit(studio: Studio) -> None:
    strict = Studio(replace(studio.settings, limits=Limits(steps=10)))
    with pytest.raises(InvalidValue, match=r"^steps is 30; give a whole number from 1 to 10"):
        paint(strict, model="own-32", steps=None)


@pytest.mark.parametrize(("model", "size"), [("own-32", (32, 32)), ("wide", (96, 64))])
def test_a_small_painter_paints_its_own_size_for_real(
    studio: Studio, model: str, size: tuple[int, int]
) -> None:
    result = paint(studio, model=model)
    assert result.pictures[0].size == size
    again = paint(studio, **result.receipt["request"])
    assert again.pictures[0].tobytes() == result.pictures[0].tobytes()


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "flux"])
def test_the_size_that_is_checked_is_the_one_that_the_library_paints(
    tmp_path: Path, kind: str
) -> None:
    make(kind, tmp_path / "models" / kind)
    studio = Studio(Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False))
    result = paint(studio, model=kind)
    with loaded(studio) as painter:
        own = own_size(painter.pipeline, painter.family)
        pipeline = type(painter.pipeline)(**painter.pipeline.components)
        pipeline.set_progress_bar_config(disable=True)
        options = {} if kind not in ("pixart", "sana") else {"use_resolution_binning": False}
        if not painter.family.tells_size:
            with torch.inference_mode():
                (raw,) = pipeline("a cat", num_inference_steps=1, **options).images
            assert raw.size == own
    assert result.pictures[0].size == own


def test_flux_takes_its_size_from_its_class(tmp_path: Path) -> None:
    make("flux", tmp_path / "flux")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "flux")
    assert own_size(pipeline, FAMILIES["FluxPipeline"]) == (256, 256), "128 cells of two pixels"


class _Named:
    """A pipeline that says no more than it is given."""

    def __init__(self, **known: Any) -> None:
        self.config: dict[str, Any] = {}
        self.__dict__.update(known)

    def __call__(self, width: int | None = None, height: int | None = None) -> None: ...


class _Fixed(_Named):
    def __call__(self, width: int | None = 512, height: int | None = 768) -> None: ...


def test_a_pipeline_says_its_size_in_one_of_five_ways() -> None:
    family = FAMILIES["ZImagePipeline"]
    unet = _Named(config=_Named(sample_size=64))
    assert own_size(_Fixed(unet=unet, vae_scale_factor=8), family) == (512, 768)
    assert own_size(_Named(config={"default_sample_size": 512}), family) == (512, 512), "PRX"
    assert own_size(_Named(default_sample_size=128, vae_scale_factor=8), family) == (1024, 1024)
    assert own_size(_Named(unet=unet), family) == (64, 64), "IF paints pixels"
    assert own_size(_Named(transformer=_Named(config=None)), family) == (1024, 1024), "Z-Image"


def test_a_batch_of_an_evaluation_paints_the_same_size(studio: Studio) -> None:
    from pipelines.text_to_image.batch import paint_batch

    paint(studio, model="own-32")
    with loaded(studio) as painter:
        request = checked(PaintRequest("own-32", "a cat", steps=1, seed=0), LIMITS)
        (picture,) = paint_batch(painter, [with_own_values(painter, request)], lambda: None, ())
        check_painted(painter.pipeline, painter.family, picture.size, LIMITS)
    assert picture.size == (32, 32)
