"""The plan of a fine-tune: base, data, trainable weights, budget."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from pipelines.device import Device
from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.texts import LEAST_HELD_OUT, held_out_count
from pipelines.hub import Snapshot, resolve
from pipelines.recipes.command_line import Options
from pipelines.settings import Settings
from pipelines.tasks import TASKS

MODES = {record.maker: record for record in TASKS.values()}
"""The task of each subcommand: writer, painter, captioner."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REFERENCE = re.compile(rf"{_NAME}(/{_NAME})?(@[A-Za-z0-9][A-Za-z0-9._/-]{{0,127}})?")


@dataclass(frozen=True)
class Plan:
    """One fine-tune.

    ``window`` counts the tokens that a writer reads in one piece; None: as many as it can, at
    most 1,024. ``rank`` is the LoRA's; None trains every weight. ``validation`` is the share of
    the data that is held out. ``patience`` is the number of evaluations without improvement after
    which the run stops; None never stops early.
    """

    mode: str
    base: Snapshot
    data: Path
    options: Options
    rank: int | None
    validation: float
    patience: int | None
    gradient_checkpointing: bool
    window: int | None = None

    @property
    def device(self) -> Device:
        """That of this process. Weights are float32; autocast computes in less where it can."""
        return Device(PartialState().device.type, "float32", "a fine-tune")

    def command(self) -> str:
        """The command that repeats it, without this machine's folders."""
        options = self.options
        budget = f"--steps {options.steps}" if options.minutes is None else ""
        parts = [
            f"python -m pipelines.recipes.finetune {self.mode}",
            f"--base {self.base.reference} --data {shlex.quote(self.data.name)} --output DIR",
            "--full" if self.rank is None else f"--lora-rank {self.rank}",
            "--smoke" if options.smoke else budget or f"--minutes {options.minutes:g}",
            f"--learning-rate {options.learning_rate:g} --batch-size {options.batch_size}",
            f"--validation {self.validation:g} --seed {options.seed}",
            "" if self.window is None else f"--window {self.window}",
            "" if self.patience is None else f"--patience {self.patience}",
            "--gradient-checkpointing" if self.gradient_checkpointing else "",
        ]
        return " ".join(part for part in parts if part)


def open_base(reference: str, mode: str, name: str | None = None) -> Snapshot:
    """The checked base: a folder, the name of an embedded model, or a reference on the Hub.

    Args:
        name: the reference that replaces a folder's path, which means nothing on another
            machine; by default the folder's name.

    Raises:
        StudioError: there is no such base, it is for another task, or the name is no reference.
    """
    if name is not None and _REFERENCE.fullmatch(name) is None:
        raise InvalidValue(
            f"--base-name is {abbreviated(name)}; give the base's reference, such as owner/repo."
        )
    folder = Path(reference)
    if folder.is_dir():
        folder = folder.resolve()
        settings = Settings(models_dir=folder.parent, hub_enabled=False)
        base = resolve(folder.name, MODES[mode].name, settings)
    else:
        base = resolve(reference, MODES[mode].name, Settings())
    if base.adapters:
        raise InvalidValue(f"--base is {abbreviated(reference)}, with an adapter; give its base.")
    return base if name is None else replace(base, reference=name)


def split(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train on and to hold out, sorted, the same for a seed.

    Raises:
        InvalidValue: too few for both parts.
    """
    held_out = held_out_count(count, share)
    if count - held_out < LEAST_HELD_OUT:
        raise InvalidValue(
            f"Of {count} samples {held_out} would be held out; {LEAST_HELD_OUT} or more must be "
            "left to train on. Give more data, or a smaller --validation."
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(order[held_out:]), sorted(order[:held_out])


def to_device(value: Any) -> Any:
    """A tensor or module on the device of this process."""
    return value.to(PartialState().device)
