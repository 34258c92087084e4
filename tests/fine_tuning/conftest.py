"""A page with one tiny writer, and a tale to train it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.settings import Settings
from tests.tiny_models import make_writer

TEXT = "The wolf went to the house of the old woman, and the old woman opened the door. " * 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_writer(tmp_path / "shipped" / "tiny")
    return Settings(models_dir=tmp_path / "shipped", data_dir=tmp_path / "data", hub_enabled=False)


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    file = tmp_path / "uploaded tale.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file
