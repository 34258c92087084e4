"""Search: what is here at once, then the Hub's by downloads."""

from __future__ import annotations

import pytest

from pipelines.errors import InvalidValue
from pipelines.hub.search import ModelRow, search
from pipelines.settings import Settings
from tests.loopback_hub import Hub, Repository


@pytest.fixture
def shop(online: Settings, hub: Hub) -> Settings:
    """A Hub with models of several tasks."""
    rows = {
        "ada/small-writer": ("text-generation", 5, {"F16": 100}),
        "ada/t5-writer": ("text2text-generation", 90, {"F32": 100, "I64": 1}),
        "ada/painter": ("text-to-image", 50, None),
        "ada/captioner": ("image-to-text", 7, None),
        "bad--name/x": ("text-generation", 1000, None),
    }
    for name, (tag, downloads, parameters) in rows.items():
        facts = {
            "pipeline_tag": tag,
            "downloads": downloads,
            "likes": 3,
            "gated": "manual" if name == "ada/painter" else False,
            "safetensors": {"parameters": parameters} if parameters else None,
        }
        hub.repositories[name] = Repository(online.models_dir, card={"license": "mit"}, facts=facts)
    return online


def test_models_of_the_task_are_found_with_what_there_is_to_know(shop: Settings) -> None:
    local, first, second = search("write", "", shop).models
    assert (local.reference, local.is_local, local.downloads) == ("tiny-writer", True, None)
    assert local.size_bytes is not None
    assert local.size_bytes > 10_000
    assert first == ModelRow("ada/t5-writer", 90, 3, 408, "mit")
    assert second == ModelRow("ada/small-writer", 5, 3, 200, "mit")


def test_words_choose_among_them(shop: Settings) -> None:
    assert [f.reference for f in search("write", " small ", shop).models] == ["ada/small-writer"]
    found = search("paint", "PAINTER", shop).models
    assert [f.reference for f in found] == ["tiny-painter"]
    assert search("paint", "ada", shop).models[0].is_gated


def test_offline_it_shows_what_is_here_with_a_note(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    result = search("describe", "", shop)
    assert [f.reference for f in result.models] == ["tiny-captioner"]
    assert result.note == "The Hub could not be reached; these models are here."


def test_without_the_hub_nothing_is_asked(settings: Settings, hub: Hub) -> None:
    hub.requests.clear()
    result = search("write", "tiny", settings)
    assert [f.reference for f in result.models] == ["tiny-writer"]
    assert "started without the Hub" in str(result.note)
    assert hub.requests == []


def test_the_hub_is_asked_without_a_token(shop: Settings, hub: Hub) -> None:
    assert search("write", "ada", shop).note is None
    assert hub.requests
    assert not any("authorization" in headers for _, headers in hub.requests)


@pytest.mark.parametrize("query", [None, 7, True, float("nan"), ["a"], "x" * 10_000])
def test_a_query_that_is_none_is_refused(settings: Settings, query: object) -> None:
    with pytest.raises(InvalidValue, match=r"^query "):
        search("write", query, settings)
