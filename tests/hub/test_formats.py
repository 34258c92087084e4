"""Packed numbers and foreign formats are named before a byte of weights is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ModelUnavailable
from pipelines.hub import packages, resolve
from pipelines.hub.checks import check_kind, check_weights
from pipelines.hub.formats import quantised_by
from pipelines.hub.packages import QUANTISED, check_packages
from pipelines.hub.sources import Folder
from pipelines.settings import Settings
from tests.hub.checkpoints import LLAMA, checkpoint
from tests.loopback_hub import Hub, Repository


def _quantised(**packing: Any) -> dict[str, Any]:
    return {**json.loads(LLAMA), "quantization_config": packing}


def _checked(source: Folder) -> None:
    check_kind(source, "write")
    check_weights(source)


def test_every_method_of_transformers_has_its_row() -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    methods = {name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZER_MAPPING}
    assert methods - {"gguf"} == set(QUANTISED)


@pytest.mark.parametrize(
    ("packing", "method"),
    [
        ({"quant_method": "gptq"}, "gptq"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"bits": 4, "group_size": 64}, None),
        ({}, None),
    ],
)
def test_the_method_is_read_from_the_configuration(
    packing: dict[str, Any], method: str | None
) -> None:
    assert quantised_by(_quantised(**packing)) == method
    assert quantised_by({"text_config": _quantised(**packing)}) == method


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("gptq", "needs the packages optimum and gptqmodel, which are not installed"),
        ("compressed-tensors", "needs the package compressed-tensors, which is not installed"),
        ("exl3", "is quantised with 'exl3', which this version of transformers does not read"),
    ],
)
def test_what_packed_numbers_need_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, says: str
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    folder = checkpoint(tmp_path, "model", _quantised(quant_method=method), "model.safetensors")
    with pytest.raises(ModelUnavailable, match=says):
        check_kind(Folder("model", folder), "write")


@pytest.mark.parametrize("method", ["fp8", "mxfp4"])
def test_what_can_be_unpacked_without_a_package_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    folder = checkpoint(tmp_path, "model", _quantised(quant_method=method), "model.safetensors")
    assert check_kind(Folder("model", folder), "write") == "causal"


def test_a_part_of_a_pipeline_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}
    part = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    checkpoint(tmp_path / "model", "transformer", part)
    with pytest.raises(ModelUnavailable, match="needs the package bitsandbytes"):
        check_packages(Folder("model", tmp_path / "model"), index, "paint")


@pytest.mark.parametrize(
    ("config", "file", "says"),
    [
        (LLAMA, "model.onnx", "has no safetensors weights. It has 'model.onnx', an ONNX file"),
        ("{}", "model.onnx", "has no safetensors weights. It has 'model.onnx', an ONNX file"),
        ("{}", "a-Q4.gguf", "It has 'a-Q4.gguf', a GGUF file.*made from 'ada/base': open that"),
        (LLAMA, "pytorch_model.bin", "can run code when they are opened.*safetensors/convert"),
    ],
)
def test_a_format_is_named_with_the_original(
    tmp_path: Path, config: str, file: str, says: str
) -> None:
    folder = checkpoint(tmp_path, "model", config, file)
    (folder / "README.md").write_text("---\nbase_model: ada/base\n---\n")
    source = Folder("model", folder)
    with pytest.raises(ModelUnavailable, match=says):
        _checked(source)


def test_a_converted_revision_opens(online: Settings, hub: Hub, tmp_path: Path) -> None:
    old = checkpoint(tmp_path, "old", LLAMA, "pytorch_model.bin")
    pulls = {4: ("Adding `safetensors` variant of this model", online.models_dir / "tiny-writer")}
    hub.repositories["ada/old"] = Repository(old, pulls=pulls)
    with pytest.raises(ModelUnavailable, match=r"open ada/old@refs/pr/4\."):
        resolve("ada/old", "write", online)
    hub.repositories["ada/old"].pulls = {}
    with pytest.raises(ModelUnavailable, match=r"and try again\.$"):
        resolve("ada/old", "write", online)
