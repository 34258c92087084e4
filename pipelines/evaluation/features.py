"""Captions of painted pictures, and CLIP features of pictures and texts, for scores.

The models here are not themselves evaluated. ``extractors`` has the features for FID and KID.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.device import Device
from pipelines.errors import LoadFailed
from pipelines.evaluation.clips import resolve_clip
from pipelines.events import Progress
from pipelines.files.images import open_picture
from pipelines.hub import Snapshot
from pipelines.image_captioning.pipeline import load_captioner, size_of
from pipelines.metrics.clip import PREFIX
from pipelines.runtime.loading import OFFLINE, load_model
from pipelines.runtime.residency import Lease
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes, waited
from pipelines.settings import Limits

Array = npt.NDArray[np.float64]
Item = TypeVar("Item")
Value = TypeVar("Value")
EMBEDDED_EXTRACTOR = "emoji-captioner"
BATCH_SIZE = 32
_BEAMS, _LONGEST_READING = 4, 40


class Computed(Generic[Item, Value]):
    """Values of items, each computed once, a batch at a time.

    Args:
        name: what computes them, for the signatures of scores.
        compute: the values of a batch, in its order.
    """

    def __init__(self, name: str, compute: Callable[[Sequence[Item]], Iterable[Value]]) -> None:
        self.name = name
        self._compute = compute
        self._values: dict[Item, Value] = {}

    def of(self, items: Sequence[Item]) -> list[Value]:
        missing = list(dict.fromkeys(item for item in items if item not in self._values))
        for start in range(0, len(missing), BATCH_SIZE):
            batch = missing[start : start + BATCH_SIZE]
            self._values.update(zip(batch, self._compute(batch), strict=True))
        return [self._values[item] for item in items]

    def forget(self) -> None:
        self._values.clear()


PictureFeatures = Computed[Path, Array]
"""Of each picture file a vector, ``(d,)``."""
PictureReader = Computed[Path, str]
"""The likeliest caption of each picture file."""


def of_pictures(
    name: str, compute: Callable[[list[Image.Image]], Iterable[Value]], limits: Limits
) -> Computed[Path, Value]:
    """Values of pictures, which are opened from their files."""
    return Computed(name, lambda files: compute([open_picture(file, limits) for file in files]))


def picture_reader(loaded: Loaded, limits: Limits) -> PictureReader:
    """Captions of pictures by the embedded captioner."""
    name = f"{EMBEDDED_EXTRACTOR}@{weights_hash(loaded.snapshot.path)}"
    signature = f"{name},beams:{_BEAMS},tokens:{_LONGEST_READING}"
    return of_pictures(signature, partial(_captions, loaded.model), limits)


def _captions(captioner: Any, pictures: list[Image.Image]) -> list[str]:
    import torch

    model, tokenizer = captioner.model, captioner.tokenizer
    pixels = captioner.processor(images=pictures, return_tensors="pt")["pixel_values"]
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
        from pipelines.recipes.clip.model import features_of

        # CLIP of photographs was trained on sentences; one of emoji scenes was not.
        prefix = PREFIX if parts[0].config.model_type == "clip" else ""
        called = re.sub(r"[@|\s]+", "-", snapshot.reference)
        if not prefix:
            called += "-without-prefix"
        self.name = f"{called}@{weights_hash(snapshot.path)}"
        self.snapshot = snapshot
        self._pictures = of_pictures(
            self.name, lambda pictures: features_of(*parts, pictures=pictures)[0], limits
        )
        self._texts: Computed[str, Array] = Computed(
            self.name, lambda texts: features_of(*parts, texts=texts, prefix=prefix)[1]
        )

    @property
    def reference(self) -> str:
        """A name that resolves to the same model: for one of the Hub with its commit."""
        name = self.snapshot.reference
        return f"{name}@{self.snapshot.commit}" if "/" in name else name

    def of(self, files: Sequence[Path]) -> Array:
        """Features of pictures in files: ``(n, d)``."""
        return np.stack(self._pictures.of(files))

    def of_texts(self, texts: Sequence[str]) -> Array:
        """Features of texts: ``(n, d)``."""
        return np.stack(self._texts.of(texts))

    def forget(self) -> None:
        self._pictures.forget()
        self._texts.forget()


def open_captioner(studio: Studio) -> Generator[Progress, None, Loaded]:
    """The embedded captioner with its lease; ``picture_reader`` takes it.

    Raises:
        StudioError: it is not on this machine, or cannot be loaded.
    """
    return (yield from studio.open(EMBEDDED_EXTRACTOR, "describe", load_captioner, size_of))


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

    The recipes name an extractor by the same digits, so that their scores can be compared.
    """
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
