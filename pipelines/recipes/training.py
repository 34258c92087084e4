"""What every recipe's training shares: options, budget, state, averaged weights, log.

The loss, the model and the data stay in each recipe's ``train.py``. Randomness comes
from ``(seed, step)`` alone, so that a run which is killed and resumed sees what it
would have seen.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel

from pipelines.hub.selection import TRAINING_LOG

BETAS = (0.9, 0.99)
STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
_SMOKE_STEPS = 3


@dataclass(frozen=True)
class Options:
    """How long to train, where to keep the state, and from what to begin.

    Exactly one of ``steps`` and ``minutes`` is set. Runs by ``steps`` repeat bit for
    bit on one machine; runs by ``minutes`` stop by the clock and do not.
    """

    run_dir: Path
    output: Path
    steps: int | None
    minutes: float | None
    smoke: bool
    resume: bool
    seed: int
    batch_size: int
    learning_rate: float
    init_from: Path | None = None


def parser(
    description: str, run_dir: str, output: str, batch_size: int, learning_rate: float
) -> argparse.ArgumentParser:
    """The options that all recipes have; a recipe adds its own."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    budget = options.add_mutually_exclusive_group(required=True)
    budget.add_argument("--steps", type=int, help="train for this many steps, repeatable")
    budget.add_argument("--minutes", type=float, help="train for this long by the clock")
    budget.add_argument("--smoke", action="store_true", help="a few steps on tiny sizes")
    options.add_argument("--resume", action="store_true", help="go on from the run directory")
    options.add_argument("--init-from", type=Path, help="begin with the weights of this checkpoint")
    options.add_argument(
        "--run-dir", type=Path, default=Path.home() / ".cache/triptych/runs" / run_dir
    )
    options.add_argument("--output", type=Path, default=Path("assets/models") / output)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--batch-size", type=int, default=batch_size)
    options.add_argument("--learning-rate", type=float, default=learning_rate)
    return options


