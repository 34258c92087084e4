"""Fine-tunes a writer, painter or captioner on your data, and publishes the result.

    python -m pipelines.recipes.finetune writer --base fairytale-gpt --data texts --output DIR
        --steps 500
    python -m pipelines.recipes.finetune publish --folder DIR --repo owner/name

Several GPUs: ``accelerate launch -m pipelines.recipes.finetune ...``. Only ``publish`` reads
the token in ``HF_TOKEN``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import StudioError
from pipelines.files.texts import HELD_OUT_SHARE
from pipelines.hub.publish import publish
from pipelines.recipes import command_line

if TYPE_CHECKING:
    from pipelines.recipes.finetune.plan import Plan

BATCH_SIZES = {"writer": 8, "painter": 16, "captioner": 16}
LEARNING_RATES = {"writer": 2e-3, "painter": 1e-3, "captioner": 1e-3}
FULL_FACTOR = 0.1
"""Of the learning rate with ``--full``: whole weights take smaller steps than an adapter."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    for mode, batch_size in BATCH_SIZES.items():
        data = "a .txt file or a folder" if mode == "writer" else "an imagefolder or its ZIP"
        add_options(commands.add_parser(mode), data, batch_size)
    commands.choices["writer"].add_argument(
        "--window", type=int, help="tokens that are read in one piece"
    )
    upload = commands.add_parser("publish")
    upload.add_argument("--folder", type=Path, required=True, help="the output of a fine-tune")
    upload.add_argument("--repo", required=True, help="owner/name")
    upload.add_argument("--public", action="store_true", help="visible to everybody")
    return options


def add_options(options: argparse.ArgumentParser, data: str, batch_size: int) -> None:
    """The options of a training."""
    options.add_argument("--base", required=True, help="a folder, an embedded model, or owner/repo")
    options.add_argument("--base-name", help="the base's reference, where --base is a folder")
    options.add_argument("--data", type=Path, required=True, help=data)
    options.add_argument("--output", type=Path, required=True, help="folder of the result")
    amount = options.add_mutually_exclusive_group()
    amount.add_argument("--lora-rank", type=int, default=8)
    amount.add_argument("--full", action="store_true", help="train every weight")
    options.add_argument(
        "--validation", type=float, default=HELD_OUT_SHARE, help="share that is held out"
    )
    options.add_argument("--patience", type=int, help="evaluations without improvement, then stop")
    options.add_argument(
        "--gradient-checkpointing", action="store_true", help="less memory, more time"
    )
    command_line.add_training_options(options, batch_size)


def plan_from(parsed: argparse.Namespace) -> Plan:
    """The checked plan.

    Raises:
        SystemExit: a number out of its range.
        StudioError: a base that cannot be opened.
    """
    from pipelines.recipes.finetune.plan import Plan, open_base

    if not 0 < parsed.validation <= 0.5:  # false for NaN, too
        raise SystemExit(f"--validation is {parsed.validation}; give a share above 0, at most 0.5")
    for name, low, high in (
        ("lora_rank", 1, 256),
        ("patience", 1, math.inf),
        ("seed", 0, 2**31),
        ("window", 1, math.inf),
    ):
        value = getattr(parsed, name, None)
        if value is not None and not low <= value <= high:
            option = name.replace("_", "-")
            raise SystemExit(f"--{option} is {value}; it must be from {low} to {high}")
    if not parsed.data.exists():
        raise SystemExit(f"--data: there is no {parsed.data}")
    if parsed.learning_rate is None:
        factor = FULL_FACTOR if parsed.full else 1.0
        parsed.learning_rate = LEARNING_RATES[parsed.command] * factor
    if parsed.run_dir is None:
        parsed.run_dir = command_line.RUNS / f"finetune-{parsed.output.name}"
    return Plan(
        mode=parsed.command,
        base=open_base(parsed.base, parsed.command, parsed.base_name),
        data=parsed.data,
        options=command_line.options_from(parsed),
        rank=None if parsed.full else parsed.lora_rank,
        validation=parsed.validation,
        patience=parsed.patience,
        gradient_checkpointing=parsed.gradient_checkpointing,
        window=getattr(parsed, "window", None),
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
