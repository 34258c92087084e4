"""Fine-tunes a writer, painter or captioner on your own data, and publishes the result.

    python -m pipelines.recipes.finetune writer --base fairytale-gpt --data texts --output DIR
        --steps 500
    python -m pipelines.recipes.finetune publish --folder DIR --repo owner/name

Several GPUs: ``accelerate launch -m pipelines.recipes.finetune ...``. ``publish`` reads the
token from ``HF_TOKEN``; nothing else does.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import StudioError
from pipelines.hub.publish import publish

if TYPE_CHECKING:
    from pipelines.recipes.finetune.plan import Plan

RUNS = Path.home() / ".cache/triptych/runs"
BATCH_SIZES = {"writer": 8, "painter": 16, "captioner": 16}
LEARNING_RATES = {"writer": 2e-3, "painter": 1e-3, "captioner": 1e-3}
FULL_FACTOR = 0.1
"""Whole weights take smaller steps than an adapter that begins at nothing."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    for mode, batch_size in BATCH_SIZES.items():
        data = "a .txt file or a folder" if mode == "writer" else "an imagefolder or its ZIP"
        add_training_options(commands.add_parser(mode), data, batch_size)
    upload = commands.add_parser("publish")
    upload.add_argument("--folder", type=Path, required=True, help="what a fine-tune has left")
    upload.add_argument("--repo", required=True, help="owner/name")
    upload.add_argument("--public", action="store_true", help="anybody may see it")
    return options


def add_training_options(options: argparse.ArgumentParser, data: str, batch_size: int) -> None:
    options.add_argument("--base", required=True, help="a folder, an embedded model, or owner/repo")
    options.add_argument("--base-name", help="reference of the base, where --base is a folder")
    options.add_argument("--data", type=Path, required=True, help=data)
    options.add_argument("--output", type=Path, required=True, help="folder of the result")
    amount = options.add_mutually_exclusive_group()
    amount.add_argument("--lora-rank", type=int, default=8)
    amount.add_argument("--full", action="store_true", help="train every weight")
    budget = options.add_mutually_exclusive_group(required=True)
    budget.add_argument("--steps", type=int, help="train for this many steps, repeatable")
    budget.add_argument("--minutes", type=float, help="train for this long by the clock")
    budget.add_argument("--smoke", action="store_true", help="three steps")
    options.add_argument("--learning-rate", type=float, help="by default the mode's own")
    options.add_argument("--batch-size", type=int, default=batch_size)
    options.add_argument("--validation", type=float, default=0.1, help="share that is held out")
    options.add_argument("--patience", type=int, help="evaluations without improvement, then stop")
    options.add_argument("--resume", action="store_true", help="go on from the run directory")
    options.add_argument("--run-dir", type=Path, help="state and log; by default in the cache")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--gradient-checkpointing", action="store_true", help="less memory, more time"
    )
    options.set_defaults(init_from=None)  # the base is what it begins with


def plan_from(parsed: argparse.Namespace) -> Plan:
    """The checked plan.

    Raises:
        SystemExit: a number out of its range.
        StudioError: a base that cannot be opened.
    """
    from pipelines.recipes import training
    from pipelines.recipes.finetune.plan import Plan, open_base

    if not 0 < parsed.validation <= 0.5:  # false for NaN, too
        raise SystemExit(f"--validation is {parsed.validation}; give a share above 0, at most 0.5")
    for name, low, high in (("lora_rank", 1, 256), ("patience", 1, math.inf), ("seed", 0, 2**31)):
        value = getattr(parsed, name)
        if value is not None and not low <= value <= high:
            option = name.replace("_", "-")
            raise SystemExit(f"--{option} is {value}; it must be from {low} to {high}")
    if not parsed.data.exists():
        raise SystemExit(f"--data: there is no {parsed.data}")
    if parsed.learning_rate is None:
        factor = FULL_FACTOR if parsed.full else 1.0
        parsed.learning_rate = LEARNING_RATES[parsed.command] * factor
    if parsed.run_dir is None:
        parsed.run_dir = RUNS / f"finetune-{parsed.output.name}"
    return Plan(
        mode=parsed.command,
        base=open_base(parsed.base, parsed.command, parsed.base_name),
        data=parsed.data,
        options=training.options_from(parsed),
        rank=None if parsed.full else parsed.lora_rank,
        validation=parsed.validation,
        patience=parsed.patience,
        gradient_checkpointing=parsed.gradient_checkpointing,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parser().parse_args(arguments)
    try:
        if parsed.command == "publish":
            token = os.environ.get("HF_TOKEN", "")
            print(publish(parsed.folder, parsed.repo, token, private=not parsed.public))
            return
        from pipelines.recipes.finetune.train import finetune

        finetune(plan_from(parsed))
    except (StudioError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
