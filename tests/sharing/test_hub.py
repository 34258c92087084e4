"""What came from the Hub is run again at its commit, fine-tunes on it too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.datasets.samples import from_texts, read_folder
from pipelines.evaluation.card import card
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import replay as replay_evaluation
from pipelines.evaluation.request import Describing, EvaluationRequest, Writing
from pipelines.events import with_result
from pipelines.image_captioning import pipeline as describing
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.documents import as_json
from pipelines.sharing.replay import replay
from tests import tiny_models
from tests.evaluation.conftest import make_scenes
from tests.hub import conftest as hub_fixtures
from tests.loopback_hub import MAIN, Hub, Repository
from tests.running import finished

hub, online = hub_fixtures.hub, hub_fixtures.online
PICTURE = Image.new("RGB", (64, 48), "orange")


@pytest.fixture
def studio(online: Settings, hub: Hub, models_dir: Path) -> Studio:
    hub.repositories["ada/captioner"] = Repository(models_dir / "tiny-captioner")
    hub.repositories["ada/writer"] = Repository(models_dir / "tiny-writer")
    tales = online.data_dir / "models" / "my-tales"
    tiny_models.make_text_lora(tales, models_dir / "tiny-writer")
    return Studio(online)


def last(run: Any) -> Any:
    *_, result = with_result(run)
    return result


def test_a_receipt_of_a_captioner_names_its_commit_and_gives_the_same(studio: Studio) -> None:
    request = describing.CaptionRequest("ada/captioner", PICTURE, max_new_tokens=6)
    receipt = json.loads(json.dumps(finished(describing.generate, studio, request).receipt))
    assert receipt["model"]["commit"] == MAIN
    assert last(replay(studio, receipt, PICTURE)).is_equal


def test_a_card_of_a_captioner_is_equal_though_it_is_asked_for_at_its_commit(
    studio: Studio, tmp_path: Path
) -> None:
    data = read_folder(make_scenes(tmp_path / "scenes", 4))
    models = ("tiny-captioner", "ada/captioner")
    request = EvaluationRequest(
        "describe", data, models, ("bleu",), 4, settings=Describing(max_new_tokens=6)
    )
    old = json.loads(as_json(card(finished(generate, studio, request))))
    again = last(replay_evaluation(studio, old, data))
    assert again.made["models"][1]["name"] == f"ada/captioner@{MAIN}"
    assert [line.text for line in again.lines if not line.is_equal] == []


def test_a_card_of_a_fine_tune_on_a_model_of_the_hub_is_equal(studio: Studio) -> None:
    data = from_texts("tales", b"once upon a time\nthere was a king", studio.settings.limits)
    models = ("ada/writer", "ada/writer + my-tales:0.7")
    request = EvaluationRequest("write", data, models, settings=Writing(max_new_tokens=4))
    old = json.loads(as_json(card(finished(generate, studio, request))))
    again = last(replay_evaluation(studio, old, data))
    assert again.made["models"][1]["name"] == f"ada/writer@{MAIN} + my-tales:0.7"
    assert [line.text for line in again.lines if not line.is_equal] == []
