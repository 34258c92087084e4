"""InceptionV3 of the TensorFlow graph of 2015-12-05, which published FIDs and KIDs use.

The layers are those of Szegedy et al. (2016, arXiv:1512.00567), with the names of the usual
conversions to PyTorch. Other InceptionV3s differ: in this graph average pooling excludes the
padding, the last block pools by maximum, and pictures are resized as in TensorFlow 1. The
published weights are used as they are. Serving code may import this module.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

SIDE = 299
"""Width and height of the input in pixels."""

_Kernel = int | tuple[int, int]
_Step = tuple[int, _Kernel]
"""Channels out, and the kernel's size."""
_Branches = Mapping[str, Sequence[_Step]]

_ROW, _COLUMN = (1, 7), (7, 1)
_BOTH: tuple[_Step, _Step] = ((384, (1, 3)), (384, (3, 1)))


class _Convolution(nn.Module):
    """A convolution without bias, batch norm and ReLU."""

    def __init__(
        self, width: int, out: int, kernel: _Kernel, stride: int = 1, padding: str = "same"
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Parallel branches whose channels are concatenated, the pool's last.

    A branch is a chain of convolutions; in branches named in ``fork`` the last two have the same
    input. The pool's output goes through a convolution to ``pooled`` channels. If that is 0 the
    block halves the sides: the last convolutions have stride 2 and no padding, as the pool should.
    """

    def __init__(
        self,
        width: int,
        branches: _Branches,
        pool: nn.Module,
        pooled: int = 0,
        fork: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._paths: list[tuple[list[str], list[str]]] = []
        at_end = (1, "same") if pooled else (2, "valid")
        for name, steps in branches.items():
            length = len(steps) - (2 if name in fork else 1)
            chain = [f"{name}_{number}" for number in range(1, length + 1)]
            last = f"{name}_{length + 1}" if chain else name
            ends = [f"{last}a", f"{last}b"] if name in fork else [last]
            reached = width
            for place, (out, kernel) in zip(chain, steps[:length], strict=True):
                self.add_module(place, _Convolution(reached, out, kernel))
                reached = out
            for place, (out, kernel) in zip(ends, steps[length:], strict=True):
                self.add_module(place, _Convolution(reached, out, kernel, *at_end))
            self._paths.append((chain, ends))
        self.pool = pool
        self.branch_pool = _Convolution(width, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = []
        for chain, ends in self._paths:
            y = x
            for name in chain:
                y = self.get_submodule(name)(y)
            parts += [self.get_submodule(name)(y) for name in ends]
        return torch.cat([*parts, self.branch_pool(self.pool(x))], dim=1)


def _average() -> nn.Module:
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def _halved() -> nn.Module:
    return nn.MaxPool2d(3, stride=2)


def _squares(width: int, pooled: int) -> _Block:
    branches: _Branches = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
    }
    return _Block(width, branches, _average(), pooled)


def _stripes(inner: int) -> _Block:
    branches: _Branches = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(inner, 1), (inner, _ROW), (192, _COLUMN)],
        "branch7x7dbl": [
            (inner, 1), (inner, _COLUMN), (inner, _ROW), (inner, _COLUMN), (192, _ROW),
        ],
    }  # fmt: skip
    return _Block(768, branches, _average(), 192)


def _both_sides(width: int, pool: nn.Module) -> _Block:
    branches: _Branches = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), *_BOTH],
        "branch3x3dbl": [(448, 1), (384, 3), *_BOTH],
    }
    return _Block(width, branches, pool, 192, fork=("branch3x3", "branch3x3dbl"))


def build() -> nn.Sequential:
    """The untrained network without its classifier.

    From ``(B, 3, 299, 299)`` in [-1, 1] to ``(B, 2048)``.
    """
    halving: _Branches = {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}
    last_halving: _Branches = {
        "branch3x3": [(192, 1), (320, 3)],
        "branch7x7x3": [(192, 1), (192, _ROW), (192, _COLUMN), (192, 3)],
    }
    layers: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": _Convolution(3, 32, 3, 2, "valid"),
        "Conv2d_2a_3x3": _Convolution(32, 32, 3, 1, "valid"),
        "Conv2d_2b_3x3": _Convolution(32, 64, 3),
        "halved_to_73": _halved(),
        "Conv2d_3b_1x1": _Convolution(64, 80, 1),
        "Conv2d_4a_3x3": _Convolution(80, 192, 3, 1, "valid"),
        "halved_to_35": _halved(),
        "Mixed_5b": _squares(192, 32),
        "Mixed_5c": _squares(256, 64),
        "Mixed_5d": _squares(288, 64),
        "Mixed_6a": _Block(288, halving, _halved()),
        "Mixed_6b": _stripes(128),
        "Mixed_6c": _stripes(160),
        "Mixed_6d": _stripes(160),
        "Mixed_6e": _stripes(192),
        "Mixed_7a": _Block(768, last_halving, _halved()),
        "Mixed_7b": _both_sides(1280, _average()),
        "Mixed_7c": _both_sides(2048, nn.MaxPool2d(3, stride=1, padding=1)),
        "average": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
    }
    return nn.Sequential(OrderedDict(layers))


def features_of(network: nn.Module, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float64]:
    """Features ``(n, 2048)`` of RGB pictures of any size.

    Args:
        network: from ``build``, in float32 and in evaluation mode.
    """
    device = next(network.parameters()).device
    pixels = [resized(torch.from_numpy(np.array(picture)).to(device)) for picture in pictures]
    with torch.inference_mode():
        features = network((torch.stack(pixels).permute(0, 3, 1, 2) - 128) / 128)
    return np.asarray(features.double().cpu().numpy())


def resized(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels resized as by TensorFlow 1: ``(299, 299, 3)`` float, 0 to 255.

    Bilinear, with a pixel at its upper left corner, and without smoothing before reducing.

    Args:
        pixels: ``(H, W, 3)``, 0 to 255.
    """
    for axis in (1, 0):
        count = pixels.shape[axis]
        at = torch.arange(SIDE, dtype=torch.float32, device=pixels.device) * (count / SIDE)
        before = at.long()
        after = (before + 1).clamp(max=count - 1)
        share = (at - before).view(-1, *[1] * (2 - axis))
        low = pixels.index_select(axis, before).float()
        high = pixels.index_select(axis, after).float()
        pixels = low + (high - low) * share
    return pixels
