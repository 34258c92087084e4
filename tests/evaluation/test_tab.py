"""The panel "On a data set", on a page of its own, called as programs and visitors call it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from safetensors.torch import save_file

from pipelines.evaluation import evaluation_form as form
from pipelines.evaluation import tab
from pipelines.evaluation.link import decode, encode
from pipelines.evaluation.request import Painting, Writing
from pipelines.evaluation.setup import setup_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.sharing.tab import wire_openings
from pipelines.tasks import TASKS
from tests.evaluation.conftest import make_scenes, zipped
from tests.evaluation.test_setup import card_of

FIELDS = {
    "task": "describe",
    "data": "emoji-scenes",
    "models": ["emoji-captioner", "other-captioner"],
    "sample_size": 4,
    "metrics": ["rouge_l", "exact_match"],
    "seed": 0,
    "max_new_tokens": 6,
    "temperature": 0.7,
    "method": "beams",
    "steps": 1,
    "guidance_scale": 1,
    "clip": None,
    "upload": None,
    "extractor": None,
    "no_repeat_ngram_size": -1,
    "repetition_penalty": -1,
}
OUTPUTS = (
    "status verdict scores notes quality distribution comparisons costs gallery differing files "
    "training address"
).split()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, pairs_dir: Path) -> Iterator[Client]:
    data_dir = tmp_path_factory.mktemp("page")
    models = shutil.copytree(pairs_dir, data_dir / "models")
    log = "".join(f'{{"step": {step}, "loss": {9 - step}}}\n' for step in range(3))
    (models / "other-captioner" / "training_log.jsonl").write_text(log)
    studio = Studio(Settings(models_dir=models, data_dir=data_dir, hub_enabled=False))
    with gr.Blocks(analytics_enabled=False) as page:
        tab.build(studio, {"concurrency_id": "compute", "concurrency_limit": 1})
    page.queue(api_open=False)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", show_error=True,
        allowed_paths=[str(data_dir / "tmp")], ssr_mode=False,
    )  # fmt: skip
    client = Client(url, verbose=False, download_files=str(data_dir / "got"))
    yield client
    client.close()
    page.close()


def evaluated(client: Client, **changed: Any) -> dict[str, Any]:
    fields = {**FIELDS, **changed}
    values = client.predict(*fields.values(), api_name="/evaluate")
    return {name: _plain(value) for name, value in zip(OUTPUTS, values, strict=True)}


def _plain(value: Any) -> Any:
    is_update = isinstance(value, dict) and value.get("__type__") == "update"
    return value.get("value") if is_update else value


def test_an_evaluation_gives_everything_that_was_found(client: Client) -> None:
    found = evaluated(client)

    assert "Done · 8 samples computed now" in found["status"]
    assert found["verdict"].startswith("other-captioner against emoji-captioner: ")
    assert found["scores"]["headers"] == ["model", "ROUGE-L ↑", "Exact match ↑"]
    assert [row[0] for row in found["scores"]["data"]] == FIELDS["models"]
    assert len(found["comparisons"]["data"]) == 2
    assert len(found["costs"]["data"]) == 2
    for name in ("quality", "distribution", "training"):
        with Image.open(found[name]) as figure:
            assert figure.format == "PNG"
    assert len(found["gallery"]) == len(found["differing"]["data"]) > 0
    assert found["differing"]["headers"] == ["sample", "text", *FIELDS["models"]]
    names = {Path(path).name for path in found["files"]}
    assert {"card.json", "report.md", "report.html"} < names
    (card,) = (path for path in found["files"] if Path(path).name == "card.json")
    made = json.loads(Path(card).read_text())
    assert made["request"]["seed"] == 0
    address = found["address"]
    assert address.startswith("?evaluate=")
    linked, told = decode(address.removeprefix("?evaluate="), Limits()), setup_of(made, Limits())
    assert linked.data == "emoji-scenes"
    assert linked.request.models == told.request.models == tuple(FIELDS["models"])
    assert linked.request.settings == told.request.settings
    assert "Done · 0 samples computed now" in evaluated(client)["status"], "all were kept"


@pytest.mark.parametrize(
    ("task", "models", "metrics", "count"),
    [
        ("write", ["writer-a", "writer-b"], [], 0),
        ("paint", ["painter-a", "painter-b"], ["kid", "diversity"], 2),
    ],
)
def test_the_other_tasks_run_too(
    client: Client, task: str, models: list[str], metrics: list[str], count: int
) -> None:
    found = evaluated(client, task=task, models=models, metrics=metrics)

    assert [row[0] for row in found["scores"]["data"]] == models
    assert found["verdict"]
    assert found["training"] is None, "there is no log"
    assert len(found["gallery"] or []) == count * len(found["differing"]["data"])


def test_an_upload_is_a_data_set(client: Client, tmp_path: Path) -> None:
    archive = zipped(make_scenes(tmp_path / "scenes", 4), tmp_path / "mine.zip")
    found = evaluated(client, data="upload", upload=handle_file(str(archive)), sample_size=3)
    assert len(found["gallery"]) <= 3
    assert found["address"] is None
    assert "There is no link to an evaluation on a file" in found["notes"]
    texts = tmp_path / "tales.txt"
    texts.write_text("once upon a time\nthere was a king\n")
    found = evaluated(
        client, task="write", data="upload", upload=handle_file(str(texts)), metrics=None,
        models=["writer-a", "writer-b"],
    )  # fmt: skip
    assert found["scores"]["headers"][1] == "Bits per byte ↓"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"task": "sing"}, "'paint', 'describe'"),
        ({"data": "/etc/passwd"}, "emoji-scenes"),
        ({"data": None}, "emoji-scenes"),
        ({"data": "upload"}, "no file"),
        ({"models": []}, "0 models"),
        ({"models": None}, "0 models"),
        ({"models": ["emoji-captioner", "/etc"]}, "no model"),
        ({"models": ["emoji-captioner", "<b>x</b>"]}, "<b>x</b>"),
        ({"metrics": ["fid"]}, "metrics"),
        ({"sample_size": True}, "sample_size"),
        ({"sample_size": 10**9}, "sample_size"),
        ({"seed": None}, "seed"),
        ({"max_new_tokens": 3.5}, "max_new_tokens"),
        ({"method": "luck"}, "beams"),
        ({"task": "paint", "metrics": [], "extractor": "luck"}, "'luck'.*InceptionV3-2015-12-05"),
        (
            {"task": "paint", "metrics": [], "models": ["painter-a", "painter-b"],
             "extractor": "InceptionV3-2015-12-05"},
            "is not on this machine",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_is_answered_in_words(
    client: Client, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        evaluated(client, **changed)


def test_another_task_brings_its_models_metrics_and_settings(
    pairs_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(models_dir=pairs_dir, extra_models_dir=tmp_path, hub_enabled=False)
    with gr.Blocks():
        given = form.build_choice(settings) | form.build_settings(settings)
    assert set(given) == set(form.PARAMETERS)
    changed = form.switch(settings, given, "paint")

    assert changed[given["models"]]["value"] == ["painter-a", "painter-b"]
    assert changed[given["metrics"]]["value"] == ["kid", "clip_score", "diversity"]
    assert changed[given["steps"]]["visible"]
    assert "value" not in changed[given["steps"]], "what was chosen before stays"
    assert not changed[given["max_new_tokens"]]["visible"]
    assert not changed[given["extractor"]]["visible"], "one alone is no choice"
    tokens = {t: form.switch(settings, given, t)[given["max_new_tokens"]]["value"]
              for t in TASKS if t != "paint"}  # fmt: skip
    assert tokens == {"write": 64, "describe": 32}

    header = {"Conv2d_1a_3x3.conv.weight": torch.zeros(1), "fc.weight": torch.zeros(1008, 1)}
    save_file(header, tmp_path / "weights.safetensors")
    offered = form.switch(settings, given, "paint")[given["extractor"]]
    assert offered["visible"]
    assert offered["choices"] == ["emoji-captioner", "InceptionV3-2015-12-05"]
    assert not form.switch(settings, given, "describe")[given["extractor"]]["visible"]


class Panel:
    """The panel without a server: what a card or a link changes, by the widgets' ids."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.file = folder / "card.json"
        with gr.Blocks() as self.blocks:
            opening = tab.build(Studio(settings), {})
            (self.from_link,) = wire_openings(settings, [opening])
            self.fields = opening.fields

    def listeners(self, elem_id: str, event: str) -> list[Any]:
        (widget,) = (b for b in self.blocks.blocks.values() if b.elem_id == elem_id)
        functions = self.blocks.fns.values()
        return [each.fn for each in functions if (widget._id, event) in each.targets]

    def opened(self, content: Any) -> dict[str, Any]:
        self.file.write_text(json.dumps(content))
        (open_card,) = self.listeners("evaluate-open", "upload")
        return self.by_id(open_card(str(self.file)))

    def by_id(self, changed: dict[Any, Any]) -> dict[str, Any]:
        assert set(changed) <= set(self.fields), "only what is an output may change"
        told = {w.elem_id or w.label: update for w, update in changed.items()}
        return {str(name).removeprefix("evaluate-"): update for name, update in told.items()}


