"""The discriminator, the losses of both sides, and what pictures go through before it sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from pipelines.recipes.gan.model import COMPONENTS, PATCH, Block, GANGenerator, Pooled, exactly
from pipelines.recipes.patches.model import PatchAutoencoder

CUT = 0.4
"""Edge of what is cut out of a picture, against the picture's."""
SHIFT = 2
"""The furthest that a picture is moved, in cells."""


class Discriminator(nn.Module):
    """Judges whether a picture is drawn, and whether its caption is its own.

    The caption enters at the end alone, as a projection (Miyato and Koyama, 2018,
    arXiv:1802.05637), so a picture's features serve several captions.
    """

    def __init__(self, text_width: int = 192, channels: tuple[int, ...] = (160, 192, 192)) -> None:
        """
        Args:
            channels: at 16, 8 and 4 cells a side.
        """
        super().__init__()
        self.to_cells = nn.Conv2d(3, COMPONENTS, PATCH, stride=PATCH).requires_grad_(False)
        befores = (COMPONENTS, *channels)
        self.enter = nn.ModuleList(
            nn.Conv2d(before, count, 1) for before, count in zip(befores, channels, strict=False)
        )
        self.blocks = nn.ModuleList(Block(count) for count in channels)
        width = 2 * channels[-1]
        self.whole = nn.Linear(16 * channels[-1], width)
        self.is_drawn = nn.Linear(width, 1)
        self.caption = Pooled(text_width, width)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Of pictures ``(B, 3, 128, 128)``: ``(B, width)``."""
        x = exactly(self.to_cells, pictures)
        for level, (enter, block) in enumerate(zip(self.enter, self.blocks, strict=True)):
            if level:
                x = functional.avg_pool2d(x, 2)
            x = block(enter(x))
        features: torch.Tensor = self.whole(functional.silu(x).flatten(1))
        return functional.silu(features)

    def verdict(
        self, features: torch.Tensor, words: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """``(B,)``, higher for a drawn picture of this caption."""
        matches = (features * self.caption(words, mask)).sum(dim=1) * features.shape[1] ** -0.5
        verdict: torch.Tensor = self.is_drawn(features)[:, 0] + matches
        return verdict.float()

    def forward(
        self, pictures: torch.Tensor, words: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        return self.verdict(self.features(pictures), words, mask)


class Pair(nn.Module):
    """Generator and discriminator as one module: one optimiser, one state to resume from."""

    def __init__(self, generator: GANGenerator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def begin_at_components(self, pictures: torch.Tensor) -> None:
        """Sets how patches are written and read to their principal components in these pictures.

        The generator's outputs are in units of their components' deviations, so that what it
        does not know yet is as faint as it is in pictures. For the discriminator, fine detail is
        louder than in pixels, but not as loud as colour.

        Args:
            pictures: ``(N, 3, H, W)`` in [-1, 1], ``N`` of some hundreds.
        """
        maps = PatchAutoencoder((8, 8, 8, 8), (1, 1, 1), COMPONENTS)
        maps.begin_at_components(pictures, power=0.0)
        self.generator.to_pixels.load_state_dict(maps.to_pixels.state_dict())
        maps.begin_at_components(pictures, power=0.5)
        self.discriminator.to_cells.load_state_dict(maps.to_cells.state_dict())

    def judged(
        self, pictures: torch.Tensor, words: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The verdicts, through which no gradient reaches the discriminator's own weights."""
        frozen = {name: each.detach() for name, each in self.discriminator.named_parameters()}
        verdicts = torch.func.functional_call(self.discriminator, frozen, (pictures, words, mask))
        return cast(torch.Tensor, verdicts)


def losses(
    pair: Pair,
    drawn: torch.Tensor,
    words: torch.Tensor,
    mask: torch.Tensor,
    penalty_weight: float,
) -> dict[str, torch.Tensor]:
    """Losses of one step: relativistic, with zero-centred penalties (R3GAN: Huang et al., 2025,
    arXiv:2501.05441, equations 3 and 8).

    Beside its painted picture, a drawn one is also held against itself with another's caption
    (Reed et al., 2016, arXiv:1605.05396).

    Args:
        drawn: pictures ``(B, 3, 128, 128)`` in [-1, 1].
        words, mask: of their captions.
        penalty_weight: of the penalties; at 0 they are not computed.

    Returns:
        ``painter`` without gradients for the discriminator, ``judge`` and ``caption`` without
        gradients for the generator, and ``penalty``, weighted.
    """
    noise = torch.randn(len(drawn), pair.generator.config.noise_size).to(drawn.device)
    painted = pair.generator(noise, words, mask).float()
    change = augmentation(len(drawn), drawn.device)
    drawn, painted = change(drawn), change(painted)
    features = pair.discriminator.features(drawn)
    of_drawn = pair.discriminator.verdict(features, words, mask)
    of_painted = pair.discriminator(painted.detach(), words, mask)
    of_another = pair.discriminator.verdict(features, words.roll(1, 0), mask.roll(1, 0))
    found = {
        "painter": functional.softplus(of_drawn.detach() - pair.judged(painted, words, mask)),
        "judge": functional.softplus(of_painted - of_drawn),
        "caption": functional.softplus(of_another - of_drawn),
    }
    values = {name: each.mean() for name, each in found.items()}
    if penalty_weight:
        slopes = [slope(pair.discriminator, each, words, mask) for each in (drawn, painted)]
        values["penalty"] = penalty_weight / 2 * torch.stack(slopes).sum()
    return values


def slope(
    discriminator: Discriminator, pictures: torch.Tensor, words: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The mean squared length of the verdict's gradient by the picture (Mescheder et al., 2018,
    arXiv:1801.04406)."""
    pictures = pictures.detach().requires_grad_()
    verdicts = discriminator(pictures, words, mask)
    (gradient,) = torch.autograd.grad(verdicts.sum(), pictures, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def augmentation(count: int, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Random changes, the same for every batch of ``count`` that they are applied to.

    Differentiable (Zhao et al., 2020, arXiv:2006.10738): pictures are moved by whole cells, and
    half of them lose a square. Colours stay, for captions name them.
    """
    shifts = torch.randint(-SHIFT, SHIFT + 1, (count, 2)) * PATCH
    middles, is_cut = torch.rand(count, 2), torch.rand(count) < 0.5

    def change(pictures: torch.Tensor) -> torch.Tensor:
        edge = pictures.shape[-1]
        reach = SHIFT * PATCH
        padded = functional.pad(pictures, [reach] * 4, mode="replicate")
        moved = torch.stack(
            [
                each[:, reach + y : reach + y + edge, reach + x : reach + x + edge]
                for each, (y, x) in zip(padded, shifts.tolist(), strict=True)
            ]
        )
        away = ((torch.arange(edge) + 0.5) / edge - middles[..., None]).abs() < CUT / 2
        square = away[:, 0, :, None] & away[:, 1, None, :] & is_cut[:, None, None]
        return moved * ~square[:, None].to(device)

    return change