def options_from(arguments: argparse.Namespace) -> Options:
    """Checks the common options and freezes them.

    Raises:
        SystemExit: a budget that is not positive.
    """
    for name in ("steps", "minutes", "batch_size", "learning_rate"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise SystemExit(f"--{name.replace('_', '-')} is {value}; it must be above 0")
    if arguments.init_from is not None and not arguments.init_from.is_dir():
        raise SystemExit(f"--init-from: there is no directory {arguments.init_from}")
    return Options(
        run_dir=arguments.run_dir,
        output=arguments.output,
        steps=_SMOKE_STEPS if arguments.smoke else arguments.steps,
        minutes=None if arguments.smoke else arguments.minutes,
        smoke=arguments.smoke,
        resume=arguments.resume,
        seed=arguments.seed,
        batch_size=min(4, arguments.batch_size) if arguments.smoke else arguments.batch_size,
        learning_rate=arguments.learning_rate,
        init_from=arguments.init_from,
    )


class Optimizer(Protocol):
    """What a run asks of an optimiser; those of torch have it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> Any: ...

    def zero_grad(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class Run:
    """One training run: counts steps, updates and averages weights, keeps state and log."""

    def __init__(
        self,
        options: Options,
        model: torch.nn.Module,
        weight_decay: float = 0.01,
        ema_decay: float = 0.999,
        save_every_seconds: float = 240.0,
        optimizer: Callable[[torch.nn.Module, float, float], Optimizer] | None = None,
    ) -> None:
        """Reads the state of ``options.run_dir`` if ``options.resume``.

        Args:
            optimizer: makes one of the model, the learning rate and the weight decay; AdamW
                if not given.

        Raises:
            FileNotFoundError: ``resume`` without a state to go on from.
        """
        self.options = options
        self.accelerator = Accelerator(mixed_precision=precision())
        self.model = model.to(self.accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedModel(self.model, multi_avg_fn=_moving_average(ema_decay))
        build = adamw if optimizer is None else optimizer
        self.optimizer = build(self.model, options.learning_rate, weight_decay)
        self.step = 0
        self._prepared = 0.0
        self._elapsed_before = 0.0
        self._began = self._saved_at = time.monotonic()
        self._save_every_seconds = save_every_seconds
        options.run_dir.mkdir(parents=True, exist_ok=True)
        if options.resume:
            self._load_state()
        else:
            (options.run_dir / LOG_FILE).unlink(missing_ok=True)

    @property
    def elapsed_seconds(self) -> float:
        """Training time so far, that of resumed parts included."""
        return self._elapsed_before + time.monotonic() - self._began

    @property
    def progress(self) -> float:
        """The share of the budget that is used, from 0 to 1."""
        if self.options.minutes is not None:
            return min(1.0, self.elapsed_seconds / (60 * self.options.minutes))
        assert self.options.steps is not None
        return min(1.0, self.step / self.options.steps)

    def steps(self) -> Iterator[np.random.Generator]:
        """Yields a fresh random generator for each step until the budget is used.

        Torch's generator is seeded alike. State is saved now and then and at the end. The
        learning rate begins low with the first step, however long the data took to prepare.
        """
        if self.step == 0:
            self._prepared = self.progress
        while self.progress < 1.0:
            self.model.train()
            trained = (self.progress - self._prepared) / (1 - self._prepared)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(trained, self.options.learning_rate)
            torch.manual_seed(self.options.seed * 1_000_003 + self.step)
            yield np.random.default_rng((self.options.seed, self.step))
            self.step += 1
            if time.monotonic() - self._saved_at > self._save_every_seconds:
                self.save_state()
        self.save_state()

    def update(self, loss: torch.Tensor, clip_norm: float = 1.0) -> None:
        """One optimiser step on ``loss``, and one of the weights' moving average."""
        self.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.averaged.update_parameters(self.model)

    def is_due(self, every: int) -> bool:
        """True once every so many steps, and at the first."""
        return self.step % every == 0

    def log(self, **values: float) -> None:
        """Appends a line of JSON to the run's log, and prints it."""
        line = {"step": self.step, "seconds": round(self.elapsed_seconds, 1)}
        line |= {name: round(float(value), 5) for name, value in values.items()}
        with (self.options.run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(" ".join(f"{name}={value}" for name, value in line.items()), flush=True)

    def save_state(self) -> None:
        """Writes weights, average, optimiser and counters, by renaming a finished file."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "prepared": self._prepared,
            "elapsed_seconds": self.elapsed_seconds,
        }
        partial = self.options.run_dir / (STATE_FILE + ".partial")
        torch.save(state, partial)
        partial.replace(self.options.run_dir / STATE_FILE)
        self._saved_at = time.monotonic()

    def _load_state(self) -> None:
        path = self.options.run_dir / STATE_FILE
        if not path.is_file():
            raise FileNotFoundError(f"--resume: there is no {path}; leave the option out to begin")
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        if state["optimizer"].keys() != self.optimizer.state_dict().keys():
            raise SystemExit(
                f"--resume: {path} is of another optimiser; begin anew, --init-from its checkpoint"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self._prepared = state.get("prepared", 0.0)
        self._elapsed_before = state["elapsed_seconds"]


def draw_curves(run_dir: Path) -> None:
    """``curves.png``: what the log holds, each value over the steps in a field of its own."""
    from matplotlib.figure import Figure

    path = run_dir / LOG_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, lines):
        for name in line.keys() - {"step", "seconds"}:
            curves.setdefault(name, []).append((line["step"], line[name]))
    curves = {name: points for name, points in sorted(curves.items()) if len(points) > 1}
    if not curves:
        return
    figure = Figure(figsize=(6, 2.2 * len(curves)), layout="constrained")
    fields = figure.subplots(len(curves), squeeze=False)[:, 0]
    for field, (name, points) in zip(fields, curves.items(), strict=True):
        field.plot(*zip(*points, strict=True), linewidth=1)
        field.set_title(name, loc="left", fontsize=9)
        field.grid(alpha=0.3)
    fields[-1].set_xlabel("step")
    figure.savefig(run_dir / "curves.png", dpi=110)


def check_words(known: Any, wanted: Any, init_from: Path) -> None:
    """Refuses a checkpoint of ``--init-from`` whose tokenizer has other words.

    Raises:
        SystemExit: it has.
    """
    if known.get_vocab() != wanted.get_vocab():
        raise SystemExit(f"--init-from: {init_from} has the words of another world")


def bfloat16(device: torch.device) -> torch.autocast:
    """bfloat16 in a block, where the device computes it by itself."""
    return torch.autocast(device.type, torch.bfloat16, precision() == "bf16")


def keep_log(options: Options) -> None:
    """Draws the run's curves, and copies its log beside the checkpoint, where an evaluation
    finds them. The last that a recipe does, so that the saved files' scores are in both."""
    draw_curves(options.run_dir)
    shutil.copyfile(options.run_dir / LOG_FILE, options.output / TRAINING_LOG)


def forget_paths(checkpoint: Path) -> None:
    """Takes out of the configurations the folder that a part was once loaded from."""
    for file in checkpoint.rglob("*.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def learning_rate_at(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a half cosine down to a hundredth of the peak."""
    if progress < warmup:
        return peak * (progress + 1e-4) / warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    return peak * (0.01 + 0.99 * cosine)


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average that forgets the untrained weights soon.

    The decay begins near 0 and rises to its value with the number of updates.
    """

    @torch.no_grad()
    def update(averaged: Any, current: Any, updates: Any) -> None:
        count = float(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + count) / (10 + count)))

    return update


def precision() -> str:
    """``"bf16"`` where the hardware multiplies in it, else ``"no"``: emulated, it is slow."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


def adamw(model: torch.nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
    """The optimiser of all recipes that name no other."""
    groups = decaying(model.parameters(), weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS)


def decaying(parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimiser: matrices and kernels decay; biases and norms do not."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
