"""The autoencoders that picture recipes can build on, loaded by the class their files name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL

from pipelines.recipes.patches.model import PatchAutoencoder

Autoencoder: TypeAlias = AutoencoderKL | PatchAutoencoder


def load_autoencoder(folder: Path) -> Autoencoder:
    """The autoencoder of a folder, in float32, for use and not for training.

    Raises:
        SystemExit: there is none, or it is of another class.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise SystemExit(f"--vae: {folder} has no config.json; train an autoencoder first")
    name = json.loads(config.read_text(encoding="utf-8")).get("_class_name")
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (AutoencoderKL, PatchAutoencoder)}
    if name not in kinds:
        raise SystemExit(f"--vae: {folder} holds a {name}; known are {', '.join(kinds)}")
    autoencoder: Autoencoder = kinds[name].from_pretrained(folder, dtype=torch.float32).eval()
    return autoencoder
