"""Compositions: base and adapters are each vetted, and must fit each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipelines.device import Device
from pipelines.errors import ModelUnavailable, WrongTask
from pipelines.events import with_result
from pipelines.hub import local_names, resolve
from pipelines.hub.local import tasks_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.tasks import Task
from tests.hub.lora_files import PAINTER_LAYER, WRITER_LAYER, diffusers_lora, peft_lora

FITS = {WRITER_LAYER: (32, 32)}


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """The tiny models, with two LoRAs for the writer and one for the painter beside them."""
    extra = tmp_path / "extra"
    peft_lora(extra / "a-shakespeare", FITS)
    peft_lora(extra / "grimm", {"model.layers.1.mlp.up_proj": (64, 32)})
    diffusers_lora(extra / "night", {PAINTER_LAYER: (16, 16)})
    return replace(settings, extra_models_dir=extra)


def directory(settings: Settings) -> Path:
    assert settings.extra_models_dir is not None
    return settings.extra_models_dir


# Composing


def test_a_base_takes_adapters_with_weights(own: Settings) -> None:
    snapshot = resolve(" tiny-writer+a-shakespeare:0.5 + grimm:-1.25", "write", own)
    assert snapshot.reference == "tiny-writer"
    assert snapshot.path == own.models_dir / "tiny-writer"
    assert [(a.reference, a.weight) for a in snapshot.adapters] == [
        ("a-shakespeare", 0.5),
        ("grimm", -1.25),
    ]
    for adapter in snapshot.adapters:
        folder = directory(own) / adapter.reference
        assert adapter.path == folder
        assert len(adapter.commit) == 40
        assert adapter.weight_bytes == (folder / "adapter_model.safetensors").stat().st_size
    assert snapshot.name == "tiny-writer + a-shakespeare:0.5 + grimm:-1.25"
    assert resolve(snapshot.name, "write", own) == snapshot
    assert snapshot.notes == ()


def test_a_weight_is_one_where_none_is_given(own: Settings) -> None:
    snapshot = resolve("tiny-writer + grimm", "write", own)
    assert snapshot.adapters[0].weight == 1
    assert snapshot.name == "tiny-writer + grimm"


@pytest.mark.parametrize(
    ("typed", "task", "name"),
    [
        ("a-shakespeare", "write", "tiny-writer + a-shakespeare"),
        ("a-shakespeare:0.5", "write", "tiny-writer + a-shakespeare:0.5"),
        ("a-shakespeare + grimm:2", "write", "tiny-writer + a-shakespeare + grimm:2"),
        ("night:0", "paint", "tiny-painter + night:0"),
    ],
)
def test_an_adapter_alone_brings_the_base_that_it_names(
    own: Settings, typed: str, task: Task, name: str
) -> None:
    assert resolve(typed, task, own).name == name


def test_a_local_name_may_hold_a_plus_and_a_colon(own: Settings) -> None:
    peft_lora(directory(own) / "a+b:0.5", FITS)
    assert resolve("a+b:0.5", "write", own).adapters[0].reference == "a+b:0.5"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("tiny-writer + grimm:x", "weight of 'grimm' is 'x'; give a number from -2 to 2"),
        ("tiny-writer + grimm:", "weight of 'grimm' is ''"),
        ("tiny-writer + grimm:2.01", "is '2.01'; give a number from -2 to 2"),
        ("tiny-writer + grimm:nan", "is 'nan'"),
        ("tiny-writer + grimm:1e1", "is '1e1'"),
        ("grimm:-3", "is '-3'"),
        ("tiny-writer + ", "a name is missing beside a +"),
        ("+ grimm", "a name is missing beside a +"),
        ("tiny-writer + grimm + grimm:0.5", "grimm is given twice"),
        ("tiny-writer" + " + grimm" * 5, "5 adapters are given; at most 4"),
        ("tiny-writer:0.5 + grimm", "tiny-writer is a whole model; only the adapters"),
        ("tiny-writer + tiny-writer", "tiny-writer is a whole model, not an adapter"),
        ("tiny-writer + ../grimm", "There is no model '../grimm'"),
        ("tiny-writer + nobody", "There is no model 'nobody'"),
        ("tiny-writer + ada/lora", "ada/lora is on the Hub, and this page was started without"),
    ],
)
def test_what_does_not_compose_is_told(own: Settings, typed: str, message: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        resolve(typed, "write", own)
    assert message in str(caught.value)


def test_a_base_is_held_to_its_task_whatever_is_put_on_it(own: Settings) -> None:
    with pytest.raises(WrongTask, match="tiny-writer writes text"):
        resolve("a-shakespeare", "paint", own)


def test_pickers_show_adapters_after_whole_models(own: Settings) -> None:
    peft_lora(directory(own) / "other", FITS, base="ada/writer")
    peft_lora(directory(own) / "unclear", FITS, base="ada/writer", task_type=None)
    assert local_names(own, "write") == ["tiny-writer", "a-shakespeare", "grimm", "other"]
    assert local_names(own, "paint") == ["tiny-painter", "night"]
    assert local_names(own, "describe") == ["tiny-captioner"]


def test_an_adapter_does_what_its_base_does(own: Settings) -> None:
    folder = peft_lora(directory(own) / "c", FITS, base="tiny-captioner", task_type=None)
    assert tasks_of(folder, own) == ("describe",)
    assert tasks_of(folder) == ()


def test_several_compositions_share_one_base_in_memory(own: Settings) -> None:
    studio = Studio(own)
    seen: list[Any] = []

    def load(snapshot: Any, device: Device) -> str:
        seen.append(snapshot.name)
        return "the base"

    for name in ("tiny-writer", "tiny-writer + grimm", "a-shakespeare:0.5"):
        *_, opened = with_result(studio.open(name, "write", load, lambda model: 1))
        opened.lease.release()
        assert opened.snapshot == resolve(name, "write", own)
    assert seen == ["tiny-writer"]
    assert len(studio.residency.residents()) == 1


# Fitting


def test_shapes_decide_and_another_name_is_noted(own: Settings) -> None:
    peft_lora(directory(own) / "copy", FITS, base="ada/a-copy@v1")
    snapshot = resolve("tiny-writer + copy", "write", own)
    assert snapshot.notes == (
        "copy was trained on 'ada/a-copy@v1'; its layers fit tiny-writer as well.",
    )


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (WRITER_LAYER, (32, 64), f"{WRITER_LAYER}.lora_A.weight' is for a layer of the shape "
         "32 x 64, which is 32 x 32 there"),
        ("model.layers.9.self_attn.q_proj", (32, 32), "32 x 32, which is not there"),
        ("model.layers.0.self_attn.x_proj", (32, 32), "32 x 32, which is not there"),
    ],
)  # fmt: skip
def test_a_misfit_names_the_tensor_and_both_shapes(
    own: Settings, layer: str, shape: tuple[int, int], message: str
) -> None:
    peft_lora(directory(own) / "misfit", {layer: shape})
    with pytest.raises(ModelUnavailable, match="misfit does not fit tiny-writer") as caught:
        resolve("misfit", "write", own)
    assert message in str(caught.value)


def test_prefixes_of_layers_may_differ(own: Settings) -> None:
    """A checkpoint saved without its head calls its layers otherwise."""
    peft_lora(directory(own) / "headless", {"layers.0.self_attn.q_proj": (32, 32)})
    peft_lora(directory(own) / "wrapped", {f"language_model.{WRITER_LAYER}": (32, 32)})
    for name in ("headless", "wrapped"):
        assert resolve(name, "write", own).adapters


def test_layers_that_are_stored_turned_fit(own: Settings) -> None:
    """GPT-2 keeps its weights as (in, out)."""
    layer = "decoder.transformer.h.0.attn.c_attn"
    peft_lora(directory(own) / "words", {layer: (192, 64)}, base="tiny-captioner")
    assert resolve("words", "describe", own).adapters
    peft_lora(directory(own) / "wide", {layer: (192, 65)}, base="tiny-captioner")
    with pytest.raises(ModelUnavailable, match="192 x 65, which is 64 x 192 there"):
        resolve("wide", "describe", own)


def test_older_forms_of_diffusers_are_read(own: Settings) -> None:
    folder = directory(own)
    diffusers_lora(folder / "older", {PAINTER_LAYER: (16, 16)}, old=True)
    processor = PAINTER_LAYER.replace(".to_q", ".processor.to_out_lora")
    oldest = diffusers_lora(folder / "oldest", {PAINTER_LAYER: (16, 16)})
    save_file(
        {
            f"{processor}.down.weight": np.zeros((2, 16), np.float32),
            f"{processor}.up.weight": np.zeros((16, 2), np.float32),
        },
        oldest / "pytorch_lora_weights.safetensors",
    )
    text = {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj": (16, 16)}
    diffusers_lora(folder / "words", text)
    for name in ("older", "oldest", "words"):
        assert resolve(name, "paint", own).adapters


def test_one_half_without_the_other_is_told(own: Settings) -> None:
    file = directory(own) / "grimm" / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if "lora_A" in k}, file)
    with pytest.raises(ModelUnavailable, match=r"grimm is broken: .*counterpart has nothing"):
        resolve("grimm", "write", own)


def test_a_tensor_of_another_kind_is_told(own: Settings) -> None:
    file = directory(own) / "grimm" / "adapter_model.safetensors"
    save_file({"lora_unet_down.lora_down.weight": np.zeros((2, 2), np.float32)}, file)
    with pytest.raises(ModelUnavailable, match="which is no part of a LoRA in the form of PEFT"):
        resolve("grimm", "write", own)


def test_a_damaged_adapter_is_told(own: Settings) -> None:
    file = directory(own) / "grimm" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelUnavailable, match=r"adapter_model\.safetensors of grimm is damaged"):
        resolve("grimm", "write", own)


# What is refused


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "of the type 'IA3'; only LORA"),
        ({"peft_type": None}, "of the type None; only LORA"),
        ({"modules_to_save": ["lm_head"]}, "replaces whole layers"),
        ({"layer_replication": [[0, 1]]}, "repeats layers"),
        ({"bias": "all"}, "changes biases"),
        ({"init_lora_weights": "pissa"}, "changes its base's weights"),
        ({"init_lora_weights": ["pissa"]}, "changes its base's weights"),
        ({"auto_mapping": {"parent_library": "evil.module"}}, "names 'evil.module'"),
        ({"auto_mapping": "evil"}, "names 'evil'"),
        ({"target_modules": "(a+)+$"}, r"chooses its layers by '\(a\+\)\+\$'"),
        ({"rank_pattern": {".*.*.*.*.*x": 8}}, "may take for ever"),
        ({"target_modules": [7]}, "chooses its layers by 7"),
        ({"alpha_pattern": 7}, "chooses its layers by 7"),
    ],
    ids=str,
)
def test_what_is_no_plain_lora_is_refused(
    own: Settings, config: dict[str, Any], message: str
) -> None:
    peft_lora(directory(own) / "sly", FITS, **config)
    with pytest.raises(ModelUnavailable, match=f"^sly .*{message}"):
        resolve("sly", "write", own)


@pytest.mark.parametrize(
    "config",
    [
        {"auto_mapping": {"parent_library": "transformers.models.gpt2.modeling_gpt2"}},
        {"target_modules": r".*\.(q_proj|v_proj)"},
        {"init_lora_weights": "gaussian"},
        {"rank_pattern": {"q_proj": 2}},
    ],
    ids=str,
)
def test_what_peft_writes_is_accepted(own: Settings, config: dict[str, Any]) -> None:
    peft_lora(directory(own) / "plain", FITS, **config)
    assert resolve("plain", "write", own).adapters


def test_a_rank_beyond_reason_is_refused(own: Settings) -> None:
    peft_lora(directory(own) / "huge", FITS, rank=1025)
    with pytest.raises(ModelUnavailable, match="1025 x 32; the first number is the rank, from 1"):
        resolve("huge", "write", own)


def test_an_adapter_in_pickles_is_refused(own: Settings) -> None:
    folder = directory(own) / "grimm"
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelUnavailable, match=r"grimm is an adapter .* without adapter_model"):
        resolve("grimm", "write", own)


@pytest.mark.parametrize("base", [None, "", 7, ["tiny-writer"]])
def test_an_adapter_that_names_no_base_asks_for_one(own: Settings, base: object) -> None:
    peft_lora(directory(own) / "orphan", FITS, base=base)
    with pytest.raises(ModelUnavailable, match=r"names no base\. Write base \+ orphan"):
        resolve("orphan", "write", own)
    assert resolve("tiny-writer + orphan", "write", own).notes == ()


def test_a_card_without_a_base_asks_for_one(own: Settings) -> None:
    diffusers_lora(directory(own) / "orphan", {PAINTER_LAYER: (16, 16)}, base=None)
    with pytest.raises(ModelUnavailable, match=r"names no base"):
        resolve("orphan", "paint", own)


@pytest.mark.parametrize("base", ["/etc", "../tiny-writer", "~/models", "./out", "C:\\x"])
def test_a_named_base_is_vetted_like_what_a_visitor_types(own: Settings, base: str) -> None:
    """Left in, the libraries would load whatever path the adapter's file names."""
    peft_lora(directory(own) / "sly", FITS, base=base)
    with pytest.raises(ModelUnavailable, match="There is no model"):
        resolve("sly", "write", own)


def test_an_adapter_is_no_base_of_another(own: Settings) -> None:
    peft_lora(directory(own) / "second", FITS, base="grimm")
    with pytest.raises((ModelUnavailable, WrongTask), match=r"^grimm "):
        resolve("second", "write", own)


def test_a_card_that_is_a_list_gives_its_first_base(own: Settings) -> None:
    card = directory(own) / "night" / "README.md"
    card.write_text("---\ntags:\n- lora\nbase_model:\n- tiny-painter\n---\nbase_model: evil/x\n")
    assert resolve("night", "paint", own).reference == "tiny-painter"
    card.write_text("# No front matter\nbase_model: tiny-painter\n")
    with pytest.raises(ModelUnavailable, match="names no base"):
        resolve("night", "paint", own)


def test_the_commit_of_an_adapter_follows_its_contents(own: Settings) -> None:
    before = resolve("grimm", "write", own).adapters[0].commit
    config = directory(own) / "grimm" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "lora_alpha": 4}))
    assert resolve("grimm", "write", own).adapters[0].commit != before
