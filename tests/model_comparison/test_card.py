"""A comparison's card sets the page up, is run again, and is published."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from pipelines.device import hardware
from pipelines.errors import InvalidValue, StudioError
from pipelines.events import Progress, with_result
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.card import card, request_of, setup_of
from pipelines.model_comparison.link import decode
from pipelines.model_comparison.pipeline import CompareRequest, ComparisonResult, generate
from pipelines.model_comparison.replay import replay
from pipelines.model_comparison.report import index_of, write
from pipelines.runtime.receipts import hash_pictures
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.sharing.documents import as_json
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image.pipeline import PaintRequest

PICTURE = Image.new("RGB", (64, 48), "orange")
TEXT = TextRequest("tiny-writer", "<b>Once</b>", max_new_tokens=6, seed=3)
PAINT = PaintRequest("tiny-painter", "a cat", steps=2, seed=3)
CAPTION = CaptionRequest("tiny-captioner", PICTURE, method="sampling", seed=3)
REQUESTS: dict[str, CompareRequest] = {
    "write": CompareRequest("write", TEXT, replace(TEXT, temperature=2.0)),
    "paint": CompareRequest("paint", PAINT, replace(PAINT, steps=3)),
    "describe": CompareRequest("describe", CAPTION, replace(CAPTION, count=2)),
}


@pytest.fixture(scope="module")
def module_studio(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Studio:
    data = tmp_path_factory.mktemp("card-data")
    return Studio(Settings(models_dir=models_dir, data_dir=data, hub_enabled=False))


@pytest.fixture(scope="module")
def results(module_studio: Studio) -> dict[str, ComparisonResult]:
    return {
        task: list(with_result(generate(module_studio, request)))[-1]
        for task, request in REQUESTS.items()
    }


@pytest.mark.parametrize("task", REQUESTS)
def test_a_card_is_json_and_says_what_was_run(
    results: dict[str, ComparisonResult], task: str
) -> None:
    made = card(results[task])
    assert json.loads(as_json(made)) == json.loads(json.dumps(made))
    assert (made["kind"], made["task"], made["schema"]) == ("comparison", task, 1)
    for side in ("left", "right"):
        assert len(made["receipts"][side]["model"]["commit"]) >= 7
        assert made["request"][side]["seed"] == 3
        assert made["measures"][side]["seconds"] > 0
    assert made["versions"]["torch"] and made["device"]["machine"]
    assert made["device"]["hardware"] == hardware()
    assert made["verdict"].startswith("A and B differ in ")


@pytest.mark.parametrize("task", REQUESTS)
def test_opening_a_card_sets_every_field_of_the_page(
    results: dict[str, ComparisonResult], task: str
) -> None:
    made = json.loads(as_json(card(results[task])))
    setup = setup_of(made, Limits())
    assert decode(made["link"].removeprefix("?compare="), Limits()) == setup
    assert (setup["task"], setup["seed"]) == (task, 3)
    left, right = setup["A"], setup["B"]
    assert left["model"] == REQUESTS[task].left.model
    if task == "write":
        assert (setup["prompt"], setup["max_new_tokens"]) == ("<b>Once</b>", 6)
        assert right["temperature"] == 2.0
    if task == "paint":
        assert (left["steps"], right["steps"], left["guidance_scale"]) == (2, 3, -1)
    if task == "describe":
        assert (left["captions"], right["captions"]) == (3, 2)


def test_a_model_of_the_hub_is_opened_at_the_card_s_commit(
    results: dict[str, ComparisonResult],
) -> None:
    made = json.loads(as_json(card(results["write"])))
    made["receipts"]["right"]["model"] = {"reference": "ada/writer", "commit": "c1", "adapters": []}
    assert setup_of(made, Limits())["B"]["model"] == "ada/writer@c1"


@pytest.mark.parametrize("task", REQUESTS)
def test_a_card_run_again_is_equal_line_by_line(
    module_studio: Studio, results: dict[str, ComparisonResult], task: str
) -> None:
    made = json.loads(as_json(card(results[task])))
    *events, again = with_result(replay(module_studio, made, PICTURE))
    assert all(isinstance(event, Progress) for event in events)
    texts = [line.text for line in again.lines]
    assert again.is_equal, texts
    model = REQUESTS[task].left.model
    assert f"A ({model}): the same files" in texts
    assert f"B ({model}): 1 of 1 outputs are equal" in texts
    assert any(text.startswith("version of torch: ") for text in texts)


def test_a_card_from_before_hardware_was_told_is_run_again(
    module_studio: Studio, results: dict[str, ComparisonResult]
) -> None:
    made = json.loads(as_json(card(results["write"])))
    for part in (made, *made["receipts"].values()):
        del part["device"]["hardware"]
    *_, again = with_result(replay(module_studio, made))
    assert again.is_equal
    assert not any("hardware" in line.text for line in again.lines)


def test_what_differs_is_told_with_its_cause(
    module_studio: Studio, results: dict[str, ComparisonResult]
) -> None:
    made = json.loads(as_json(card(results["write"])))
    made["versions"]["torch"] = "1.0"
    made["receipts"]["right"]["output_sha256"] = "0" * 64
    *_, again = with_result(replay(module_studio, made))
    texts = {line.text: line.is_equal for line in again.lines}
    assert not again.is_equal
    assert texts["A (tiny-writer): 1 of 1 outputs are equal"]
    assert not texts["B (tiny-writer): 0 of 1 outputs are equal"]
    assert not texts["What differs may be because of the version of torch."]


def test_another_picture_than_the_card_s_is_refused(
    module_studio: Studio, results: dict[str, ComparisonResult]
) -> None:
    made = card(results["describe"])
    for picture in (None, Image.new("RGB", (64, 48), "green")):
        with pytest.raises(InvalidValue, match="picture"):
            list(replay(module_studio, made, picture))


DAMAGES: list[dict[str, Any]] = [
    {"task": "sing"}, {"task": None}, {"request": None},
    {"request": {}}, {"request": {"left": {}, "right": {}}}, {"receipts": []}, {"receipts": None},
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_damaged_card_is_refused_with_words(
    results: dict[str, ComparisonResult], damage: dict[str, Any]
) -> None:
    with pytest.raises(StudioError):
        request_of(card(results["write"]) | damage)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prompt", 7), ("prompt", "x" * 30_000), ("seed", True), ("temperature", "hot"),
     ("model", "/etc/passwd")],
)  # fmt: skip
def test_a_forged_card_sets_nothing(
    results: dict[str, ComparisonResult], name: str, value: Any
) -> None:
    made = json.loads(as_json(card(results["write"])))
    for side in ("left", "right"):
        made["request"][side][name] = value
        made["receipts"][side]["model"]["reference"] = made["request"][side]["model"]
    made["receipts"]["left"]["model"]["commit"] = "0" * 40
    with pytest.raises(StudioError):
        setup_of(made, Limits())


def test_what_no_link_can_hold_has_none(module_studio: Studio) -> None:
    cool = replace(TEXT, top_k=3)
    *_, result = with_result(generate(module_studio, CompareRequest("write", cool, cool)))
    assert card(result)["link"] is None


@pytest.mark.parametrize("task", REQUESTS)
def test_files_to_keep_hold_card_reports_pictures_and_sections(
    results: dict[str, ComparisonResult], task: str, tmp_path: Path
) -> None:
    names = {path.name for path in write(results[task], card(results[task]), tmp_path)}
    pictures = {"paint": {"a-1.png", "b-1.png"}, "describe": {"input.png"}}.get(task, set())
    assert names == {
        "card.json", "card.md", "report.html", "model-index-a.yaml", "model-index-b.yaml",
        *pictures,
    }  # fmt: skip
    told, page = (tmp_path / "card.md").read_text(), (tmp_path / "report.html").read_text()
    made = json.loads((tmp_path / "card.json").read_text())
    for picture in pictures:
        assert f"]({picture})" in told
        assert Image.open(tmp_path / picture).info == {}
    assert page.count("data:image/png") == len(pictures)
    assert "<b>Once" not in page and "<b>Once" not in told.replace("\\<b", "")
    for text in (told, page):
        assert made["receipts"]["left"]["model"]["commit"] in text
        assert made["receipts"]["right"]["output_sha256"] in text
        assert "Model's size" in text or "Model&#39;s size" in text
    assert re.search(r"\?compare=[\w-]+", page)
    if task == "paint":
        painting = Image.open(tmp_path / "a-1.png")
        assert hash_pictures([painting]) == made["receipts"]["left"]["output_sha256"]


def test_an_index_section_says_that_it_is_of_one_run(
    results: dict[str, ComparisonResult],
) -> None:
    made = card(results["paint"])
    (entry,) = yaml.safe_load(index_of(made, "right"))["model-index"]
    values = {m["type"]: m for r in entry["results"] for m in r["metrics"]}
    assert entry["name"] == "tiny-painter"
    assert values["seconds"]["value"] == made["measures"]["right"]["seconds"]
    assert "says nothing of quality" in values["rate"]["name"]
    assert "seed:3" in str(values["rate"])
