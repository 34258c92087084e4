"""References: what is on this machine, what the Hub has, and what visitors must not reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ModelUnavailable, StudioError, WrongTask
from pipelines.hub import Task, local_models, local_names, parse_reference, resolve, task_of
from pipelines.settings import ROOT, Settings
from tests.loopback_hub import MAIN, V1, Hub, Repository, serve

TASKS: dict[str, Task] = {
    "tiny-writer": "write",
    "tiny-painter": "paint",
    "tiny-captioner": "describe",
}


@pytest.fixture
def online(settings: Settings) -> Settings:
    """Settings under which a Hub reference would be followed."""
    return replace(settings, hub_enabled=True)


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been downloaded; nothing is."""
    asked: list[str] = []

    def refuse(repo: str, *rest: Any) -> None:
        asked.append(repo)
        raise ModelUnavailable("not in this test")

    monkeypatch.setattr("pipelines.hub._download", refuse)
    return asked


# On this machine


@pytest.mark.parametrize("name", TASKS)
def test_an_embedded_name_gives_its_folder_and_the_hash_of_its_contents(
    settings: Settings, name: str
) -> None:
    snapshot = resolve(name, TASKS[name], settings)
    assert snapshot.path == settings.models_dir / name
    assert snapshot.task == TASKS[name]
    assert len(snapshot.commit) == 40
    weights = sum(f.stat().st_size for f in snapshot.path.rglob("*.safetensors"))
    assert snapshot.weight_bytes == weights > 10_000


def test_spaces_around_a_name_do_not_matter(settings: Settings) -> None:
    assert resolve(" tiny-writer\n", "write", settings).reference == "tiny-writer"


def test_a_picker_lists_the_models_of_its_task(settings: Settings) -> None:
    for name, task in TASKS.items():
        assert local_names(settings, task) == [name]


def test_the_content_hash_follows_the_contents_and_not_the_card(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "tiny-writer"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    own = replace(settings, models_dir=tmp_path / "models")
    commit = resolve("tiny-writer", "write", settings).commit
    assert resolve("tiny-writer", "write", own).commit == commit

    (folder / "README.md").write_text("a card")
    assert resolve("tiny-writer", "write", own).commit == commit

    weights = folder / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert resolve("tiny-writer", "write", own).commit != commit


def test_the_owners_directory_adds_names_and_takes_none_away(
    settings: Settings, tmp_path: Path
) -> None:
    extra = tmp_path / "extra"
    shutil.copytree(settings.models_dir / "tiny-writer", extra / "my-writer")
    shutil.copytree(settings.models_dir / "tiny-painter", extra / "tiny-writer")
    (extra / "notes.txt").parent.mkdir(exist_ok=True)
    (extra / "notes.txt").write_text("no model")
    (extra / "empty").mkdir()
    both = replace(settings, extra_models_dir=extra)
    assert local_names(both, "write") == ["tiny-writer", "my-writer"]
    assert resolve("my-writer", "write", both).path == extra / "my-writer"
    assert resolve("tiny-writer", "write", both).path == settings.models_dir / "tiny-writer"


def test_a_model_directory_that_is_not_there_is_as_an_empty_one(settings: Settings) -> None:
    none = replace(settings, models_dir=Path("/nowhere"), extra_models_dir=Path("/nowhere/else"))
    assert local_models(none) == {}
    with pytest.raises(ModelUnavailable, match=r"choose one that is here \(none\)"):
        resolve("tiny-writer", "write", none)


@pytest.mark.parametrize("name", TASKS)
def test_a_model_of_another_task_is_refused_by_what_it_does(settings: Settings, name: str) -> None:
    others: list[Task] = [task for task in ("write", "paint", "describe") if task != TASKS[name]]
    does = {"write": "writes text", "paint": "paints pictures", "describe": "describes pictures"}
    for task in others:
        with pytest.raises(WrongTask) as caught:
            resolve(name, task, settings)
        assert str(caught.value) == (
            f"{name} {does[TASKS[name]]}; here a model is needed that {does[task]}."
        )


# What is in a folder


def checkpoint(parent: Path, name: str, config: str, *files: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    for file in files:
        (folder / file).write_bytes(b"\0" * 64)
    return folder


LLAMA = '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'


@pytest.mark.parametrize(
    "pickles", [[], ["pytorch_model.bin"], ["model.ckpt", "model.pt", "tf_model.h5"]]
)
def test_a_checkpoint_without_safetensors_is_refused(
    settings: Settings, tmp_path: Path, pickles: list[str]
) -> None:
    checkpoint(tmp_path / "extra", "pickled", LLAMA, *pickles)
    own = replace(settings, extra_models_dir=tmp_path / "extra")
    with pytest.raises(ModelUnavailable, match="pickled has no safetensors weights"):
        resolve("pickled", "write", own)


MALFORMED = [
    "{",
    "",
    "[]",
    "null",
    "7",
    '"llama"',
    "\ufffd\0",
    "[" * 100_000,
    '{"model_type": ["llama"]}',
    '{"model_type": {}, "architectures": []}',
    '{"architectures": {"0": "LlamaForCausalLM"}}',
    '{"architectures": [null]}',
    '{"architectures": 7}',
    '{"architectures": "LlamaForCausalLM"}',
    "{}",
]


@pytest.mark.parametrize("config", MALFORMED, ids=lambda text: text[:24] or "empty")
def test_a_malformed_configuration_is_refused_and_hides_no_other_model(
    settings: Settings, tmp_path: Path, config: str
) -> None:
    checkpoint(tmp_path / "extra", "broken", config, "model.safetensors")
    own = replace(settings, extra_models_dir=tmp_path / "extra")
    for task in ("write", "paint", "describe"):
        with pytest.raises((ModelUnavailable, WrongTask), match=r"^(config\.json of )?broken "):
            resolve("broken", task, own)
    assert local_names(own, "write") == ["tiny-writer"]
    assert resolve("tiny-writer", "write", own).reference == "tiny-writer"


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (LLAMA, "write"),
        ('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}', "write"),
        ('{"model_type": "blip", "architectures": ["BlipForConditionalGeneration"]}', None),
        ('{"model_type": "git", "architectures": ["GitForCausalLM"]}', None),
        ('{"model_type": "vision-encoder-decoder"}', "describe"),
        ('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}', None),
    ],
)
def test_the_task_is_read_from_the_configuration(
    tmp_path: Path, config: str, task: Task | None
) -> None:
    assert task_of(checkpoint(tmp_path, "model", config)) == task


