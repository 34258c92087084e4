"""Features of pictures for KID, FID and diversity, by the embedded encoder or InceptionV3.

InceptionV3 with the weights of 2015-12-05, which published FIDs use, does not ship. It is there
where the owner's model directory, or a folder in it, has these weights as a safetensors file with
the names of the usual conversion to PyTorch (``Conv2d_1a_3x3.conv.weight`` to ``fc.weight``). A
file is known by its header, whatever it is called: only these weights have 1,008 classes.
Scores are signed with the hash of the file, so two conversions of one pickle have two names.
Pickles are never loaded; the message for an owner who has only one says how to convert it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.device import Device
from pipelines.errors import LoadFailed, ModelUnavailable
from pipelines.evaluation.features import (
    EMBEDDED_EXTRACTOR,
    Array,
    PictureFeatures,
    of_pictures,
    open_captioner,
    weights_hash,
)
from pipelines.events import Progress
from pipelines.hub.headers import Tensor, read_header
from pipelines.runtime.residency import Lease
from pipelines.runtime.studio import Studio, parameter_bytes, waited
from pipelines.settings import Settings

INCEPTION = "InceptionV3-2015-12-05"
EXTRACTORS = (EMBEDDED_EXTRACTOR, INCEPTION)
"""What may compute the features of pictures; ``extractor_names`` has those on this machine."""

CLASSES = 1008
_FIRST_LAYER, _CLASSIFIER = "Conv2d_1a_3x3.conv.weight", "fc.weight"
_PICKLES = (".pth", ".pt")
_CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file; save_file({{name: '
    "tensor.contiguous() for name, tensor in torch.load('{0}', weights_only=True).items()}}, "
    "'{1}.safetensors')\""
)


def extractor_names(settings: Settings) -> list[str]:
    """The extractors on this machine, the embedded one first."""
    is_here = any(_classes(path) == CLASSES for path in _beneath(settings, ".safetensors"))
    return [name for name in EXTRACTORS if name != INCEPTION or is_here]


def open_extractor(
    studio: Studio, name: str
) -> Generator[Progress, None, tuple[Lease, PictureFeatures]]:
    """One of ``EXTRACTORS``, with the lease that keeps it in memory.

    Raises:
        StudioError: it is not on this machine, or cannot be loaded.
    """
    if name == INCEPTION:
        return (yield from _open_inception(studio))
    assert name == EMBEDDED_EXTRACTOR, name
    loaded = yield from open_captioner(studio)
    called = f"{EMBEDDED_EXTRACTOR}-encoder@{weights_hash(loaded.snapshot.path)}"
    return loaded.lease, of_pictures(called, partial(_pooled, loaded.model), studio.settings.limits)


def _pooled(captioner: Any, pictures: list[Image.Image]) -> Array:
    """The mean state of the encoder."""
    import torch

    from pipelines.recipes.captioner.model import pool

    model = captioner.model
    pixels = captioner.processor(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        cells = model.get_encoder()(pixels.to(model.device, model.dtype)).last_hidden_state
    features: Array = pool(cells).double().cpu().numpy()
    return features


def _open_inception(studio: Studio) -> Generator[Progress, None, tuple[Lease, PictureFeatures]]:
    path = _inception_file(studio.settings)
    name = f"{INCEPTION}@{weights_hash(path)}"
    lease = studio.residency.lease(
        name,
        lambda: _load_inception(path, studio.device),
        parameter_bytes,
        expected_bytes=path.stat().st_size,
    )
    yield from waited(lease, INCEPTION)
    from pipelines.recipes.inception.model import features_of

    return lease, of_pictures(name, partial(features_of, lease.model), studio.settings.limits)


def _load_inception(path: Path, device: Device) -> Any:
    """The network in float32 on every device: its features are too large for float16."""
    import torch
    from safetensors.torch import load_file

    from pipelines.recipes.inception.model import build

    with torch.device("meta"):
        network = build()
    layers = {name: t for name, t in network.state_dict().items() if t.is_floating_point()}
    given = read_header(path)
    faulty = [n for n, t in layers.items() if given.get(n) != Tensor("F32", tuple(t.shape))]
    if faulty:
        raise LoadFailed(
            f"{path.name} has not all of {INCEPTION} in float32: {len(faulty)} of its tensors are "
            f"missing or of another kind, {faulty[0]} the first. Convert the weights again."
        )
    weights = load_file(path)
    network.load_state_dict({name: weights[name] for name in layers}, assign=True)
    return network.to(device.kind).eval()


def _inception_file(settings: Settings) -> Path:
    """The file of the weights.

    Raises:
        ModelUnavailable: there is none; the message names similar files that are there.
    """
    others = []
    for path in _beneath(settings, ".safetensors"):
        classes = _classes(path)
        if classes == CLASSES:
            return path
        if classes is not None:
            others.append((path.name, classes))
    wanted = f"{INCEPTION}, the InceptionV3 of {CLASSES:,} classes that published FIDs use,"
    instead = f"Or measure with {EMBEDDED_EXTRACTOR}, which ships with this page."
    if others and others[0][1] == 0:
        raise ModelUnavailable(
            f"{others[0][0]} is an InceptionV3 without its classifier, {_CLASSIFIER}, by which its "
            f"training is known. Convert the whole file. {instead}"
        )
    if others:
        name, classes = others[0]
        raise ModelUnavailable(
            f"{name} is an InceptionV3 of {classes:,} classes, and {wanted} gives other numbers "
            f"(torchvision's has 1,000). Put its weights into the model directory. {instead}"
        )
    for path in _beneath(settings, *_PICKLES):
        if "inception" in f"{path.parent.name} {path.name}".lower():
            command = _CONVERT.format(path.name, path.stem)
            raise ModelUnavailable(
                f"{path.name} is a pickle, which can run code and is never loaded here. If you "
                f"trust it, convert it in its folder:\n{command}\n{instead}"
            )
    raise ModelUnavailable(
        f"{wanted} is not on this machine. Put its weights into the model directory (--model-dir) "
        f"as a safetensors file. {instead}"
    )


def _beneath(settings: Settings, *endings: str) -> Iterator[Path]:
    """The files of these endings in the owner's model directory and the folders in it."""
    directory = settings.extra_models_dir
    if directory is not None:
        found = (path for pattern in ("*", "*/*") for path in sorted(directory.glob(pattern)))
        yield from (path for path in found if path.suffix in endings and path.is_file())


def _classes(path: Path) -> int | None:
    """The number of classes of an InceptionV3, 0 without its last layer; None for other files."""
    try:
        tensors = read_header(path)
    except (ModelUnavailable, OSError):  # a broken or closed file is of no kind
        return None
    if _FIRST_LAYER not in tensors:
        return None
    shape = tensors[_CLASSIFIER].shape if _CLASSIFIER in tensors else ()
    return shape[0] if shape else 0
