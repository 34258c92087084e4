"""InceptionV3: wired, scaled and fed as the network of published FIDs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import nn

from pipelines.recipes.inception.model import build, features_of, resized
from tests.recipes.inception_weights import weights

PARTS = [320, 384, 384, 384, 384, 192]
"""Channels of the last block's branches, and of its pool."""


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.device("meta"):
        network = build()
    found = {name: t for name, t in weights().items() if not name.startswith("fc.")}
    network.load_state_dict(found, assign=True)
    return network.eval()


def drawn(height: int, width: int) -> Image.Image:
    """Curves in three colours, by a formula."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values: npt.NDArray[np.int64] = (x * x + 3 * y * x + 5 * y * y + 7 * c * x) // 8 % 256
    return Image.fromarray(values.astype(np.uint8))


def test_features_are_those_of_the_published_network(network: nn.Module) -> None:
    """The numbers are torch-fidelity 0.4.0's, with the same weights and pictures."""
    features = features_of(network, [drawn(96, 131), drawn(340, 410)])

    assert features.shape == (2, 2048)
    assert features.dtype == np.float64
    told = [(part.mean(), part.std()) for part in np.split(features[0], np.cumsum(PARTS)[:-1])]
    assert told == [
        pytest.approx(pair, rel=2e-5)
        for pair in (
            (0.4134144233, 0.4612301811),
            (0.4008088742, 0.6258841252),
            (0.2917306723, 0.4644927698),
            (0.2308618324, 0.3935378776),
            (0.2467628669, 0.4641293423),
            (0.3228356834, 0.4639743331),
        )
    ]
    assert features[1, [0, 400, 800, 1200]] == pytest.approx(
        [0.1471586, 0.6834107, 0.7773352, 0.08003304], rel=1e-4
    )


def test_a_batch_gives_what_each_picture_gives(network: nn.Module) -> None:
    pictures = [drawn(20, 30), drawn(50, 9)]
    alone = np.concatenate([features_of(network, [picture]) for picture in pictures])
    assert features_of(network, pictures) == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_a_picture_is_resized_from_its_upper_left_corners() -> None:
    ramp = torch.tensor([[0, 100]], dtype=torch.uint8)[..., None].expand(1, 2, 3)
    row = resized(ramp)[0, :, 0]

    assert row[[0, 1, 149]].tolist() == pytest.approx([0, 200 / 299, 29_800 / 299])
    assert set(row[150:].tolist()) == {100}, "beyond the last corner there is nothing to reach for"
    assert (resized(ramp) == row[None, :, None]).all()
    assert (resized(ramp.transpose(0, 1)) == row[:, None, None]).all()
    large = torch.arange(598)[:, None, None].expand(598, 598, 3)
    assert resized(large)[:, 0, 0].tolist() == list(range(0, 598, 2)), "not smoothed first"