# What visitors type


@pytest.mark.parametrize(
    ("typed", "repo", "revision"),
    [
        ("openai/gpt2", "openai/gpt2", None),
        ("a/b@v1.0", "a/b", "v1.0"),
        ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
        (f"a/b@{MAIN}", "a/b", MAIN),
        ("https://huggingface.co/a/b", "a/b", None),
        ("https://hf.co/a/b/", "a/b", None),
        ("https://huggingface.co/a/b/tree/main", "a/b", "main"),
        ("https://huggingface.co/a/b/blob/v1/config.json", "a/b", "v1"),
    ],
)
def test_a_reference_is_read_in_every_form_that_people_copy(
    online: Settings, typed: str, repo: str, revision: str | None
) -> None:
    assert parse_reference(typed, "write", online) == (repo, revision)


MALICIOUS: list[Any] = [
    "",
    " ",
    "\n\t",
    None,
    0,
    True,
    float("nan"),
    ["tiny-writer"],
    {"a": 1},
    b"tiny-writer",
    "x" * 100_000,
    "a/" * 50_000,
    "x/" + "y" * 100_000,
    "/etc/passwd",
    "/",
    "/tmp",
    "~/models",
    ".",
    "..",
    "../tiny-writer",
    "tiny-writer/../tiny-painter",
    "./tiny-writer",
    "tiny-writer/",
    "tiny-writer\0",
    "a/..",
    "../..",
    "a/b/c",
    "a/b@",
    "a/b@../../etc",
    "a/b@-rf",
    "a--b/c",
    "a\\b",
    "C:\\models\\writer",
    "//server/share",
    "file:///etc/passwd",
    "file://tiny-writer",
    "http://127.0.0.1:7860/",
    "http://169.254.169.254/latest/meta-data",
    "https://huggingface.co.evil.example/a/b",
    "https://evil.example/huggingface.co/a/b",
    "https://user@huggingface.co/a/b",
    "https://huggingface.co/a/b/../../c",
    "https://huggingface.co/spaces/a/b",
    "https://huggingface.co/a",
    "a/b\nc/d",
    "a/b?x=1",
    "a/b#c",
    "%2e%2e/%2e%2e",
    "{0.__class__}/b",
    "$(id)/b",
    "pipelines",
    "tests",
    "assets/models",  # read as a Hub reference at most; see below
    "<img src=x onerror=alert(1)>",
    "модель/вес",
    "\ud800/b",
]


