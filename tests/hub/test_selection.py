"""One copy of the weights, and what describes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.device import Device
from pipelines.errors import ModelUnavailable
from pipelines.hub import resolve
from pipelines.hub.checks import check_weights
from pipelines.hub.headers import read_header
from pipelines.hub.selection import (
    LARGEST_LOG_BYTES,
    TRAINING_LOG,
    Selection,
    Shards,
    select_from,
)
from pipelines.hub.selection import select as select_of
from pipelines.hub.sources import Folder
from pipelines.settings import Settings
from pipelines.text_generation.writer import load_writer
from tests.hub.checkpoints import LLAMA, checkpoint
from tests.loopback_hub import Hub, Repository

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
PART = "unet/diffusion_pytorch_model"


def select(files: Iterable[str], half: bool = False, shards: Shards | None = None) -> Selection:
    """Of files whose size decides nothing."""
    return select_from(dict.fromkeys(files, 1), half, shards or {})


@pytest.mark.parametrize(
    ("files", "half", "weights", "variant"),
    [
        (["model.safetensors", "model.fp16.safetensors"], False, ["model.safetensors"], None),
        (["model.safetensors", "model.fp16.safetensors"], True, ["model.fp16.safetensors"], "fp16"),
        (["model.fp16.safetensors"], False, ["model.fp16.safetensors"], "fp16"),
        (["model.safetensors"], True, ["model.safetensors"], None),
        ([*SHARDS, "model.safetensors"], False, ["model.safetensors"], None),
        (SHARDS, False, [], None),
        (["model.non_ema.safetensors"], False, [], None),
        (["consolidated.safetensors", "original/model.safetensors"], False, [], None),
        (["pytorch_model.bin", "model.ckpt"], False, [], None),
    ],
)
def test_the_copy_that_is_read_is_chosen(
    files: list[str], half: bool, weights: list[str], variant: str | None
) -> None:
    selection = select(["config.json", *files], half)
    assert (list(selection.weights), selection.variant) == (list(weights), variant)
    assert list(selection.others) == ["config.json"]


def test_the_list_of_shards_comes_with_shards_alone() -> None:
    assert INDEX in select(["config.json", INDEX, *SHARDS]).others
    assert INDEX not in select(["config.json", INDEX, *SHARDS, "model.safetensors"]).others


def test_shards_are_those_that_their_list_names_whatever_they_are_called() -> None:
    odd = ("model.safetensors-00001-of-00001.safetensors", "model-000001-of-000002.safetensors",
           "layers.0-7.safetensors")  # fmt: skip
    files = ["config.json", INDEX, *odd, *SHARDS]
    for listed in (odd[:1], odd[1:], SHARDS):
        selection = select(files, shards={INDEX: listed})
        assert set(selection.weights) == set(listed)
        assert set(selection.others) == {"config.json", INDEX}
    assert tuple(select(files).weights) == SHARDS  # of a list that cannot be read


def test_a_whole_copy_is_taken_before_one_that_lacks_a_shard() -> None:
    half = "model.safetensors.index.fp16.json"
    shards = {INDEX: SHARDS, half: ("a.fp16.safetensors",)}
    files = ["config.json", *shards, "a.fp16.safetensors", SHARDS[0]]
    assert tuple(select(files, shards=shards).weights) == ("a.fp16.safetensors",)
    assert tuple(select([INDEX, SHARDS[0]], shards=shards).weights) == SHARDS[:1]


@pytest.mark.parametrize(
    "shard",
    ["../secret.safetensors", "/tmp/secret.safetensors", "original/a.safetensors", "a.bin",
     "absent.safetensors", 7, ["a"]],
)  # fmt: skip
def test_a_list_may_name_nothing_but_safetensors_beside_it(tmp_path: Path, shard: object) -> None:
    folder = checkpoint(tmp_path, "model", LLAMA, "b.safetensors", "a.bin")
    checkpoint(tmp_path, "model/original", {}, "a.safetensors")
    checkpoint(tmp_path, "secret", {}, "secret.safetensors")
    weight_map = {"a": "b.safetensors", "b": shard}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelUnavailable, match="which is no safetensors file beside it"):
        check_weights(Folder("model", folder))


@pytest.mark.parametrize("weight_map", [None, [], {}, "b.safetensors"])
def test_safetensors_that_no_list_names_are_said_to_be_there(
    tmp_path: Path, weight_map: object
) -> None:
    folder = checkpoint(tmp_path, "model", LLAMA, "b.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(
        ModelUnavailable, match=r"has safetensors \('b.safetensors'\) that are none"
    ):
        check_weights(Folder("model", folder))


def test_shards_of_names_of_their_own_are_fetched_and_open_without_the_hub_again(
    online: Settings, hub: Hub, tmp_path: Path
) -> None:
    name = "model.safetensors-00001-of-00001.safetensors"
    folder = shutil.copytree(online.models_dir / "tiny-writer", tmp_path / "model")
    weights = (folder / "model.safetensors").rename(folder / name)
    weight_map = dict.fromkeys(read_header(weights), name)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    hub.repositories["ada/model"] = Repository(folder)
    fetched = resolve("ada/model", "write", online)
    assert {name, INDEX} < {f.name for f in fetched.path.iterdir()}
    assert load_writer(fetched, Device("cpu", "float32", "")).model is not None
    assert set(select_of(Folder("ada/model", fetched.path)).weights) == {name}
    hub.repositories.clear()
    del hub.repositories  # every request is an error of the server from here on
    try:
        assert resolve("ada/model", "write", online).path == fetched.path
    finally:
        hub.repositories = {}


def test_variants_in_shards_bring_their_own_list() -> None:
    files = ["model_index.json", f"{PART}.safetensors.index.json",
             f"{PART}.safetensors.index.fp16.json"]  # fmt: skip
    for variant in ("", ".fp16"):
        files += [f"{PART}{variant}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    half = select(files, half=True)
    assert tuple(half.others) == ("model_index.json", f"{PART}.safetensors.index.fp16.json")
    assert tuple(half.weights) == tuple(f"{PART}.fp16-0000{i}-of-00002.safetensors" for i in (1, 2))
    assert tuple(select(files).others) == ("model_index.json", f"{PART}.safetensors.index.json")


def test_of_a_pipeline_its_parts_are_taken_and_no_checker_nor_whole_checkpoint() -> None:
    selection = select(
        [
            "model_index.json",
            "v1-5-pruned.safetensors",
            "model.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "safety_checker/model.safetensors",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "deeper/unet/model.safetensors",
            "README.md",
            "picture.png",
        ]
    )
    assert tuple(selection.weights) == ("unet/diffusion_pytorch_model.safetensors",)
    assert set(selection.others) == {
        "README.md",
        "model_index.json",
        "unet/config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    }


def test_of_an_adapter_only_its_own_files_are_taken() -> None:
    files = ["adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json",
             "checkpoint-9/adapter_model.safetensors", "adapter_model.bin"]  # fmt: skip
    assert set(select(files).all) == set(files[:3])


@pytest.mark.parametrize(
    "beside",
    [
        ("config.json", "model.safetensors"),
        ("model_index.json", f"{PART}.safetensors"),
        ("adapter_config.json", "adapter_model.safetensors"),
    ],
    ids=["model", "pipeline", "adapter"],
)
@pytest.mark.parametrize(
    ("size", "is_taken"),
    [(0, False), (1, True), (LARGEST_LOG_BYTES, True), (LARGEST_LOG_BYTES + 1, False)],
)
def test_the_log_of_the_training_comes_along_if_it_is_small(
    beside: tuple[str, ...], size: int, is_taken: bool
) -> None:
    files = {**dict.fromkeys(beside, 1), TRAINING_LOG: size, f"older/{TRAINING_LOG}": 1}
    others = select_from(files, False, {}).others
    assert (TRAINING_LOG in others) == is_taken
    assert f"older/{TRAINING_LOG}" not in others
    assert (set(others) | set(select_from(files, False, {}).weights)) - {TRAINING_LOG} == set(
        beside
    )
