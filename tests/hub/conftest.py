"""A Hub on loopback for the real client, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipelines.settings import Settings
from tests.loopback_hub import Hub, serve


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """An empty Hub; a test puts its repositories into it."""
    with serve({}) as running:
        yield running


@pytest.fixture
def online(settings: Settings, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings under which references are followed, to the Hub on loopback."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        hub.endpoint + template[template.index("/{repo_id}") :],
    )
    at_once = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    monkeypatch.setattr(file_download, "time", at_once)
    monkeypatch.setattr(_http, "time", at_once)
    hub.repositories.clear()
    hub.requests.clear()
    hub.sent.clear()
    return replace(settings, hub_enabled=True)