@pytest.mark.parametrize("given", MALICIOUS, ids=lambda value: ascii(value)[:40])
def test_what_is_no_reference_is_refused_with_what_is_allowed(
    online: Settings, no_download: list[str], given: Any
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        resolve(given, "write", online)
    if given == "assets/models":
        return
    assert no_download == []
    message = str(caught.value)
    assert "tiny-writer" in message
    assert "owner/repo" in message
    assert len(message) < 500


@pytest.mark.parametrize("directory", ["models/writer", "assets/models", "pipelines/recipes"])
def test_a_local_directory_of_that_name_is_never_opened(
    online: Settings,
    no_download: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    directory: str,
) -> None:
    shutil.copytree(online.models_dir / "tiny-writer", tmp_path / directory)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match="not in this test"):
        resolve(directory, "write", online)
    assert no_download == [directory]  # it was looked for on the Hub, and only there


def test_a_hostile_reference_takes_no_time(online: Settings, no_download: list[str]) -> None:
    began = time.perf_counter()
    for hostile in ("a." * 50_000, "-" * 100_000, "a/" + "b@" * 50_000, "https://hf.co/" * 8_000):
        with pytest.raises(ModelUnavailable):
            resolve(hostile, "write", online)
    assert time.perf_counter() - began < 1


def test_without_the_hub_a_reference_is_refused_before_any_request(
    settings: Settings, no_download: list[str]
) -> None:
    with pytest.raises(ModelUnavailable, match="started without it") as caught:
        resolve("openai/gpt2", "write", settings)
    assert "owner/repo" not in str(caught.value)
    assert no_download == []


def test_every_refusal_is_for_the_visitors_eyes(online: Settings, no_download: list[str]) -> None:
    for given in MALICIOUS:
        with pytest.raises(StudioError):
            resolve(given, "describe", online)


# From a Hub on loopback, with the real client

SECRET = "hf_the_owners_secret_token"


