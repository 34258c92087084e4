"""Adapters: what they add, that they come off again bit for bit, and that runs take turns."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipelines.device import Device
from pipelines.errors import Cancelled, LoadFailed
from pipelines.hub import Adapter
from pipelines.runtime.adapters import applied, applied_by_row, memory_of
from pipelines.runtime.studio import parameter_bytes
from tests import tiny_models

IDS = torch.arange(3, 11)[None]


def no_wait() -> None:
    """Nobody stops the run."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """LoRAs for the tiny writer (a to d) and the tiny painter (night, night-as-peft)."""
    folder = tmp_path_factory.mktemp("loras")
    writer, painter = models_dir / "tiny-writer", models_dir / "tiny-painter"
    for seed, name in enumerate("abc"):
        tiny_models.make_text_lora(folder / name, writer, seed)
    layers = ["embed_tokens", "q_proj"]
    tiny_models.make_text_lora(folder / "d", writer, 3, target_modules=layers, use_rslora=True)
    tiny_models.make_picture_lora(folder / "night", painter)
    tiny_models.make_picture_lora(folder / "outline", painter, 1)
    tiny_models.make_picture_lora(folder / "night-as-peft", painter, as_peft=True)
    return folder


@pytest.fixture
def adapter(folder: Path) -> Callable[..., Adapter]:
    def make(name: str, weight: float = 1.0) -> Adapter:
        return Adapter(name, folder / name, f"commit-{name}", weight, 1)

    return make


@pytest.fixture(scope="module")
def writer(models_dir: Path) -> Any:
    path = models_dir / "tiny-writer"
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def painter(models_dir: Path) -> Any:
    return DiffusionPipeline.from_pretrained(models_dir / "tiny-painter", use_safetensors=True)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    result: torch.Tensor = model(ids).logits
    return result


def with_adapters(model: Any, *adapters: Adapter) -> torch.Tensor:
    with applied(model, adapters, no_wait):
        return logits(model)


def merged(models_dir: Path, *adapters: Adapter) -> torch.Tensor:
    """By plain matrix products: each adapter added to the base's own weights."""
    model = AutoModelForCausalLM.from_pretrained(models_dir / "tiny-writer", dtype=torch.float32)
    for one in adapters:
        state = load_file(one.path / "adapter_model.safetensors")
        for key, down in state.items():
            if ".lora_A." not in key:
                continue
            up = state[key.replace(".lora_A.", ".lora_B.")]
            layer: Any = model.get_submodule(
                key.removeprefix("base_model.model.")[: -len(".lora_A.weight")]
            )
            layer.weight.data += one.weight * 8 / 4 * (up @ down)
    return logits(model.eval())


# What they take


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_the_memory_that_is_counted_is_the_memory_that_they_take(
    writer: Any, adapter: Callable[..., Adapter], names: tuple[str, ...]
) -> None:
    several = [adapter(name) for name in names]
    counted = memory_of([*several, adapter("d", 0.0)], Device("cpu", "float32", ""))
    bare = parameter_bytes(writer)
    with applied(writer, several, no_wait):
        taken = parameter_bytes(writer) - bare
    assert sum(counted.values()) == taken > 0
    assert len(counted) == len(names)
    assert parameter_bytes(writer) == bare


def test_a_painters_adapters_in_half_precision_take_half(
    painter: Any, adapter: Callable[..., Adapter]
) -> None:
    several = [adapter("night"), adapter("outline", 0.5)]
    counted = memory_of(several, Device("cpu", "float32", ""))
    bare = parameter_bytes(painter.unet)
    with applied(painter, several, no_wait):
        assert parameter_bytes(painter.unet) - bare == sum(counted.values()) > 0
    half = memory_of(several, Device("cuda", "float16", ""))
    assert 2 * sum(half.values()) == sum(counted.values())


# On a torch module


def test_an_adapter_is_added_and_comes_off_bit_for_bit(
    writer: Any, adapter: Callable[..., Adapter], models_dir: Path
) -> None:
    before, layers = logits(writer), [type(layer) for layer in writer.modules()]
    changed = with_adapters(writer, adapter("a"))
    assert (changed - before).abs().max() > 0.1
    torch.testing.assert_close(changed, merged(models_dir, adapter("a")), atol=1e-3, rtol=1e-3)
    assert torch.equal(logits(writer), before)
    assert [type(layer) for layer in writer.modules()] == layers
    assert not hasattr(writer, "peft_config")


