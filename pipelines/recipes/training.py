"""The training loop of every recipe: schedule, update, moving average, state and log.

A recipe's ``train.py`` has the data, the model and the loss of one step. All randomness
of a step comes from ``(seed, step)``, so a resumed run continues exactly as if it had
not been interrupted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel
from transformers import AutoTokenizer

from pipelines.recipes.command_line import Options

BETAS = (0.9, 0.99)
STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"

Model = TypeVar("Model")
Optimizer = Any
"""A torch optimiser, or one with the same methods and ``param_groups``."""

Step = Callable[[np.random.Generator], tuple[torch.Tensor, Mapping[str, torch.Tensor]]]
"""One step's loss, and the values to log."""


def starting_model(
    options: Options, kind: type[Model], untrained: Callable[[], Model], tokenizer: Any = None
) -> Model:
    """An untrained model from the run's seed, or the checkpoint of ``--init-from`` in float32.

    Args:
        kind: the class whose ``from_pretrained`` loads the checkpoint.
        tokenizer: if given, the checkpoint must have the same vocabulary.

    Raises:
        SystemExit: the checkpoint's vocabulary differs.
    """
    path = options.init_from
    if path is None:
        torch.manual_seed(options.seed)
        return untrained()
    if tokenizer is not None:
        folder = path / "tokenizer" if (path / "tokenizer").is_dir() else path
        if AutoTokenizer.from_pretrained(folder).get_vocab() != tokenizer.get_vocab():
            raise SystemExit(f"--init-from: {path} was trained with another vocabulary")
    loader: Any = kind
    model: Model = loader.from_pretrained(path, dtype=torch.float32)
    return model


def run_tokenizer(options: Options, trained: Callable[[], Any]) -> Any:
    """The tokenizer in the run directory; a new run trains it, or takes that of ``--init-from``."""
    folder = options.run_dir / "tokenizer"
    if not options.resume:
        known = options.init_from
        new = trained() if known is None else AutoTokenizer.from_pretrained(known)
        new.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


class Run:
    """One training run: counts steps, updates and averages the weights, writes state and log."""

    def __init__(
        self,
        options: Options,
        model: torch.nn.Module,
        weight_decay: float = 0.01,
        ema_decay: float = 0.999,
        save_every_seconds: float = 240.0,
        optimizer: Callable[[torch.nn.Module, float, float], Optimizer] | None = None,
    ) -> None:
        """Loads the state in ``options.run_dir`` if ``options.resume``.

        Args:
            optimizer: builds the optimiser from model, learning rate and weight decay;
                AdamW by default.

        Raises:
            FileNotFoundError: ``resume`` without a saved state.
        """
        self.options = options
        self.accelerator = Accelerator(mixed_precision=precision())
        self.device: torch.device = self.accelerator.device
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
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
    def average(self) -> Any:
        """The model with the moving average of its weights, in evaluation mode."""
        return self.averaged.module.eval()

    @property
    def elapsed_seconds(self) -> float:
        """Training time so far, including the time before resuming."""
        return self._elapsed_before + time.monotonic() - self._began

    @property
    def progress(self) -> float:
        """The share of the budget that is used, from 0 to 1."""
        if self.options.minutes is not None:
            return min(1.0, self.elapsed_seconds / (60 * self.options.minutes))
        assert self.options.steps is not None
        return min(1.0, self.step / self.options.steps)

    def train(
        self,
        step: Step,
        evaluate: Callable[[], Mapping[str, float]],
        evaluate_every: int,
        log_every: int = 50,
    ) -> None:
        """Trains until the budget is used.

        Args:
            step: computes one step's loss, under autocast.
            evaluate: the held-out scores to log, first at step 0; none adds no line.
        """
        for rng in self.steps():
            with self.accelerator.autocast():
                loss, values = step(rng)
            self.update(loss)
            if self.step % log_every == 0:
                self.log(**{name: value.item() for name, value in values.items()})
            if self.step % evaluate_every == 0 and (scores := evaluate()):
                self.log(**scores)

    def steps(self) -> Iterator[np.random.Generator]:
        """Yields a new random generator for each step until the budget is used.

        Torch's generator is seeded the same way. State is saved every few minutes and at the
        end. Warm-up starts with the first step, however long preparing the data took.
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
        """One optimiser step on ``loss``, then one of the moving average."""
        self.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.averaged.update_parameters(self.model)

    def log(self, step: int | None = None, /, **values: float) -> None:
        """Appends a line of JSON to the run's log, and prints it.

        Args:
            step: the present one by default.
        """
        line = {
            "step": self.step if step is None else step,
            "seconds": round(self.elapsed_seconds, 1),
        }
        line |= {name: round(float(value), 5) for name, value in values.items()}
        with (self.options.run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(" ".join(f"{name}={value}" for name, value in line.items()), flush=True)

    def save_state(self) -> None:
        """Writes weights, average, optimiser and counters atomically: a whole file is renamed."""
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
            raise FileNotFoundError(f"--resume: there is no {path}; start without the option")
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["optimizer"].keys() != self.optimizer.state_dict().keys():
            raise SystemExit(
                f"--resume: {path} has another optimiser; start anew, --init-from its checkpoint"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self._prepared = state.get("prepared", 0.0)
        self._elapsed_before = state["elapsed_seconds"]


def bfloat16(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16 where the hardware supports it, else nothing."""
    return torch.autocast(device.type, torch.bfloat16, precision() == "bf16")


def learning_rate_at(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a half cosine down to a hundredth of the peak."""
    if progress < warmup:
        return peak * (progress + 1e-4) / warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    return peak * (0.01 + 0.99 * cosine)


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average whose decay rises from 0.1 to ``decay`` with the updates.

    So the untrained weights soon stop counting.
    """

    @torch.no_grad()
    def update(averaged: Any, current: Any, updates: Any) -> None:
        count = float(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + count) / (10 + count)))

    return update


def precision() -> str:
    """``"bf16"`` where the hardware multiplies in it, else ``"no"``: emulation is slow."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


def adamw(model: torch.nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
    """The default optimiser."""
    groups = decaying(model.parameters(), weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS)


def decaying(parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay for matrices and kernels, none for biases and norms."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
