"""Puts LoRA adapters on a loaded model and takes them off again, bit for bit.

A model is shared by runs that go on at the same time, and an adapter changes it for all of
them. So runs take turns: those that want the same adapters, or none, go on together; the
others wait, in the order in which they asked. The adapters come off with the last run that
wanted them, and the base's own weights are never written to.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from pipelines.device import Device
from pipelines.errors import LoadFailed
from pipelines.hub import Adapter, read_json
from pipelines.hub.adapters import CONFIG, memory_bytes, weights_file
from pipelines.hub.sources import Folder

_PEFT_PREFIX = "base_model.model."
_PLAIN_OPTIONS = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora")
_WAIT_SECONDS = 0.1

Wait = Callable[[], None]
"""Called every tenth of a second while a run waits for its turn; an exception ends the waiting."""


@contextmanager
def applied(
    model: Any, adapters: Sequence[Adapter], wait: Wait, *, is_alone: bool = False
) -> Iterator[None]:
    """Inside, the model is its base with the weighted sum of the adapters, or the bare base.

    Every run on a model that others share belongs inside, a run of the base too.

    Args:
        model: a torch module, or a diffusers pipeline.
        adapters: one of weight 0 counts as not given.
        is_alone: no other run goes on inside, not even one with the same adapters.

    Raises:
        LoadFailed: an adapter cannot be put on; the model is left as it was.
    """
    counted = [adapter for adapter in adapters if adapter.weight != 0]
    key = (*(_key(adapter) for adapter in counted), *([object()] if is_alone else []))
    with _turns_of(model).turn(key, lambda: _put_on(model, counted), wait):
        yield


@contextmanager
def applied_by_row(model: Any, rows: Sequence[Adapter | None], wait: Wait) -> Iterator[None]:
    """Inside, each row of a batch goes through the base with its own adapter, None without.

    Args:
        model: a torch module; whatever it computes inside has ``len(rows)`` rows.

    Raises:
        LoadFailed: an adapter cannot be put on; the model is left as it was.
    """
    counted = [row if row is not None and row.weight != 0 else None for row in rows]
    key = ("by row", *(None if row is None else _key(row) for row in counted))
    with _turns_of(model).turn(key, lambda: _put_on_rows(model, counted), wait):
        yield


def memory_of(adapters: Sequence[Adapter], device: Device) -> dict[Hashable, int]:
    """The memory of each adapter while it is on a model, in bytes."""
    return {
        _key(adapter): memory_bytes(Folder(adapter.reference, adapter.path), device)
        for adapter in adapters
        if adapter.weight != 0
    }


def _key(adapter: Adapter) -> tuple[str, str, float]:
    return adapter.reference, adapter.commit, adapter.weight


class _Turns:
    """The queue of one model's runs: those with the same adapters run together, else in turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._key: Hashable = None
        self._users = 0
        self._take_off: Callable[[], None] = _nothing

    @contextmanager
    def turn(
        self, key: Hashable, put_on: Callable[[], Callable[[], None]], wait: Wait
    ) -> Iterator[None]:
        """``put_on`` makes the state and returns what undoes it; it undoes its own failure."""
        is_first = self._admitted(key, wait)
        try:
            if is_first:
                self._take_off = put_on()
                with self._changed:
                    self._key = key
                    self._changed.notify_all()
            yield
        finally:
            with self._changed:
                self._users -= 1
                if self._users == 0:
                    take_off, self._take_off = self._take_off, _nothing
                    take_off()
                self._changed.notify_all()

    def _admitted(self, key: Hashable, wait: Wait) -> bool:
        """Waits for the turn; True for the first user, who has to make the state."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or (self._users > 0 and self._key != key):
                    if not self._changed.wait(_WAIT_SECONDS):
                        wait()
                self._users += 1
                if self._users == 1:
                    self._key = ticket  # no other run joins before the state is made
                return self._users == 1
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()


def _nothing() -> None:
    """What undoes the bare base."""


_turns: WeakKeyDictionary[Any, _Turns] = WeakKeyDictionary()
_turns_guard = threading.Lock()


def _turns_of(model: Any) -> _Turns:
    with _turns_guard:
        return _turns.setdefault(model, _Turns())


def _put_on(model: Any, adapters: Sequence[Adapter]) -> Callable[[], None]:
    if not adapters:
        return _nothing
    if hasattr(model, "components"):
        return _put_on_pipeline(model, adapters)
    return _put_on_module(model, adapters)


def _put_on_module(model: Any, adapters: Sequence[Adapter]) -> Callable[[], None]:
    """Puts all of them on a torch module, by peft."""
    names = [_name(index) for index in range(len(adapters))]
    with _undone_on_failure(lambda: _take_off_module(model)) as take_off:
        for name, adapter in zip(names, adapters, strict=True):
            with _telling(adapter):
                _inject(model, adapter, name)
        for layer in _lora_layers(model):
            layer.set_adapter(names, inference_mode=True)
    return take_off


def _put_on_rows(model: Any, rows: Sequence[Adapter | None]) -> Callable[[], None]:
    """Each on its rows alone: peft's layers take the name of an adapter for each row."""
    distinct = {_key(row): row for row in rows if row is not None}
    if not distinct:
        return _nothing
    take_off = _put_on_module(model, list(distinct.values()))
    places = {key: _name(index) for index, key in enumerate(distinct)}
    names = ["__base__" if row is None else places[_key(row)] for row in rows]

    def with_names(_: Any, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**options, "adapter_names": names}

    for layer in _lora_layers(model):  # the hook goes with the layer when it comes off
        layer.register_forward_pre_hook(with_names, with_kwargs=True)
    return take_off