def test_a_layers_own_weights_in_an_adapters_file_do_not_reach_the_base(
    writer: Any, adapter: Callable[..., Adapter], folder: Path, tmp_path: Path
) -> None:
    changed = with_adapters(writer, adapter("d"))
    shutil.copytree(folder / "d", tmp_path / "d")
    file = tmp_path / "d" / "adapter_model.safetensors"
    state = load_file(file)
    (own,) = [key for key in state if key.endswith("embed_tokens.base_layer.weight")]
    save_file({**state, own: torch.zeros_like(state[own])}, file)
    assert torch.equal(with_adapters(writer, Adapter("d", tmp_path / "d", "c", 1.0, 1)), changed)
    assert writer.get_input_embeddings().weight is writer.lm_head.weight  # one copy, as before


def test_several_are_added_each_with_its_weight(
    writer: Any, adapter: Callable[..., Adapter], models_dir: Path
) -> None:
    several = (adapter("a", 0.5), adapter("b", -1.0), adapter("c"))
    found = with_adapters(writer, *several)
    torch.testing.assert_close(found, merged(models_dir, *several), atol=1e-3, rtol=1e-3)


def test_a_weight_of_zero_is_the_base_and_a_bare_run_as_well(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    assert torch.equal(with_adapters(writer, adapter("a", 0.0)), logits(writer))
    assert torch.equal(with_adapters(writer), logits(writer))
    alone = with_adapters(writer, adapter("b"))
    assert torch.equal(with_adapters(writer, adapter("a", 0.0), adapter("b")), alone)


def test_the_same_adapter_again_gives_the_same_numbers(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    first = with_adapters(writer, adapter("d"))
    assert not torch.equal(first, logits(writer))
    assert torch.equal(with_adapters(writer, adapter("d")), first)
    weaker = with_adapters(writer, adapter("d", 0.5))
    assert not torch.equal(weaker, first)


def test_a_base_in_half_precision_stays_so(
    models_dir: Path, adapter: Callable[..., Adapter]
) -> None:
    path = models_dir / "tiny-writer"
    half = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float16).eval()
    before = logits(half)
    with applied(half, [adapter("a")], no_wait):
        assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}
        assert not torch.equal(logits(half), before)
    assert torch.equal(logits(half), before)


