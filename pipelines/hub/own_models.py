"""The classes of this repository that a checkpoint may name: the only code beside libraries'.

A checkpoint of our recipes is a folder like any of the Hub, and its files name classes that
neither diffusers nor transformers has. Each stands here, with its module. Names found in a
checkpoint are looked up in this table; nothing is imported by what a file says.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

CLASSES: Mapping[str, str] = {
    "ConditionalGANPipeline": "pipelines.recipes.gan.model",
    "ConditionalVAE": "pipelines.recipes.cvae.model",
    "ConditionalVAEPipeline": "pipelines.recipes.cvae.model",
    "FlowTransformer": "pipelines.recipes.flow_transformer.model",
    "FlowTransformerPipeline": "pipelines.recipes.flow_transformer.model",
    "GANGenerator": "pipelines.recipes.gan.model",
    "ImageGPTPipeline": "pipelines.recipes.image_gpt.model",
    "PatchAutoencoder": "pipelines.recipes.patches.model",
    "PictureGPT": "pipelines.recipes.image_gpt.model",
    "PictureTokenizer": "pipelines.recipes.image_gpt.model",
    "ShowAttendTell": "pipelines.recipes.show_attend_tell.model",
    "TokenSampler": "pipelines.recipes.image_gpt.model",
}
"""By module: pipelines (``_class_name``), their parts, and models (``architectures``)."""


def own_class(name: object) -> Any:
    """The class of this name, imported now; None where the table has none."""
    module = CLASSES.get(name) if isinstance(name, str) else None
    return module and getattr(importlib.import_module(module), str(name))


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The first class that a ``config.json`` names for its weights, None where it names none."""
    match config.get("architectures"):
        case [str(name), *_]:
            return name
    return None


def is_own_part(origin: list[object]) -> bool:
    """Whether a row of a ``model_index.json``, ``[module, class]``, is one of the table's."""
    match origin:
        case [module, str(name)]:
            return CLASSES.get(name, "") == module
    return False
