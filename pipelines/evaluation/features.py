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
from pipelines.errors import LoadFailed
from pipelines.evaluation.clips import resolve_clip
from pipelines.events import Progress
from pipelines.files.images import open_picture
from pipelines.hub import Snapshot
from pipelines.image_captioning.pipeline import load_captioner
from pipelines.metrics.clip import PREFIX
from pipelines.runtime.loading import OFFLINE, load_model
from pipelines.runtime.residency import Lease
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes, waited
from pipelines.settings import Limits

Array = npt.NDArray[np.float64]
EMBEDDED_EXTRACTOR = "emoji-captioner"
AT_ONCE = 32
_BEAMS, _LONGEST_READING = 4, 40


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

    def forget(self) -> None:
        self._known.clear()

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
    """Features of pictures and texts in one space, by the CLIP of a snapshot.

    Args:
        parts: its model, tokenizer and image processor.
    """

    def __init__(self, parts: tuple[Any, Any, Any], snapshot: Snapshot, limits: Limits) -> None:
        self._parts = parts
        self._limits = limits
        self._pictures: dict[Path, Array] = {}
        self._texts: dict[str, Array] = {}
        # CLIP of photographs was trained on sentences; one of a world of its own knows none of
        # that.
        self._prefix = PREFIX if parts[0].config.model_type == "clip" else ""
        called = re.sub(r"[@|\s]+", "-", snapshot.reference)
        if not self._prefix:
            called += "-without-prefix"
        self.name = f"{called}@{weights_hash(snapshot.path)}"
        self.snapshot = snapshot

    @property
    def reference(self) -> str:
        """What finds the same model again: of the Hub at its commit."""
        found = self.snapshot.reference
        return f"{found}@{self.snapshot.commit}" if "/" in found else found

    def of(self, files: Sequence[Path]) -> Array:
        """Features of pictures in files: ``(n, d)``."""
        fill(self._pictures, files, self._of_pictures)
        return np.stack([self._pictures[file] for file in files])

    def of_texts(self, texts: Sequence[str]) -> Array:
        """Features of texts: ``(n, d)``."""
        fill(self._texts, texts, self._of_texts)
        return np.stack([self._texts[text] for text in texts])

    def forget(self) -> None:
        self._pictures.clear()
        self._texts.clear()

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


def open_clip(studio: Studio, name: str) -> Generator[Progress, None, tuple[Lease, ClipFeatures]]:
    """A CLIP model of this machine or of the Hub, with the lease that keeps it in memory.

    Raises:
        StudioError: there is none of that name, or it cannot be fetched or loaded.
    """
    keep = studio.residency.commits()
    snapshot = yield from stream(
        lambda emit: resolve_clip(name, studio.settings, studio.device, emit, keep),
        may_go_on=True,
    )
    lease = studio.residency.lease(
        f"{snapshot.reference}@{snapshot.commit[:12]}",
        lambda: _load_clip(snapshot, studio.device),
        lambda parts: parameter_bytes(parts[0]),
        expected_bytes=snapshot.parameters * studio.device.dtype.itemsize,
    )
    yield from waited(lease, snapshot.reference)
    return lease, ClipFeatures(lease.model, snapshot, studio.settings.limits)


def _load_clip(snapshot: Snapshot, device: Device) -> tuple[Any, Any, Any]:
    """Model, tokenizer and image processor."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    try:
        model = load_model(AutoModel, snapshot, device)
        tokenizer = AutoTokenizer.from_pretrained(str(snapshot.path), **OFFLINE)
        processor = AutoImageProcessor.from_pretrained(str(snapshot.path), **OFFLINE)
    except (OSError, ValueError, ImportError) as error:
        raise LoadFailed(
            f"{snapshot.reference} could not be loaded ({type(error).__name__}). Give another CLIP "
            "model, or leave CLIPScore and recall out."
        ) from error
    return model, tokenizer, processor


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
