"""Compares models from the command line: on a data set, and again from a card.

python -m pipelines.model_comparison --help
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.arena.replay import VOTES
from pipelines.datasets.sources import HELP, owned
from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.evaluation.card import card
from pipelines.evaluation.extractors import EXTRACTORS
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import EVALUATION
from pipelines.evaluation.report import markdown, pasted, write
from pipelines.evaluation.request import EvaluationRequest, settings_from
from pipelines.evaluation.result import PartialScores
from pipelines.evaluation.scores import METRICS, metrics_of
from pipelines.events import Progress, with_result
from pipelines.files.images import open_picture
from pipelines.model_comparison.replay import COMPARISON
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.cards import Sources, run_again
from pipelines.sharing.documents import CARD, as_json
from pipelines.sharing.reading import object_in
from pipelines.tasks import TASKS

_KINDS = (COMPARISON, EVALUATION, VOTES)
_STOPPED = 130
_PAUSE_SECONDS = 0.2
_EPILOG = """\
metrics, the usual ones of a task first:
{metrics}
An evaluation can be stopped at any time. Finished samples stay in the data directory, and the
same command continues where it stopped. Progress goes to stderr, the report to stdout.

example:
  python -m pipelines.model_comparison evaluate --task describe --data emoji-scenes \\
    --models emoji-captioner owner/my-captioner --samples 128 --output comparison
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if all went well and, for a replay, if all is equal."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["--replay"]:  # the command, spelled as an option
        words[0] = "replay"
    given = _parser().parse_args(words)
    try:
        code: int = given.run(given)
    except StudioError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nStopped. Finished samples are stored; run the same command to continue.",
            file=sys.stderr,
        )
        return _STOPPED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.model_comparison", description=__doc__.partition("\n")[0]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (_add_evaluate(commands), _add_replay(commands)):
        command.add_argument("--output", type=Path, help="folder for card, reports and figures")
        _add_places(command)
    return parser


def _add_evaluate(commands: Any) -> argparse.ArgumentParser:
    lines = (f"  {task}: {', '.join(metrics_of(task))}\n" for task in TASKS)
    evaluate: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="compare models with the first of them on a data set, or measure one",
        description="Compares up to eight models with the first of them on a data set. One model "
        "alone is measured.",
        epilog=_EPILOG.format(metrics="".join(lines)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("--task", required=True, choices=TASKS)
    evaluate.add_argument("--data", required=True, help=HELP)
    evaluate.add_argument(
        "--models", required=True, nargs="+", metavar="MODEL",
        help="names on this machine, owner/repo[@revision], or 'base + adapter:0.8'",
    )  # fmt: skip
    evaluate.add_argument(
        "--metrics", nargs="+", default=[], choices=list(METRICS), metavar="METRIC",
        help="what to measure (default: the usual ones of the task)",
    )  # fmt: skip
    evaluate.add_argument("--samples", type=int, default=64, help="how many (default: 64)")
    evaluate.add_argument("--seed", type=int, default=0, help="of draw and models (default: 0)")
    evaluate.add_argument(
        "--clip", help="a CLIP model: a name on this machine, or owner/repo (default: emoji-clip)"
    )
    evaluate.add_argument(
        "--extractor", choices=EXTRACTORS,
        help="whose features KID, FID and diversity compare (default: emoji-captioner)",
    )  # fmt: skip
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="a setting of the task, such as steps=10 or max_new_tokens=40; may be repeated",
    )  # fmt: skip
    evaluate.add_argument(
        "--table", action="store_true",
        help="print the scores alone, as a table for a README, in place of the whole report",
    )  # fmt: skip
    evaluate.set_defaults(run=_evaluate)
    return evaluate


