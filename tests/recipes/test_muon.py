"""Muon for some layers and AdamW for the others, as one optimiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipelines.recipes.muon import MuonWithAdamW
from pipelines.recipes.training import BETAS


def small_model() -> Any:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1))
    return model.to(memory_format=torch.channels_last)


def learn(model: nn.Module, optimizer: MuonWithAdamW, steps: int, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        images = torch.randn(2, 3, 6, 6, generator=generator)
        model(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_kernel_steps_as_the_matrix_of_its_output_channels_does() -> None:
    model, twin = small_model(), small_model()
    optimizer = MuonWithAdamW(model, [model[1]], 1e-2, 0.1)
    kernel = twin[1].weight
    matrix = nn.Parameter(kernel.detach().permute(0, 2, 3, 1).reshape(4, -1).clone())
    alone = torch.optim.Muon([matrix], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    images = torch.randn(2, 3, 6, 6)
    for each in (model, twin):
        each(images).square().mean().backward()
    matrix.grad = kernel.grad.permute(0, 2, 3, 1).reshape(4, -1)
    optimizer.step()
    alone.step()
    moved = model[1].weight.detach().permute(0, 2, 3, 1).reshape(4, -1)
    assert not torch.equal(moved, kernel.detach().permute(0, 2, 3, 1).reshape(4, -1))
    assert torch.equal(moved, matrix.detach())


def test_the_other_layers_and_all_biases_step_as_adamw_steps_them() -> None:
    model, twin = small_model(), small_model()
    optimizer = MuonWithAdamW(model, [model[1]], 1e-2, 0.1)
    alone = torch.optim.AdamW(
        [
            {"params": [twin[0].weight, twin[1].weight], "weight_decay": 0.1},
            {"params": [twin[0].bias, twin[1].bias], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=BETAS,
    )
    images = torch.randn(2, 3, 6, 6)
    for each in (model, twin):
        each(images).square().mean().backward()
    optimizer.step()
    alone.step()
    assert torch.equal(model[0].weight, twin[0].weight)
    assert torch.equal(model[1].bias, twin[1].bias)
    assert not torch.equal(model[1].weight, twin[1].weight)


def test_a_schedule_reaches_both_and_gradients_are_cleared() -> None:
    model = small_model()
    optimizer = MuonWithAdamW(model, [model[1]], 1e-2, 0.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    learn(model, optimizer, steps=1)
    for parameter, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
        assert parameter.grad is None


def test_one_that_reads_its_state_goes_on_in_the_same_bits() -> None:
    whole, halves = small_model(), small_model()
    optimizer = MuonWithAdamW(whole, [whole[1]], 1e-2, 0.1)
    learn(whole, optimizer, 3)
    learn(whole, optimizer, 2, seed=2)
    first = MuonWithAdamW(halves, [halves[1]], 1e-2, 0.1)
    learn(halves, first, 3)
    second = MuonWithAdamW(halves, [halves[1]], 1e-2, 0.1)
    second.load_state_dict(first.state_dict())
    learn(halves, second, 2, seed=2)
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_kernel_that_cannot_be_viewed_as_rows_is_refused() -> None:
    """Of one in another memory order a copy would learn, and the model would stay as it is."""
    model = small_model().to(memory_format=torch.contiguous_format)
    with pytest.raises(AssertionError, match="copy"):
        MuonWithAdamW(model, [model[1]], 1e-2, 0.1)
