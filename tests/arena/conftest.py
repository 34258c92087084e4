"""Two tiny models for each task, where most tests need but one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from tests import tiny_models

NAMES = {
    "write": ("quick-brown-writer", "lazy-dog-writer", "third-wheel-writer"),
    "paint": ("ochre-painter", "umber-painter"),
    "describe": ("terse-captioner", "wordy-captioner"),
}
"""Names that turn up in no other text, so that a leak can be told."""


@pytest.fixture(scope="session")
def duel_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the models of ``NAMES``, each with weights of its own."""
    directory = tmp_path_factory.mktemp("secret-models")
    makers = {
        "write": tiny_models.make_writer,
        "paint": tiny_models.make_painter,
        "describe": tiny_models.make_captioner,
    }
    for task, names in NAMES.items():
        for seed, name in enumerate(names):
            makers[task](directory / name, seed=seed)
    return directory


@pytest.fixture
def settings(tmp_path: Path, duel_models_dir: Path) -> Settings:
    return Settings(models_dir=duel_models_dir, data_dir=tmp_path / "data", hub_enabled=False)


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)
