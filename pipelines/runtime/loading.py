"""Loads a vetted snapshot with transformers: safetensors only, no remote code, whole.

The libraries fill missing weights with random numbers and log a warning; here that is an error.
"""

from __future__ import annotations

from typing import Any

from pipelines.device import Device
from pipelines.errors import LoadFailed
from pipelines.hub import Snapshot, read_json
from pipelines.hub.own_models import architecture_of, own_class

OFFLINE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""For every ``from_pretrained``: only what is in the snapshot, and none of its code."""


def load_model(auto_class: Any, snapshot: Snapshot, device: Device) -> Any:
    """The model of a snapshot on the device, ready to infer; of our own class if it names one.

    Raises:
        LoadFailed: the checkpoint lacks some of the model's weights.
    """
    architecture = architecture_of(read_json(snapshot.path / "config.json"))
    kind = own_class(architecture) or auto_class
    model, info = kind.from_pretrained(
        str(snapshot.path),
        config=_configuration(kind, snapshot),
        use_safetensors=True,
        variant=snapshot.variant,
        dtype=device.dtype,
        output_loading_info=True,
        **OFFLINE,
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise LoadFailed(
            f"{snapshot.reference} is not whole: {len(missing)} of its weights are missing, "
            f"{missing[0]} the first. Export the checkpoint again, or choose another."
        )
    return model.to(device.kind).eval()


def _configuration(kind: Any, snapshot: Snapshot) -> Any:
    """A snapshot's configuration without the code and files that it may wish for.

    It can name kernels of the Hub for attention and experts, and another file of weights than
    the vetted one. Left open, transformers takes sdpa in each part that supports it, else eager.
    """
    from transformers import AutoConfig

    config_class = getattr(kind, "config_class", None) or AutoConfig
    config = config_class.from_pretrained(str(snapshot.path), **OFFLINE)
    config._attn_implementation = None
    config._experts_implementation = None
    config.transformers_weights = None
    return config
