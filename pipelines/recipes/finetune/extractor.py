"""What turns pictures into features for FID and KID, where there is something at hand.

The embedded captioner's encoder knows the emoji world, whose pictures are 128 x 128. For
pictures of other sizes nothing is at hand, and no distance is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from pipelines.loading import OFFLINE
from pipelines.recipes.captioner.familiarity import features_of
from pipelines.recipes.captioner.model import IMAGE_EDGE
from pipelines.recipes.score import MODELS, as_tensor, checksum

_CAPTIONER = "emoji-captioner"


@dataclass(frozen=True)
class Extractor:
    """An encoder, and its name with the hash of its weights."""

    name: str
    model: Any

    def features(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float64]:
        """One row a picture: ``(N, C)``."""
        images = as_tensor(np.asarray(picture.convert("RGB")) for picture in pictures)
        features: npt.NDArray[np.float64] = features_of(self.model, images).double().numpy()
        return features


def extractor_at_hand(edge: int) -> Extractor | None:
    """The embedded captioner's encoder for pictures of its size; else None."""
    path = MODELS / _CAPTIONER
    if edge != IMAGE_EDGE or not (path / "config.json").is_file():
        return None
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, **OFFLINE)
    return Extractor(f"{_CAPTIONER}-encoder@{checksum(path)}", model)
