"""What is on this machine: names, tasks, contents, and what is not opened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import ModelUnavailable, WrongTask
from pipelines.hub import local_models, local_names, resolve
from pipelines.hub.local import local_folder
from pipelines.hub.sources import Folder
from pipelines.settings import Settings
from pipelines.tasks import Task
from tests.hub.checkpoints import LLAMA, checkpoint
from tests.hub.lora_files import peft_lora

TASKS: dict[str, Task] = {
    "tiny-writer": "write",
    "tiny-painter": "paint",
    "tiny-captioner": "describe",
}


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


def test_a_model_that_has_not_changed_is_the_same_folder_and_one_that_has_is_read_again(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny-writer"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    first = local_folder("tiny-writer", folder)
    assert local_folder("tiny-writer", folder) is first
    assert first.read("config.json") == (folder / "config.json").read_bytes()
    (folder / "config.json").write_text("{}")
    second = local_folder("tiny-writer", folder)
    assert second.commit != first.commit
    assert second.read("config.json") == b"{}"


def test_files_come_in_the_order_of_paths_with_links_that_lead_to_a_file(tmp_path: Path) -> None:
    """The order is part of the hash, by which receipts name a folder's contents."""
    for name in ("b/z.json", "b-c/a.json", "B.json"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/inner.json").write_text("[1]")
    (tmp_path / "model/link.json").symlink_to(tmp_path / "elsewhere/inner.json")
    (tmp_path / "model/nowhere.json").symlink_to(tmp_path / "missing")
    (tmp_path / "model/far").symlink_to(tmp_path / "elsewhere")
    files = Folder("model", tmp_path / "model").files
    assert list(files.items()) == [
        ("B.json", 2), ("b/z.json", 2), ("b-c/a.json", 2), ("link.json", 3)
    ]  # fmt: skip
    assert Folder("model", tmp_path / "missing").files == {}


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


def test_fine_tunes_made_on_the_page_are_listed_with_their_base(settings: Settings) -> None:
    own = settings.data_dir / "models"
    peft_lora(own / "my-tune", {"model.layers.0.self_attn.q_proj": (32, 32)})
    assert local_names(settings, "write") == ["tiny-writer", "my-tune"]


def test_a_model_directory_that_is_not_there_is_as_an_empty_one(settings: Settings) -> None:
    none = replace(settings, models_dir=Path("/nowhere"), extra_models_dir=Path("/nowhere/else"))
    assert local_models(none) == {}
    with pytest.raises(ModelUnavailable, match=r"there is none here for this task"):
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
    "source",
    [
        ["subprocess", "Popen"],
        [7, "x"],
        ["pipeline.py", "Mine"],
        ["pipelines.recipes.patches.train", "PatchAutoencoder"],
        ["pipelines.recipes.patches.model", "torch"],
    ],
)
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
