"""Muon for some layers of a model, AdamW for all else, behind one optimiser's interface.

Muon turns the momentum of a weight matrix into the nearest orthogonal one, so that every
direction of it learns at the same pace (Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon). A convolution is a matrix too: a row for each
output channel. ``torch.optim.Muon`` takes matrices alone, so it gets views. It multiplies
in bf16 everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from pipelines.recipes import training


class MuonWithAdamW:
    """``torch.optim.Muon`` for some layers' weights and ``torch.optim.AdamW`` for the others.

    Both have one learning rate: Muon's steps are scaled to be as long as AdamW's (Liu et
    al., 2025, arXiv:2502.16982, equation 4).
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[nn.Linear | nn.Conv2d | Conv1D],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """
        Args:
            layers: those of ``model`` whose weights Muon trains. Layers that read the input or
                write the output are better left to AdamW.
            weight_decay: of matrices and kernels, per step, times the learning rate.
        """
        self._viewed = [(layer.weight, nn.Parameter(_rows(layer.weight.data))) for layer in layers]
        for weight, rows in self._viewed:
            assert weight.data_ptr() == rows.data_ptr(), (
                "a copy would be trained instead of the model"
            )
        taken = {id(weight) for weight, _ in self._viewed}
        others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
        self._muon = torch.optim.Muon(
            [rows for _, rows in self._viewed],
            lr=learning_rate,
            weight_decay=weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            training.decaying(others, weight_decay), lr=learning_rate, betas=training.BETAS
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both, for a schedule to set the learning rate in."""
        return [*self._muon.param_groups, *self._adamw.param_groups]

    def step(self) -> None:
        for weight, rows in self._viewed:
            rows.grad = None if weight.grad is None else _rows(weight.grad)
        self._muon.step()
        self._adamw.step()

    def zero_grad(self) -> None:
        for weight, _ in self._viewed:
            weight.grad = None
        self._muon.zero_grad()
        self._adamw.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])


def muon_or_adamw(
    model: nn.Module, learning_rate: float, weight_decay: float, for_adamw: Collection[str]
) -> training.Optimizer:
    """Muon for linear layers and convolutions but those in ``for_adamw``, AdamW for the rest.

    AdamW for all where bf16 is only emulated: there Muon is slow.
    """
    if training.precision() == "no":
        return training.adamw(model, learning_rate, weight_decay)
    layers = [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | Conv1D) and name not in for_adamw
    ]
    return MuonWithAdamW(model, layers, learning_rate, weight_decay)


def _rows(weight: torch.Tensor) -> torch.Tensor:
    """A view ``(out, in)``, or ``(out, height * width * in)`` of a channels-last kernel."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)