@pytest.fixture
def panel(pairs_dir: Path, tmp_path: Path) -> Panel:
    settings = Settings(models_dir=pairs_dir, data_dir=tmp_path, hub_enabled=False)
    return Panel(settings, tmp_path)


def test_a_card_fills_the_panel_in_and_clears_what_was_found_before(panel: Panel) -> None:
    changed = panel.opened(card_of())

    values = {name: update["value"] for name, update in changed.items() if "value" in update}
    expected = {
        "task": "describe", "data": "emoji-scenes",
        "models": ["one", "ada/two@c1 + ada/lora@c2:0.5"],
        "metrics": ["cider", "bleu", "rouge_l", "exact_match"], "samples": 12, "seed": 7,
        "method": "sampling", "temperature": 0.3, "tokens": 9, "upload": None,
        "scores": None, "verdict": None, "files": None, "link": None, "training": None,
    }  # fmt: skip
    assert {name: values[name] for name in expected} == expected
    assert not changed["upload"]["visible"]
    assert not changed["Good to know"]["visible"]
    assert changed["method"]["visible"] and not changed["steps"]["visible"]


@pytest.mark.parametrize(
    ("task", "chosen", "usual"),
    [
        ("write", "emoji-scenes", "shakespeare"),
        ("paint", "shakespeare", "emoji-scenes"),
        ("describe", "emoji-scenes", "emoji-scenes"),
    ],
)
def test_a_task_brings_its_own_data_and_leaves_what_is_not_embedded(
    task: Any, chosen: str, usual: str
) -> None:
    assert form.fitting_data(task, chosen)["value"] == usual
    for own in ("upload", "ada/set@main"):
        assert "value" not in form.fitting_data(task, own)


