"""The command-line options that all trainings share. Importing this module is cheap: no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

RUNS = Path.home() / ".cache/triptych/runs"
_SMOKE_STEPS, _SMOKE_BATCH_SIZE = 3, 4


@dataclass(frozen=True)
class Options:
    """How long to train, where to write, and which weights to start from.

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
    """A recipe's parser with the shared options; the recipe adds its own."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_training_options(options, batch_size)
    options.add_argument("--init-from", type=Path, help="start from the weights of this checkpoint")
    options.add_argument("--output", type=Path, help="the folder of the checkpoint")
    options.set_defaults(
        run_dir=RUNS / run_dir,
        output=Path("assets/models") / output,
        learning_rate=learning_rate,
    )
    return options


def add_training_options(options: argparse.ArgumentParser, batch_size: int) -> None:
    """Budget, resuming, run directory, seed, batch size and learning rate."""
    budget = options.add_mutually_exclusive_group(required=True)
    budget.add_argument("--steps", type=int, help="train for this many steps (repeatable)")
    budget.add_argument("--minutes", type=float, help="train for this long by the clock")
    budget.add_argument("--smoke", action="store_true", help="three steps at small sizes")
    options.add_argument("--resume", action="store_true", help="continue from the run directory")
    options.add_argument(
        "--run-dir",
        type=Path,
        help="folder of the training state and the log, by default in the cache",
    )
    options.add_argument("--seed", type=int, default=0, help="of data, weights and dropout")
    options.add_argument("--batch-size", type=int, default=batch_size, help="samples a step")
    options.add_argument(
        "--learning-rate", type=float, help="its peak; without it the recipe's own"
    )


def parse(
    options: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, Options]:
    """All arguments as parsed, and the shared ones checked.

    Raises:
        SystemExit: an option is wrong; the message says which.
    """
    parsed = options.parse_args(arguments)
    return parsed, options_from(parsed)


def options_from(parsed: argparse.Namespace) -> Options:
    """The shared options, checked.

    Raises:
        SystemExit: a number that is not positive, or ``--init-from`` names no folder.
    """
    for name in ("steps", "minutes", "batch_size", "learning_rate"):
        value = getattr(parsed, name)
        if value is not None and not value > 0:  # NaN fails as well
            raise SystemExit(f"--{name.replace('_', '-')} is {value}; it must be above 0")
    values: dict[str, Any] = {
        field.name: getattr(parsed, field.name, None) for field in fields(Options)
    }
    options = Options(**values)
    if options.init_from is not None and not options.init_from.is_dir():
        raise SystemExit(f"--init-from: there is no directory {options.init_from}")
    if options.smoke:
        batch_size = min(_SMOKE_BATCH_SIZE, options.batch_size)
        return replace(options, steps=_SMOKE_STEPS, batch_size=batch_size)
    return options
