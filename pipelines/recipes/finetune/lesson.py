"""What the three modes have in common: base and fine-tune opened, saved, scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel

from pipelines.errors import InvalidValue
from pipelines.files.imagefolder import DataLimits, Pair, usable_pairs
from pipelines.metrics import interval
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.finetune import lora
from pipelines.recipes.finetune.plan import Plan, split, to_device
from pipelines.runtime.loading import OFFLINE, load_model

GLANCE = 64
"""Held-out pictures, at most, that are scored during training."""


class Lesson(ABC):
    """A base with its trainable part, the data, and how a model is measured and shown.

    ``model`` holds the trainable weights. Scores and samples are of any model of the kind:
    the base, the one in training, or the saved fine-tune. ``on_work`` is called with amounts
    of work as they are done, in the unit of ``work``.
    """

    evaluate_every = 100
    auto_class: Any
    model: Any
    glanced: int
    """Held-out samples that ``glance`` is of; ``tune`` lowers it where time is short."""

    data_sha256: str
    data_size: str
    window: int | None = None
    """Tokens that a writer is trained on in one piece."""

    _readers: Sequence[Any] = ()
    """Tokenizer and processor, saved beside a whole model."""

    def __init__(self, plan: Plan, family: str, example: str) -> None:
        """
        Raises:
            InvalidValue: the base is not of this family.
        """
        self._plan = plan
        self.on_work: Callable[[float], None] = lambda amount: None
        if plan.base.family != family:
            raise InvalidValue(
                f"{plan.base.reference} is of the family {plan.base.family}; give a base of the "
                f"family {family}, such as {example}."
            )

    @property
    def whole(self) -> Any:
        """The model in training, as ``glance``, ``measure`` and ``show`` take it."""
        return self.model

    @property
    @abstractmethod
    def work(self) -> tuple[int, int]:
        """The amounts of ``measure`` with ``show``, and of ``glance``."""

    @abstractmethod
    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Of a random batch."""

    def held_out(self) -> dict[str, float]:
        """Scores during training."""
        return self.glance(self.whole)

    @abstractmethod
    def glance(self, model: Any) -> dict[str, float]:
        """``held_out_loss`` and other values, on a few held-out samples."""

    @abstractmethod
    def measure(self, model: Any) -> dict[str, Score]:
        """Scores on all held-out samples."""

    @abstractmethod
    def show(self, model: Any) -> Sequence[Any]:
        """A few samples of what the model makes."""

    @abstractmethod
    def write_samples(self, before: Sequence[Any], after: Sequence[Any], folder: Path) -> str:
        """Writes what ``show`` gives of base and fine-tune; returns Markdown for the card."""

    def open_base(self) -> Any:
        """The base as it is, in float32."""
        return load_model(self.auto_class, self._plan.base, self._plan.device)

    def open_tuned(self, base: Any, folder: Path) -> Any:
        """The saved fine-tune: the base with the adapter, or a whole model."""
        if self._plan.rank is not None:
            return PeftModel.from_pretrained(base, folder).eval()
        options = {"dtype": torch.float32, **OFFLINE}
        return to_device(self.auto_class.from_pretrained(folder, **options))

    def save(self, folder: Path) -> None:
        """Writes the adapter, or the whole model; in half precision."""
        if self._plan.rank is not None:
            lora.save_adapter(self.model, folder, self._plan.base.reference)
        else:
            results.write_checkpoint(self.model, folder, *self._readers)

    def _prepared(self, base: Any, task: str | None = None) -> Any:
        """The base ready to train, under a new adapter or with every weight."""
        plan = self._plan
        model = base
        if plan.rank is not None:
            model = lora.add_adapter(base, plan.rank, plan.options.seed, task)
        # Only now: peft would hook the inputs, which only reentrant checkpointing needs.
        if plan.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return to_device(model)


class PictureLesson(Lesson):
    """One with captioned pictures, of which a share is held out."""

    def __init__(self, plan: Plan, folder: Path, family: str, example: str) -> None:
        """
        Raises:
            InvalidValue: the pictures cannot be used, or the base is not of this family.
        """
        self._pairs, report = usable_pairs(folder, DataLimits())
        self.data_sha256, self.data_size = report.sha256, f"{len(self._pairs):,} pictures"
        self._seen, self._held_out = split(len(self._pairs), plan.validation, plan.options.seed)
        self.glanced = min(GLANCE, len(self._held_out))
        super().__init__(plan, family, example)

    def _drawn(self, indices: Sequence[int], rng: np.random.Generator) -> list[Pair]:
        """Pictures to learn from, each with one of its captions, drawn anew at every showing."""
        pairs = [self._pairs[index] for index in indices]
        return [replace(p, text=p.captions[rng.integers(len(p.captions))]) for p in pairs]

    def _texts(self, indices: Sequence[int]) -> list[str]:
        """The first caption of each."""
        return [self._pairs[index].text for index in indices]

    def _mean(self, losses: Sequence[float], name: str) -> Score:
        """The mean of one loss for each held-out picture.

        Args:
            name: beginning of the signature.
        """
        count, mean = len(losses), float(np.mean(losses))
        variance = float(np.var(losses, ddof=1)) / count
        return Score(
            mean,
            *interval.student(mean, variance, count),
            samples=count,
            signature=f"{name}|data:{self.data_sha256[:16]}|samples:{count}|ci:t",
            higher_is_better=False,
        )