def _name(index: int) -> str:
    """Ours, for peft builds the names of modules from it."""
    return f"adapter{index}"


def _inject(model: Any, adapter: Adapter, name: str) -> None:
    """Wraps the layers that the adapter has weights for, in the base's precision.

    peft would put a layer's own weights, which it saves beside a LoRA of embeddings, into the base.
    """
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    state = {
        key: tensor.to(model.device, model.dtype)
        for key, tensor in _weights(adapter).items()
        if ".lora_" in key
    }
    options = _options(adapter)
    layers = sorted({key.rpartition(".lora_")[0] for key in state})
    config = LoraConfig(**options, target_modules=layers, inference_mode=True)
    inject_adapter_in_model(config, model, name, low_cpu_mem_usage=True, state_dict=state)
    outcome: Any = set_peft_model_state_dict(model, state, name, low_cpu_mem_usage=True)
    missing = [key for key in outcome.missing_keys if f".{name}." in f"{key}."]
    if missing or outcome.unexpected_keys:
        raise LoadFailed(
            f"{adapter.reference} does not fit this base: {len(outcome.unexpected_keys)} of its "
            f"weights have no place and {len(missing)} are missing. Choose another base."
        )
    for layer in _lora_layers(model):
        layer.set_scale(name, adapter.weight)


def _lora_layers(model: Any) -> Iterator[Any]:
    from peft.tuners.lora import LoraLayer

    return (layer for layer in model.modules() if isinstance(layer, LoraLayer))


def _options(adapter: Adapter) -> dict[str, Any]:
    """The options of an adapter's configuration that say how its weights are to be read."""
    config = read_json(adapter.path / CONFIG)
    return {key: config[key] for key in _PLAIN_OPTIONS if config.get(key) is not None}


def _weights(adapter: Adapter) -> dict[str, Any]:
    from safetensors.torch import load_file

    state = load_file(weights_file(adapter.path))
    return {key.removeprefix(_PEFT_PREFIX): tensor for key, tensor in state.items()}


def _take_off_module(model: Any) -> None:
    """Puts the layers back that peft has wrapped, whole or half way."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                setattr(parent, name, child.get_base_layer())
    vars(model).pop("peft_config", None)


def _put_on_pipeline(pipeline: Any, adapters: Sequence[Adapter]) -> Callable[[], None]:
    """Puts all of them on a diffusers pipeline, by its own loader."""
    if not hasattr(pipeline, "load_lora_weights"):
        raise LoadFailed(
            f"{adapters[0].reference} is an adapter (LoRA), and the library has no way to put one "
            f"on a {type(pipeline).__name__}. Choose another base."
        )
    names = [_name(index) for index in range(len(adapters))]
    with _undone_on_failure(pipeline.unload_lora_weights) as take_off:
        for name, adapter in zip(names, adapters, strict=True):
            with _telling(adapter):
                pipeline.load_lora_weights(_pipeline_weights(pipeline, adapter), adapter_name=name)
                pipeline.set_adapters([name])  # fails where the loader found no place for any
        pipeline.set_adapters(names, [adapter.weight for adapter in adapters])
    return take_off


def _pipeline_weights(pipeline: Any, adapter: Adapter) -> dict[str, Any]:
    """The weights under diffusers' names; those in PEFT's form are for the denoiser."""
    if not (adapter.path / CONFIG).is_file():
        return _weights(adapter)
    options = {"lora_alpha": 8, **_options(adapter)}
    if options.get("alpha_pattern") or options.get("use_dora"):
        raise LoadFailed(
            f"{adapter.reference} is a LoRA in PEFT's form with a scale for each layer or a "
            "magnitude (DoRA), which cannot be put on a painter. Export it in diffusers' form."
        )
    denoiser = "unet" if "unet" in pipeline.components else "transformer"
    state = {}
    for key, tensor in _weights(adapter).items():
        if ".lora_B." in key:  # diffusers takes the rank for alpha where none is given
            rank = tensor.shape[1] ** (0.5 if options.get("use_rslora") else 1)
            tensor = tensor * (options["lora_alpha"] / rank)
        state[f"{denoiser}.{key}"] = tensor
    return state


@contextmanager
def _undone_on_failure(undo: Callable[[], None]) -> Iterator[Callable[[], None]]:
    with ExitStack() as stack:
        stack.callback(undo)
        yield undo
        stack.pop_all()


@contextmanager
def _telling(adapter: Adapter) -> Iterator[None]:
    """Turns what the libraries raise for an adapter that does not fit into words."""
    try:
        yield
    except LoadFailed:
        raise
    except Exception as error:
        raise LoadFailed(
            f"{adapter.reference} could not be put on this base ({type(error).__name__}). It may "
            "be damaged, or for another base: choose the one that it was trained on."
        ) from error
