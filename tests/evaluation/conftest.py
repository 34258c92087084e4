"""Two tiny models of each task, and a data set of pictures and texts of their world."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipelines.datasets.samples import DataSet, read_folder
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from tests import tiny_models

TEXTS = (
    "a cat face on a white background",
    "a red apple on a blue background",
    "a dog face next to a red apple on a white background",
    "a big cat face above a dog face on a blue background",
)


@pytest.fixture(scope="session")
def pairs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of each kind. ``emoji-captioner`` looks at pictures for scores, as on the page."""
    directory = tmp_path_factory.mktemp("pairs")
    tiny_models.make_writer(directory / "writer-a")
    tiny_models.make_writer(directory / "writer-b", seed=1)
    tiny_models.make_painter(directory / "painter-a")
    tiny_models.make_painter(directory / "painter-b", seed=1)
    tiny_models.make_captioner(directory / "emoji-captioner")
    tiny_models.make_captioner(directory / "other-captioner", seed=1)
    return directory


@pytest.fixture
def studio(tmp_path: Path, pairs_dir: Path) -> Studio:
    return Studio(Settings(models_dir=pairs_dir, data_dir=tmp_path / "data", hub_enabled=False))


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "scenes", 12)


@pytest.fixture
def scenes(scenes_dir: Path) -> DataSet:
    """Twelve pictures with texts."""
    return read_folder(scenes_dir)


def make_scenes(folder: Path, count: int) -> Path:
    """An imagefolder of so many small pictures, all different."""
    folder.mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for index in range(count):
            colour = (20 * index % 256, 90 * index % 256, 200)
            picture = Image.new("RGB", (32, 32), "white")
            picture.paste(colour, (index, 4, index + 12, 20))
            picture.save(folder / f"{index}.png")
            row = {"file_name": f"{index}.png", "text": TEXTS[index % len(TEXTS)]}
            lines.write(json.dumps(row) + "\n")
    return folder


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    """The folder's files in a ZIP, below ``inside``."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, inside + file.name)
    return path
