"""What all tests share: tiny models made once, and a studio that knows only them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from tests import tiny_models

_SLOW_PLACES = {
    "page", "recipes", "fine_tuning", "test_app.py", "test_tab.py", "test_ood.py",
    "test_ratings.py", "test_every_type.py",
    "test_set_tests.py", "test_earlier_versions.py", "test_command_line.py",
}  # fmt: skip
"""Where a browser or the page is started, or something is trained or simulated."""
_SLOW_FIXTURES = {"models_dir", "studio", "hub"}
"""What makes models, or serves them as the Hub does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "every type of language model in test_every_type.py; else two dozen"
    parser.addoption("--every-type", action="store_true", help=about)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what ``tests/run --fast`` leaves out."""
    for item in items:
        places = set(item.path.relative_to(ROOT).parts)
        fixtures = set(getattr(item, "fixturenames", ()))
        if _SLOW_PLACES & places or _SLOW_FIXTURES & fixtures:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    """Tiny tensors: more threads would wait for each other, and for other test runs."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet_libraries() -> Iterator[None]:
    """The residency logs failed loads with their traceback; here failing is the point."""
    logger = logging.getLogger("pipelines.runtime.residency")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with tiny-writer, tiny-painter and tiny-captioner. Not to be written to."""
    return tiny_models.make_all(tmp_path_factory.mktemp("models"))


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path) -> Settings:
    """The tiny models, a fresh data directory, and no Hub."""
    return Settings(models_dir=models_dir, data_dir=tmp_path / "data", hub_enabled=False)


@pytest.fixture
def studio(settings: Settings) -> Studio:
    """A studio with nothing in memory."""
    return Studio(settings)