@pytest.fixture(scope="module")
def hub(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    for name in ("main", "v1"):
        shutil.copytree(models_dir / "tiny-writer", folder / name)
    (folder / "main" / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "main" / "modeling.py").write_text("raise SystemExit('remote code')")
    (folder / "v1" / "generation_config.json").unlink()
    checkpoint(folder, "pickled", LLAMA, "pytorch_model.bin")
    repositories = {
        "ada/writer": Repository(folder / "main", folder / "v1"),
        "ada/painter": Repository(models_dir / "tiny-painter"),
        "ada/gated": Repository(folder / "main", gated=True),
        "ada/pickled": Repository(folder / "pickled"),
        "ada/dropping": Repository(folder / "main", drops=True),
    }
    with serve(repositories) as running:
        yield running


def ask(
    references: list[tuple[str, str]], endpoint: str, models_dir: Path, home: Path
) -> list[dict[str, Any]]:
    """Resolves them in a fresh process whose owner is logged in at the Hub."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "token").write_text(SECRET)
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": SECRET,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    environment.pop("HF_HUB_DISABLE_IMPLICIT_TOKEN", None)  # the code's own refusal has to do
    environment.pop("HF_HUB_OFFLINE", None)
    task = {
        "settings": {"models_dir": str(models_dir), "data_dir": str(home / "data")},
        "references": references,
    }
    child = subprocess.run(
        [sys.executable, "-m", "tests.hub_client"],
        cwd=ROOT,
        env=environment,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(child.stdout)
    return answers


REFERENCES = [
    ("ada/writer", "write"),
    ("ada/writer@v1", "write"),
    (f"ada/writer@{V1}", "write"),
    ("https://huggingface.co/ada/writer", "write"),
    ("ada/painter", "paint"),
    ("ada/painter", "write"),
    ("ada/writer@v9", "write"),
    ("ada/nothing", "write"),
    ("ada/gated", "write"),
    ("ada/pickled", "write"),
    ("ada/dropping", "write"),
    ("tiny-writer", "write"),
]


@pytest.fixture(scope="module")
def answers(
    hub: Hub, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    return dict(zip(REFERENCES, ask(REFERENCES, hub.endpoint, models_dir, home), strict=True))


Answers = dict[tuple[str, str], dict[str, Any]]


def test_a_hub_model_is_downloaded_into_the_data_directory(answers: Answers) -> None:
    answer = answers["ada/writer", "write"]
    assert answer["commit"] == MAIN
    assert "/data/hub/" in answer["path"]
    assert answer["path"].endswith(MAIN)
    assert "model.safetensors" in answer["files"]
    assert "tokenizer.json" in answer["files"]
    assert answer["weight_bytes"] > 10_000


def test_the_visitor_is_told_what_goes_on(answers: Answers) -> None:
    lines = answers["ada/writer", "write"]["lines"]
    assert lines[0] == "Asking the Hub for ada/writer"
    assert any(line.startswith("Downloading ada/writer") for line in lines)


def test_neither_pickles_nor_code_are_downloaded(answers: Answers, hub: Hub) -> None:
    assert {Path(f).suffix for f in answers["ada/writer", "write"]["files"]} <= {
        ".json",
        ".safetensors",
        ".txt",
        ".jinja",
    }
    assert hub.asked_for("pytorch_model.bin") == []
    assert hub.asked_for("modeling.py") == []


@pytest.mark.parametrize("reference", ["ada/writer@v1", f"ada/writer@{V1}"])
def test_a_revision_is_followed(answers: Answers, reference: str) -> None:
    answer = answers[reference, "write"]
    assert answer["commit"] == V1
    assert answer["path"].endswith(V1)
    assert "generation_config.json" not in answer["files"]


def test_a_url_is_the_same_as_its_reference(answers: Answers) -> None:
    answer = answers["https://huggingface.co/ada/writer", "write"]
    assert answer["path"] == answers["ada/writer", "write"]["path"]


def test_a_pipeline_of_folders_is_downloaded_whole(answers: Answers) -> None:
    files = answers["ada/painter", "paint"]["files"]
    assert "model_index.json" in files
    assert "unet/diffusion_pytorch_model.safetensors" in files


@pytest.mark.parametrize(
    ("reference", "task", "error", "message"),
    [
        ("ada/painter", "write", "WrongTask", "ada/painter paints pictures; here a model"),
        ("ada/writer@v9", "write", "ModelUnavailable", "ada/writer has no revision v9"),
        ("ada/nothing", "write", "ModelUnavailable", "no public model ada/nothing"),
        ("ada/gated", "write", "ModelUnavailable", "ada/gated is gated"),
        ("ada/pickled", "write", "ModelUnavailable", "ada/pickled has no safetensors"),
        ("ada/dropping", "write", "ModelUnavailable", "could not be reached for ada/dropping"),
    ],
)
def test_what_cannot_be_had_is_told(
    answers: Answers, reference: str, task: str, error: str, message: str
) -> None:
    answer = answers[reference, task]
    assert (answer["error"], message in answer["message"]) == (error, True), answer["message"]


def test_an_embedded_model_asks_no_hub(answers: Answers, hub: Hub, models_dir: Path) -> None:
    assert answers["tiny-writer", "write"]["path"] == str(models_dir / "tiny-writer")
    assert hub.asked_for("tiny-writer") == []


def test_the_owners_token_is_never_sent(answers: Answers, hub: Hub) -> None:
    assert len(hub.requests) > 20
    for line, headers in hub.requests:
        assert "authorization" not in headers, line
        assert SECRET not in str(headers), line


def test_what_was_downloaded_before_is_not_downloaded_again(
    hub: Hub, models_dir: Path, tmp_path: Path
) -> None:
    ask([("ada/writer", "write")], hub.endpoint, models_dir, tmp_path)
    before = len(hub.asked_for("GET /ada/writer/resolve"))
    ask([("ada/writer", "write")], hub.endpoint, models_dir, tmp_path)
    assert len(hub.asked_for("GET /ada/writer/resolve")) == before > 0


def test_a_hub_that_cannot_be_reached_is_told_and_local_models_work(
    models_dir: Path, tmp_path: Path
) -> None:
    references = [("ada/writer", "write"), ("tiny-writer", "write")]
    nobody = "http://127.0.0.1:9"  # the discard port: refused
    remote, local = ask(references, nobody, models_dir, tmp_path)
    assert remote["error"] == "ModelUnavailable"
    assert "could not be reached for ada/writer" in remote["message"]
    assert local["weight_bytes"] > 10_000


def test_an_adapter_is_refused_for_it_names_a_base_of_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    """Left in, the libraries would load whatever path the adapter's file names."""
    folder = tmp_path / "extra" / "sly-adapter"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    extra = replace(settings, extra_models_dir=folder.parent)
    with pytest.raises(ModelUnavailable, match="adapter"):
        resolve("sly-adapter", "write", extra)


@pytest.mark.parametrize("source", [["subprocess", "Popen"], [7, "x"], ["pipeline.py", "Mine"]])
def test_a_pipeline_with_parts_of_foreign_code_is_refused(
    settings: Settings, tmp_path: Path, source: list[object]
) -> None:
    folder = tmp_path / "extra" / "sly-painter"
    shutil.copytree(settings.models_dir / "tiny-painter", folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": source}))
    extra = replace(settings, extra_models_dir=folder.parent)
    with pytest.raises(ModelUnavailable, match="code of its own"):
        resolve("sly-painter", "paint", extra)