def test_a_card_of_an_upload_asks_for_the_file(panel: Panel) -> None:
    changed = panel.opened({**card_of(), "data": {"name": "mine", "sha256": "ab" * 32}})

    assert changed["data"]["value"] == "upload"
    assert changed["upload"]["visible"]
    assert "'mine'" in changed["Good to know"]["value"]
    assert "abababababababab" in changed["Good to know"]["value"]
    assert changed["Good to know"]["visible"]


def test_a_card_of_another_task_brings_its_fields(panel: Panel) -> None:
    painting = Painting(7, 2.5, "Euler")
    changed = panel.opened(
        card_of(painting, sample_size=1_000, extractor="InceptionV3-2015-12-05",
                metrics=["kid", "clip_score"], clip="my-clip")
    )  # fmt: skip

    assert changed["steps"]["value"] == 7 and changed["steps"]["visible"]
    assert changed["guidance"]["value"] == 2.5
    assert changed["samples"]["value"] == changed["samples"]["maximum"] == 1_000
    assert changed["clip"]["value"] == "my-clip"
    assert changed["extractor"]["value"] == "InceptionV3-2015-12-05"
    assert changed["extractor"]["visible"], "what is asked for is seen, here or not"
    assert "scheduler is 'Euler'" in changed["Good to know"]["value"]


def test_a_link_fills_the_panel_in(panel: Panel) -> None:
    text = encode(setup_of(card_of(Writing(max_new_tokens=5, temperature=3)), Limits()))
    changed = panel.by_id(panel.from_link(text))

    assert changed["task"]["value"] == "write"
    assert changed["tokens"]["value"] == 5
    assert changed["temperature"]["value"] == changed["temperature"]["maximum"] == 3
    assert changed["metrics"]["value"] == ["bits_per_byte", "perplexity"]
    with pytest.raises(gr.Error, match="The link"):
        panel.from_link("<b>nonsense")


def test_models_that_a_card_set_stay_when_the_task_changes_with_them(panel: Panel) -> None:
    assert len(panel.listeners("evaluate-task", "input")) == 1
    assert panel.listeners("evaluate-task", "change") == []
