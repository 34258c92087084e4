"""One copy of the weights, and what describes it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipelines.hub.selection import LARGEST_LOG_BYTES, TRAINING_LOG, Selection
from pipelines.hub.selection import select as select_by_size

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
PART = "unet/diffusion_pytorch_model"


def select(files: Iterable[str], half: bool = False) -> Selection:
    """Of files whose size decides nothing."""
    return select_by_size(dict.fromkeys(files, 1), half)


@pytest.mark.parametrize(
    ("files", "half", "weights", "variant"),
    [
        (["model.safetensors", "model.fp16.safetensors"], False, ["model.safetensors"], None),
        (["model.safetensors", "model.fp16.safetensors"], True, ["model.fp16.safetensors"], "fp16"),
        (["model.fp16.safetensors"], False, ["model.fp16.safetensors"], "fp16"),
        (["model.safetensors"], True, ["model.safetensors"], None),
        ([*SHARDS, "model.safetensors"], False, ["model.safetensors"], None),
        (SHARDS, False, SHARDS, None),
        (SHARDS[:1], False, [], None),
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
    others = select_by_size(files).others
    assert (TRAINING_LOG in others) == is_taken
    assert f"older/{TRAINING_LOG}" not in others
    assert (set(others) | set(select_by_size(files).weights)) - {TRAINING_LOG} == set(beside)
