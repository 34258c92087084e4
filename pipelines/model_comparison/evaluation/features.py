"""Readings of pictures, and features of pictures and texts in one space, for scores.

They are by models that are not themselves evaluated. ``extractors`` has what FID and KID are of.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.device import Device
from pipelines.errors import LoadFailed, ModelUnavailable, abbreviated
from pipelines.events import Progress
from pipelines.hub import Snapshot, local_models, read_json
from pipelines.hub.local import content_hash
from pipelines.image_captioning.pipeline import load_captioner
from pipelines.images import open_picture
from pipelines.loading import OFFLINE, load_model
from pipelines.metrics.clip import PREFIX
from pipelines.model_comparison.evaluation.request import EMBEDDED_EXTRACTOR
from pipelines.settings import Limits, Settings
from pipelines.studio import Loaded, Studio, parameter_bytes

Array = npt.NDArray[np.float64]
AT_ONCE = 32
_BEAMS, _LONGEST_READING = 4, 40
_CLIP_CLASSES = ("CLIPModel", "VisionTextDualEncoderModel")


class PictureReader:
    """Captions of pictures by the embedded captioner; each picture is read once."""

    def __init__(self, loaded: Loaded, limits: Limits) -> None:
        self._captioner = loaded.model
        self._limits = limits
        self._known: dict[Path, str] = {}
        weights = weights_hash(loaded.snapshot.path)
        self.name = f"{EMBEDDED_EXTRACTOR}@{weights},beams:{_BEAMS},tokens:{_LONGEST_READING}"

    def of(self, files: Sequence[Path]) -> list[str]:
        """The likeliest caption of each picture."""
        fill(self._known, files, self._captions)
        return [self._known[file] for file in files]

    def _captions(self, files: Sequence[Path]) -> list[str]:
        import torch

        model, tokenizer = self._captioner.model, self._captioner.tokenizer
        pictures = [open_picture(file, self._limits) for file in files]
        pixels = self._captioner.processor(images=pictures, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            tokens = model.generate(
                pixels.to(model.device, model.dtype),
                do_sample=False,
                num_beams=_BEAMS,
                max_length=_LONGEST_READING,
            )
        return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


class ClipFeatures:
    """Features of pictures and texts in one space."""

    def __init__(self, parts: tuple[Any, Any, Any], name: str, prefix: str, limits: Limits) -> None:
        self._parts = parts
        self._prefix = prefix
        self._limits = limits
        self._pictures: dict[Path, Array] = {}
        self._texts: dict[str, Array] = {}
        self.name = name

    def of(self, files: Sequence[Path]) -> Array:
        """Features of pictures in files: ``(n, d)``."""
        fill(self._pictures, files, self._of_pictures)
        return np.stack([self._pictures[file] for file in files])

    def of_texts(self, texts: Sequence[str]) -> Array:
        """Features of texts: ``(n, d)``."""
        fill(self._texts, texts, self._of_texts)
        return np.stack([self._texts[text] for text in texts])

    def _of_pictures(self, files: Sequence[Path]) -> Array:
        from pipelines.recipes.clip.model import features_of

        pictures = [open_picture(file, self._limits) for file in files]
        return features_of(*self._parts, pictures=pictures)[0]

    def _of_texts(self, texts: Sequence[str]) -> Array:
        from pipelines.recipes.clip.model import features_of

        return features_of(*self._parts, texts=texts, prefix=self._prefix)[1]


def fill(known: dict[Any, Any], wanted: Sequence[Any], of: Callable[[Any], Any]) -> None:
    """Adds what is ``of`` those wanted ones that are not known yet, a batch at a time."""
    missing = list(dict.fromkeys(item for item in wanted if item not in known))
    for start in range(0, len(missing), AT_ONCE):
        part = missing[start : start + AT_ONCE]
        known.update(zip(part, of(part), strict=True))


def open_captioner(studio: Studio) -> Generator[Progress, None, Loaded]:
    """The embedded captioner with its lease; ``PictureReader`` takes it.

    Raises:
        StudioError: it is not on this machine, or cannot be loaded.
    """
    return (yield from studio.open(EMBEDDED_EXTRACTOR, "describe", load_captioner, _bytes))


def load_clip(name: str, settings: Settings, device: Device) -> ClipFeatures:
    """A CLIP model of this machine, by its name.

    Raises:
        ModelUnavailable: there is none of that name.
        LoadFailed: it cannot be loaded.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    path = _clip_models(settings).get(name)
    if path is None:
        names = ", ".join(_clip_models(settings)) or "none"
        raise ModelUnavailable(
            f"There is no CLIP model {abbreviated(name)} on this machine; there are: {names}. Give "
            "one that is there as clip, or leave CLIPScore out."
        )
    snapshot = Snapshot(name, path, content_hash(path), "describe", 0, 0, "clip")
    try:
        model = load_model(AutoModel, snapshot, device)
        tokenizer = AutoTokenizer.from_pretrained(str(path), **OFFLINE)
        processor = AutoImageProcessor.from_pretrained(str(path), **OFFLINE)
    except (OSError, ValueError) as error:
        raise LoadFailed(f"{name} could not be loaded ({type(error).__name__}).") from error
    # CLIP of photographs was trained on sentences; one of a world of its own knows none of that.
    prefix = PREFIX if model.config.model_type == "clip" else ""
    called = re.sub(r"[@|\s]+", "-", name) + ("" if prefix else "-without-prefix")
    signed = f"{called}@{weights_hash(path)}"
    return ClipFeatures((model, tokenizer, processor), signed, prefix, settings.limits)


def clip_names(settings: Settings) -> list[str]:
    """The names of the CLIP models on this machine."""
    return list(_clip_models(settings))


def _clip_models(settings: Settings) -> dict[str, Path]:
    return {name: path for name, path in local_models(settings).items() if _is_clip(path)}


def _is_clip(path: Path) -> bool:
    try:
        found = read_json(path / "config.json").get("architectures")
    except ModelUnavailable:  # a broken folder is of no kind; who asks for it by name is told
        return False
    return isinstance(found, list) and found[:1] in [[name] for name in _CLIP_CLASSES]


def weights_hash(path: Path) -> str:
    """The first sixteen digits of the SHA-256 over a folder's weight files, or over one file.

    The recipes name an extractor by the same digits, so that scores can be held side by side.
    """
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _bytes(captioner: Any) -> int:
    return parameter_bytes(captioner.model)
