"""Runs a receipt again, and compares old and new results line by line, for cards as well."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import InvalidValue, listed
from pipelines.events import Progress, translated
from pipelines.runtime.receipts import SCHEMA, plain, receipt_fields
from pipelines.runtime.studio import Studio
from pipelines.sharing.reading import completed, damage_in_words, pinned
from pipelines.tasks import TASKS, Task
from pipelines.validation import defaults_of

if TYPE_CHECKING:
    from PIL import Image

NOT_COMPARED = "Times and memory are not compared: they are of one run each, and never come twice."


@dataclass(frozen=True)
class Line:
    """One thing that was compared: whether it is equal, and a sentence on it.

    ``cause`` names a possible reason for other differences, such as "version of torch"; it is
    empty for a result.
    """

    is_equal: bool
    text: str
    cause: str = ""


@dataclass(frozen=True)
class Replayed:
    """The new card or receipt, its comparison with the old one, and what was not compared."""

    made: dict[str, Any]
    lines: tuple[Line, ...]
    not_compared: str = ""

    @property
    def is_equal(self) -> bool:
        return all(line.is_equal for line in self.lines)


def compared(about: str, was: Any, now: Any, cause: str = "") -> Line:
    """One value then and now."""
    text = f"{about}: {now}" if was == now else f"{about}: was {was}, is {now}"
    return Line(was == now, text, cause)


def same_machine(old: dict[str, Any], new: dict[str, Any]) -> list[Line]:
    """The versions and the device of two cards or receipts. Older ones name no hardware."""
    lines = []
    for what, part in (("version of", "versions"), ("device", "device")):
        was, now = old[part], new[part]
        for name in sorted({*was, *now}):
            if name != "hardware" or name in was:
                about = f"{what} {name}"
                lines.append(compared(about, was.get(name), now.get(name), about))
    return lines


def same_files(name: str, old: dict[str, Any], new: dict[str, Any]) -> Line:
    """The commits of a model and its adapters."""
    was, now = ([model["commit"], model.get("adapters", [])] for model in (old, new))
    text = f"{name}: the same files" if was == now else f"{name}: files were {was}, are {now}"
    return Line(was == now, text, f"files of {name}")


def same_outputs(name: str, old: list[str], new: list[str]) -> Line:
    """How many of a model's outputs have the hash that they had."""
    equal = sum(was == now for was, now in zip(old, new, strict=True))
    return Line(equal == len(old), f"{name}: {equal} of {len(old)} outputs are equal")


def explained(
    causes: Iterable[Line], results: Iterable[Line], unexplained: str
) -> tuple[Line, ...]:
    """Causes, then results; where a result differs, a last line names the causes that do, too.

    Args:
        unexplained: the last line where no cause differs.
    """
    causes, results = list(causes), list(results)
    if all(line.is_equal for line in results):
        return (*causes, *results)
    changed = list(dict.fromkeys(line.cause for line in causes if not line.is_equal))
    because = f"What differs may be because of the {listed(changed)}." if changed else unexplained
    return (*causes, *results, Line(False, because))


def replay(
    studio: Studio, receipt: dict[str, Any], picture: Image.Image | None = None
) -> Generator[Progress, None, Replayed]:
    """Yields progress; returns the new receipt and what of it is as in the old one.

    Args:
        picture: what was described; a receipt names it by its hash.

    Raises:
        StudioError: no receipt, or its run fails here.
    """
    task: Any = receipt.get("task")
    if task not in tuple(TASKS):
        raise InvalidValue(f"The receipt's task is {task!r}; {listed(TASKS)} can be run again.")
    pipeline = TASKS[task].pipeline
    given = {"picture": picture} if TASKS[task].takes == "picture" else {}
    run = pipeline.generate(studio, pipeline.Request(**pinned_fields(receipt, task), **given))
    result = yield from in_progress(run)
    return Replayed(result.receipt, tuple(differences(receipt, result.receipt)))


def in_progress(run: Generator[Any, None, Any]) -> Generator[Progress, None, Any]:
    """A run whose events are all ``Progress``, which other events have as ``progress``."""
    return translated(run, lambda event: getattr(event, "progress", event))


@damage_in_words()
def pinned_fields(receipt: dict[str, Any], task: Task) -> dict[str, Any]:
    """The fields of a receipt's request, with what came from the Hub at the receipt's commits.

    Raises:
        InvalidValue: it is no receipt of this task, or not a whole one.
    """
    fields = request_fields(receipt, task)
    if "model" not in receipt:
        return fields
    model = {"adapters": [], **receipt["model"]}  # receipts of earlier versions name none
    return {**fields, "model": pinned(model)}


def request_fields(receipt: object, task: Task) -> dict[str, Any]:
    """The fields of the request in a receipt, to make it again.

    A field that requests did not have yet when it was written has its default.

    Raises:
        InvalidValue: no receipt of this task and schema, or one with unknown fields, or not whole.
    """
    if not isinstance(receipt, dict) or receipt.get("schema") != SCHEMA:
        raise InvalidValue(
            f"This is no receipt of this page: a JSON object with schema {SCHEMA} is needed."
        )
    if receipt.get("task") != task:
        raise InvalidValue(
            f"The receipt is of the task {receipt.get('task')!r}; here {task!r} is needed."
        )
    kind = TASKS[task].pipeline.Request
    names = [field.name for field in receipt_fields(kind)]
    return completed("The receipt's request", receipt.get("request"), names, defaults_of(kind))


@damage_in_words()
def differences(old: dict[str, Any], new: dict[str, Any]) -> list[Line]:
    """Compares model, machine and request of two receipts and, in the last line, the output.

    Timings are left out, and so is the name that was typed for the model: reference and commit
    are compared, adapters included. A field that the old receipt lacks has its default, and where
    that is None, the model's own value.
    """
    old = {"model": {}, "device": {}, "versions": {}, "request": {}, **old}
    models = [{"adapters": [], **receipt["model"]} for receipt in (old, new)]
    defaults = {
        name: new["request"][name] if value is None else plain(value)
        for name, value in defaults_of(TASKS[new["task"]].pipeline.Request).items()
        if name in new["request"]
    }
    requests = [{**defaults, **receipt["request"], "model": "as named"} for receipt in (old, new)]
    return [
        *_each("model", *models),
        *same_machine(old, new),
        *_each("request", *requests),
        Line(old.get("output_sha256") == new["output_sha256"], "the output itself"),
    ]


def _each(what: str, was: dict[str, Any], now: dict[str, Any]) -> list[Line]:
    names = sorted({*was, *now})
    return [compared(f"{what} {name}", was.get(name), now.get(name)) for name in names]