def damaged(folder: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Adapter:
    """A copy of the adapter ``a`` with other weights, which the vetting has let through."""
    path.mkdir()
    state = load_file(folder / "a" / "adapter_model.safetensors")
    change(state)
    save_file(state, path / "adapter_model.safetensors")
    (path / "adapter_config.json").write_text((folder / "a" / "adapter_config.json").read_text())
    return Adapter("damaged", path, "c", 1.0, 1)


def lose_a_half(state: dict[str, Any]) -> None:
    del state[next(key for key in state if ".lora_B." in key)]


def widen(state: dict[str, Any]) -> None:
    key = next(key for key in reversed(state) if ".lora_A." in key)
    state[key] = torch.zeros(4, 7)


def name_another_layer(state: dict[str, Any]) -> None:
    state["base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"] = torch.zeros(4, 32)


@pytest.mark.parametrize("change", [lose_a_half, widen, name_another_layer])
def test_an_adapter_that_fails_leaves_the_base_unharmed(
    writer: Any,
    folder: Path,
    tmp_path: Path,
    adapter: Callable[..., Adapter],
    change: Callable[[dict[str, Any]], None],
) -> None:
    before = logits(writer)
    bad = damaged(folder, tmp_path / "bad", change)
    with pytest.raises(LoadFailed, match=r"^damaged .* this base"):
        with_adapters(writer, adapter("b"), bad)
    assert torch.equal(logits(writer), before)
    assert not torch.equal(with_adapters(writer, adapter("b")), before)


def test_an_error_inside_takes_the_adapter_off(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    before = logits(writer)
    with pytest.raises(RuntimeError, match="inside"), applied(writer, [adapter("a")], no_wait):
        raise RuntimeError("inside")
    assert torch.equal(logits(writer), before)


# Row by row


def test_a_base_and_four_adapters_answer_one_batch_each_as_alone(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    rows = [None, adapter("a"), adapter("b", 0.5), adapter("d"), adapter("c"), adapter("a", 0.0)]
    with applied_by_row(writer, rows, no_wait):
        together = logits(writer, IDS.repeat(len(rows), 1))
    for row, found in zip(rows, together, strict=True):
        alone = with_adapters(writer, *([] if row is None else [row]))
        torch.testing.assert_close(found, alone[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(with_adapters(writer), logits(writer))


def test_rows_without_any_adapter_are_the_base(writer: Any) -> None:
    with applied_by_row(writer, [None, None], no_wait):
        together = logits(writer, IDS.repeat(2, 1))
    assert torch.equal(together, logits(writer, IDS.repeat(2, 1)))


# On a pipeline


def picture(pipeline: Any, seed: int = 0) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return torch.from_numpy(
        pipeline(
            "a cat",
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images[0]
    )


def painted_with(pipeline: Any, *adapters: Adapter) -> Any:
    with applied(pipeline, adapters, no_wait):
        return picture(pipeline)


def test_a_painters_adapters_add_up_and_come_off_bit_for_bit(
    painter: Any, adapter: Callable[..., Adapter]
) -> None:
    before, layers = picture(painter), [type(layer) for layer in painter.unet.modules()]
    night = painted_with(painter, adapter("night"))
    both = painted_with(painter, adapter("night"), adapter("outline", 0.5))
    assert not torch.equal(night, before)
    assert not torch.equal(both, night)
    assert not torch.equal(both, painted_with(painter, adapter("night"), adapter("outline")))
    assert torch.equal(painted_with(painter, adapter("night", 0.0)), before)
    assert torch.equal(picture(painter), before)
    assert [type(layer) for layer in painter.unet.modules()] == layers


def test_a_painters_adapter_in_pefts_form_is_the_same_one(
    painter: Any, adapter: Callable[..., Adapter]
) -> None:
    found = painted_with(painter, adapter("night-as-peft"))
    torch.testing.assert_close(found, painted_with(painter, adapter("night")))


def test_a_painters_adapter_that_fails_leaves_it_unharmed(
    painter: Any, adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    before = picture(painter)
    for name, tensors in {
        "wide": {"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": (4, 5)},
        "astray": {"elsewhere.to_q": (4, 16)},
    }.items():
        (tmp_path / name).mkdir()
        halves = {f"{k}.lora_A.weight": torch.ones(shape) for k, shape in tensors.items()}
        halves |= {f"{k}.lora_B.weight": torch.ones(16, 4) for k in tensors}
        save_file(halves, tmp_path / name / "pytorch_lora_weights.safetensors")
        bad = Adapter(name, tmp_path / name, "c", 1.0, 1)
        with pytest.raises(LoadFailed, match=f"^{name} could not be put on"):
            painted_with(painter, adapter("night"), bad)
        assert torch.equal(picture(painter), before)


# Turns


def test_runs_with_other_adapters_at_the_same_time_do_not_mix(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    wanted: list[tuple[Adapter, ...]] = [(), (adapter("a"),), (), (adapter("b", 0.5),)]
    alone = [with_adapters(writer, *adapters) for adapters in wanted]
    mixed: list[int] = []

    def work(index: int) -> None:
        with torch.inference_mode():
            for _ in range(10):
                if not torch.equal(with_adapters(writer, *wanted[index]), alone[index]):
                    mixed.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(wanted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []


def test_runs_that_want_the_same_go_on_together(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    both_are_in = threading.Barrier(2, timeout=20)
    found: list[torch.Tensor] = []

    def work() -> None:
        with torch.inference_mode(), applied(writer, [adapter("a")], no_wait):
            both_are_in.wait()
            found.append(logits(writer))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert torch.equal(found[0], found[1])


def test_who_waits_can_leave_and_the_others_go_on(
    writer: Any, adapter: Callable[..., Adapter]
) -> None:
    def leave() -> None:
        raise Cancelled

    with applied(writer, [adapter("a")], no_wait):
        with pytest.raises(Cancelled), applied(writer, [], leave):
            pytest.fail("the base was used while an adapter was on")
        with applied(writer, [adapter("a")], leave):
            pass
    with_adapters(writer)


def test_who_came_first_is_served_first(writer: Any, adapter: Callable[..., Adapter]) -> None:
    """Else a stream of runs on the base would keep an adapter out for ever."""
    order: list[str] = []
    waits = threading.Event()

    def work() -> None:
        with applied(writer, [adapter("a")], waits.set):
            order.append("adapter")

    def late() -> None:
        with applied(writer, [], no_wait):
            order.append("base")

    with applied(writer, [], no_wait):
        first = threading.Thread(target=work)
        first.start()
        assert waits.wait(20)
        second = threading.Thread(target=late)
        second.start()
        second.join(0.3)
        assert order == []
    first.join()
    second.join()
    assert order == ["adapter", "base"]
