"""What turns pictures into features for FID and KID, where there is something at hand.

The embedded captioner's encoder knows the emoji world, whose pictures are 128 x 128. For
pictures of other sizes nothing is at hand, and no distance is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from pipelines.recipes.captioner.familiarity import features_of
from pipelines.recipes.captioner.model import IMAGE_EDGE
from pipelines.recipes.emoji_scenes.data import Pixels, to_signed
from pipelines.runtime.loading import OFFLINE

MODELS = Path("assets/models")
_CAPTIONER = "emoji-captioner"


@dataclass(frozen=True)
class Extractor:
    """An encoder, and its name with the hash of its weights."""

    name: str
    model: Any

    def features(self, pictures: Sequence[Image.Image | Pixels]) -> npt.NDArray[np.float64]:
        """One row a picture: ``(N, C)``. Arrays are ``(128, 128, 3)``, uint8."""
        images = as_tensor(
            np.asarray(each.convert("RGB")) if isinstance(each, Image.Image) else each
            for each in pictures
        )
        features: npt.NDArray[np.float64] = features_of(self.model, images).double().numpy()
        return features


def extractor_at_hand(edge: int, models: Path | None = None) -> Extractor | None:
    """The embedded captioner's encoder for pictures of its size; else None."""
    path = (MODELS if models is None else models) / _CAPTIONER
    if edge != IMAGE_EDGE or not (path / "config.json").is_file():
        return None
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, **OFFLINE)
    return Extractor(f"{_CAPTIONER}-encoder@{checksum(path)}", model)


def as_tensor(pictures: Iterable[Pixels]) -> torch.Tensor:
    """``(N, 3, 128, 128)`` in [-1, 1]."""
    return torch.from_numpy(to_signed(np.stack(list(pictures))))


def checksum(model: Path) -> str:
    """The first sixteen digits of the SHA-256 over a model's weight files."""
    digest = hashlib.sha256()
    for file in sorted(model.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
