"""Features for FID and KID: the encoder of the embedded captioner, for 128 x 128 pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from pipelines.recipes.captioner.model import IMAGE_EDGE, pool
from pipelines.recipes.captioner.ood_detector import encoder_features
from pipelines.recipes.emoji_scenes.data import Pixels, as_images
from pipelines.runtime.loading import OFFLINE

MODELS = Path("assets/models")
_CAPTIONER = "emoji-captioner"


@dataclass(frozen=True)
class Extractor:
    """A captioner, and its name with the hash of its weights, as signatures have it."""

    name: str
    model: Any

    def features(self, pictures: Sequence[Image.Image | Pixels]) -> npt.NDArray[np.float64]:
        """One row a picture, ``(N, C)``. Pictures are RGB or ``(128, 128, 3)`` uint8."""
        images = as_images([np.asarray(picture) for picture in pictures])
        features: npt.NDArray[np.float64] = (
            encoder_features(self.model, images, pool).double().numpy()
        )
        return features


def load_extractor(edge: int, models: Path | None = None) -> Extractor | None:
    """The extractor for pictures of ``edge`` pixels; None if there is none in ``models``."""
    path = (MODELS if models is None else models) / _CAPTIONER
    if edge != IMAGE_EDGE or not (path / "config.json").is_file():
        return None
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, **OFFLINE)
    return Extractor(f"{_CAPTIONER}-encoder@{checksum(path)}", model)


def checksum(model: Path) -> str:
    """The first sixteen digits of the SHA-256 over a model's weight files."""
    digest = hashlib.sha256()
    for file in sorted(model.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