def _add_replay(commands: Any) -> argparse.ArgumentParser:
    again: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="run a receipt or a card again and say what is equal",
        description="Runs again what a receipt is of (one result) or a card (a comparison, an "
        "evaluation or blind votes), everything anew, and says line by line what is equal and what "
        "differs. Ends with 1 where something differs.",
    )
    again.add_argument(
        "card", type=Path, metavar="FILE",
        help="a card.json, a receipt as JSON, or a PNG that was painted",
    )  # fmt: skip
    again.add_argument(
        "--data",
        help=f"an evaluation's data set, where it is a file: {HELP}; or a votes.jsonl or "
        "votes.sqlite3 to rate in place of the votes in the card",
    )
    again.add_argument("--picture", type=Path, help="the picture that was described")
    again.set_defaults(run=_replay)
    return again


def _add_places(command: argparse.ArgumentParser) -> None:
    default = Settings()
    command.add_argument(
        "--data-dir", type=Path, default=default.data_dir,
        help="where samples and downloads are stored (default: %(default)s)",
    )  # fmt: skip
    command.add_argument("--model-dir", type=Path, help="a folder of further checkpoints")
    command.add_argument("--no-hub", action="store_true", help="models of this machine alone")


def _studio(given: argparse.Namespace) -> Studio:
    places = {"data_dir": given.data_dir, "extra_models_dir": given.model_dir}
    return Studio(Settings(**places, hub_enabled=not given.no_hub))


def _evaluate(given: argparse.Namespace) -> int:
    studio = _studio(given)
    read = stream(lambda report: owned(given.data, studio.settings, report), may_go_on=True)
    request = EvaluationRequest(
        given.task,
        _finished(read),
        tuple(given.models),
        tuple(given.metrics),
        given.samples,
        given.seed,
        settings_from(given.task, dict(_setting(text) for text in given.settings)),
        given.clip,
        given.extractor,
    )
    result = _finished(generate(studio, request))
    found = card(result)
    if given.output is not None:
        write(result, found, given.output)
    print((pasted if given.table else markdown)(found))
    return 0


def _replay(given: argparse.Namespace) -> int:
    studio = _studio(given)
    limits = studio.settings.limits
    try:
        old = object_in(given.card, limits)
    except OSError as error:
        raise InvalidValue(
            f"The file {abbreviated(str(given.card))} cannot be read ({error.strerror}). Give a "
            "card.json, a receipt as JSON, or a PNG that was painted."
        ) from error
    picture = None if given.picture is None else open_picture(given.picture, limits)
    sources = Sources(picture, given.data, is_owner=True)
    replayed = _finished(run_again(studio, old, _KINDS, sources))
    for line in replayed.lines:
        print(f"{'equal  ' if line.is_equal else 'differs'}  {line.text}")
    if replayed.not_compared:
        print(f"\n{replayed.not_compared}")
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        name = CARD if "kind" in replayed.made else "receipt.json"
        (given.output / name).write_text(as_json(replayed.made), encoding="utf-8")
    return 0 if replayed.is_equal else 1


def _setting(text: str) -> tuple[str, Any]:
    """``steps=10`` as a name and a number, or a text where it is none."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidValue(f"--set is {text!r}; write NAME=VALUE, such as steps=10.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _finished(run: Generator[Any, None, Any]) -> Any:
    """The result of a run, with its progress in one line of stderr."""
    width, shown_at = 0, 0.0
    result: Any = None
    with closing(with_result(run)) as events:
        for result in events:
            text = _line(result)
            if text and time.monotonic() - shown_at > _PAUSE_SECONDS:
                shown_at = time.monotonic()
                print(f"\r{text:<{width}}", end="", file=sys.stderr, flush=True)
                width = len(text)
    print(file=sys.stderr)
    return result


def _line(event: Any) -> str:
    if isinstance(event, PartialScores):
        scores = ", ".join(f"{METRICS[m].label} {v:.4g}" for m, v in event.scores.items())
        return f"{event.model}: {event.done} of {event.total} samples · {scores}"
    if not isinstance(event, Progress):
        return ""
    left = "" if event.seconds_left is None else f" · {event.seconds_left:.0f} s left"
    return event.message + left


if __name__ == "__main__":
    sys.exit(main())
