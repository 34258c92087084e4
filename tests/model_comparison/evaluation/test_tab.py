"""The panel "On a data set", on a page of its own, called as programs and visitors call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from safetensors.torch import save_file

from pipelines.model_comparison.evaluation import tab
from pipelines.settings import Settings
from pipelines.studio import Studio
from tests.model_comparison.evaluation.conftest import make_scenes, zipped

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
}
OUTPUTS = (
    "status verdict scores notes quality distribution comparisons costs gallery differing files"
).split()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, pairs_dir: Path) -> Iterator[Client]:
    data_dir = tmp_path_factory.mktemp("page")
    studio = Studio(Settings(models_dir=pairs_dir, data_dir=data_dir, hub_enabled=False))
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
    for name in ("quality", "distribution"):
        with Image.open(found[name]) as figure:
            assert figure.format == "PNG"
    assert len(found["gallery"]) == len(found["differing"]["data"]) > 0
    assert found["differing"]["headers"] == ["sample", "text", *FIELDS["models"]]
    names = {Path(path).name for path in found["files"]}
    assert {"card.json", "report.md", "report.html"} < names
    (card,) = (path for path in found["files"] if Path(path).name == "card.json")
    assert json.loads(Path(card).read_text())["request"]["seed"] == 0
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
    assert len(found["gallery"] or []) == count * len(found["differing"]["data"])


def test_an_upload_is_a_data_set(client: Client, tmp_path: Path) -> None:
    archive = zipped(make_scenes(tmp_path / "scenes", 4), tmp_path / "mine.zip")
    found = evaluated(client, data="upload", upload=handle_file(str(archive)), sample_size=3)
    assert len(found["gallery"]) <= 3
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
        ({"models": ["emoji-captioner"]}, "1 models"),
        ({"models": None}, "0 models"),
        ({"models": ["emoji-captioner", "/etc"]}, "no model"),
        ({"models": ["emoji-captioner", "<b>x</b>"]}, "&lt;b&gt;"),
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
        task, data, upload, models = tab._build_choice(settings)
        *rest, extractor = tab._build_settings(settings)
        size = gr.Slider()
        given = tab._Given._make([task, data, models, size, *rest, upload, extractor])
    changed = tab._switch(settings, given, "paint")

    assert changed[given.models]["value"] == ["painter-a", "painter-b"]
    assert changed[given.metrics]["value"] == ["kid", "fid", "diversity"]
    assert changed[given.steps]["visible"]
    assert not changed[given.max_new_tokens]["visible"]
    assert not changed[given.extractor]["visible"], "one alone is no choice"
    assert tab._switch(settings, given, "write")[given.max_new_tokens]["value"] == 64

    header = {"Conv2d_1a_3x3.conv.weight": torch.zeros(1), "fc.weight": torch.zeros(1008, 1)}
    save_file(header, tmp_path / "weights.safetensors")
    offered = tab._switch(settings, given, "paint")[given.extractor]
    assert offered["visible"]
    assert offered["choices"] == ["emoji-captioner", "InceptionV3-2015-12-05"]
    assert not tab._switch(settings, given, "describe")[given.extractor]["visible"]
