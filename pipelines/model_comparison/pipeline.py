"""Compares two models, or one with two settings, on one input and one seed.

The two run one after another, so that neither slows the other. Before anything is timed, the
libraries are imported, both models are loaded, and each makes a tiny run, because the first run
of a process is slower than later ones. It measures and never judges: which output is better is
for people and for metrics to say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pipelines.device import PeakMemory, memory_in_use_bytes
from pipelines.errors import InvalidValue, naming
from pipelines.events import Progress, translated, with_result
from pipelines.image_captioning.pipeline import CaptionRequest, CaptionResult
from pipelines.runtime.receipts import SCHEMA
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Studio, name_for_task
from pipelines.settings import Limits
from pipelines.tasks import TASKS, Task, TaskRecord
from pipelines.text_generation.pipeline import TextRequest, TextResult
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult
from pipelines.validation import known_task

Side = Literal["left", "right"]
SideRequest = TextRequest | PaintRequest | CaptionRequest
SideResult = TextResult | PaintResult | CaptionResult

SIDES: tuple[Side, Side] = ("left", "right")
NAMES: Mapping[Side, str] = {"left": "A", "right": "B"}
"""What people call the sides."""

_SHARED = ("prompt", "negative_prompt", "picture_sha256", "seed")


@dataclass(frozen=True)
class CompareRequest:
    """Two requests of one task's slice. Prompt or picture and seed must be the same in both."""

    task: Task
    left: SideRequest
    right: SideRequest


@dataclass(frozen=True)
class SideEvent:
    """Something that one side's run yielded: ``Progress``, ``TextDelta`` or ``Preview``."""

    side: Side
    event: Any

    @property
    def progress(self) -> Progress:
        """The event's, with the name of its side."""
        shown: Progress = getattr(self.event, "progress", self.event)
        return replace(shown, message=f"{NAMES[self.side]}: {shown.message}")


@dataclass(frozen=True)
class Measures:
    """What was measured of one side, in one run after a warm-up.

    ``load_seconds`` is how long the model took when it was loaded, which was earlier if
    it ``was_in_memory``. ``first_output_seconds`` and ``seconds`` begin when the loaded
    model begins to compute. ``peak_bytes`` is the most that the whole process held during
    the run (on a GPU, what torch held there), ``increase_bytes`` how much above what it
    held just before; memory that an allocator kept from earlier runs counts as held.
    """

    load_seconds: float
    was_in_memory: bool
    first_output_seconds: float
    seconds: float
    rate: float
    rate_unit: str
    model_bytes: int
    peak_bytes: int
    increase_bytes: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One side's result, as its slice gave it, and its measures."""

    result: SideResult
    measures: Measures


@dataclass(frozen=True)
class SideDone:
    """One side has ended."""

    side: Side
    outcome: Outcome

    @property
    def progress(self) -> Progress:
        return Progress(f"{NAMES[self.side]}: done", 1.0)


@dataclass(frozen=True)
class ComparisonResult:
    """The request with its seed, and both sides; ``is_identical`` by the hashes of the outputs."""

    request: CompareRequest
    left: Outcome
    right: Outcome
    is_identical: bool
    receipt: dict[str, Any]


def _speed(result: SideResult) -> tuple[float, float, str]:
    """Seconds to the first output, rate, and unit of the rate."""
    request = result.receipt["request"]  # with what a request left to the model
    if isinstance(result, TextResult):
        return result.first_token_seconds, result.tokens_per_second, "tokens/s"
    if isinstance(result, PaintResult):  # of the whole run: the decoding of pictures is in it
        steps = request["steps"] * request["count"]
        return result.first_step_seconds, steps / result.seconds, "steps/s"
    return result.first_token_seconds, request["count"] / result.seconds, "captions/s"


def checked(request: CompareRequest, limits: Limits) -> CompareRequest:
    """The request with both sides checked by their slice, and one seed in both.

    Raises:
        InvalidValue: a field of a side, which the message names, or inputs that differ.
    """
    pipeline = known_task(request.task).pipeline
    sides = []
    for side in SIDES:
        given = getattr(request, side)
        with naming(_named(side, given)):
            if not isinstance(given, pipeline.Request):
                raise InvalidValue(
                    f"a {type(given).__name__} was given; to {request.task} takes "
                    f"a {pipeline.Request.__name__}."
                )
            sides.append(pipeline.checked(given, limits))
    left, right = sides
    for name in _SHARED:
        if getattr(left, name, None) != getattr(right, name, None):
            field = name.removesuffix("_sha256")
            raise InvalidValue(f"A and B have not the same {field}; give one to both.")
    seed = fresh_seed() if left.seed is None else left.seed
    return CompareRequest(request.task, replace(left, seed=seed), replace(right, seed=seed))


def generate(
    studio: Studio, request: CompareRequest
) -> Generator[SideEvent | SideDone, None, ComparisonResult]:
    """Yields the events of A, then of B, and each side's outcome; returns both.

    Closing the generator stops the side that runs within one token or step.

    Raises:
        StudioError: of the class that the slice raised; the message names the side.
    """
    request = checked(request, studio.settings.limits)
    before = _keys_in_memory(studio)
    keys: dict[Side, str] = {}
    for side in SIDES:
        keys[side] = yield from _in_thread(_warm_up, studio, request, side)
    yield SideEvent("right", Progress("Waiting for A"))
    outcomes: dict[Side, Outcome] = {}
    for side in SIDES:
        if keys[side] not in _keys_in_memory(studio):  # the budget does not hold both
            yield from _in_thread(_warm_up, studio, request, side)
        outcome = yield from _in_thread(_timed, studio, request, side)
        measures = replace(outcome.measures, was_in_memory=keys[side] in before)
        outcomes[side] = replace(outcome, measures=measures)
        yield SideDone(side, outcomes[side])
    receipts: dict[str, Any] = {side: outcomes[side].result.receipt for side in SIDES}
    is_identical = receipts["left"]["output_sha256"] == receipts["right"]["output_sha256"]
    receipt = {"schema": SCHEMA, "task": "compare", **receipts}
    return ComparisonResult(request, outcomes["left"], outcomes["right"], is_identical, receipt)


def _in_thread(
    work: Callable[[Studio, TaskRecord, Any, Emit], Any], studio: Studio, request: CompareRequest,
    side: Side,
) -> Generator[SideEvent, None, Any]:  # fmt: skip
    """The work on one side, in a thread of its own, so that a slow reader of its events adds no
    time to it; returns what it returns."""
    given, task = getattr(request, side), TASKS[request.task]
    with naming(_named(side, given)):
        work_of_side = partial(work, studio, task, given)
        return (yield from translated(stream(work_of_side), partial(SideEvent, side)))


def _warm_up(studio: Studio, task: TaskRecord, request: Any, emit: Emit) -> str:
    """Loads the model and makes a tiny run; passes on its progress. Returns the model's key."""
    emit(Progress("Warming up"))
    result = None
    tiny = replace(request, **task.warm_up)
    with closing(with_result(task.pipeline.generate(studio, tiny))) as run:
        for result in run:
            if isinstance(result, Progress):
                emit(result)
    return _key(studio, result)


def _timed(studio: Studio, task: TaskRecord, request: Any, emit: Emit) -> Outcome:
    """The run that is timed, with its peak memory."""
    before = memory_in_use_bytes(studio.device.kind)
    result: Any = None
    run = with_result(task.pipeline.generate(studio, request))
    with PeakMemory(studio.device.kind) as peak, closing(run) as events:
        for result in events:
            if not isinstance(result, SideResult):
                emit(result)
    first_output_seconds, rate, unit = _speed(result)
    sizes = {resident.key: resident.size_bytes for resident in studio.residency.residents()}
    measures = Measures(
        load_seconds=result.load_seconds,
        was_in_memory=False,
        first_output_seconds=first_output_seconds,
        seconds=result.seconds,
        rate=rate,
        rate_unit=unit,
        model_bytes=sizes.get(_key(studio, result), 0),
        peak_bytes=peak.bytes,
        increase_bytes=peak.bytes - before,
        seed=result.seed,
    )
    return Outcome(result, measures)


def _key(studio: Studio, result: Any) -> str:
    """The name under which the residency holds the model that made this result."""
    model = result.receipt["model"]
    name, other = model["reference"], name_for_task(model["reference"], result.receipt["task"])
    key, other_key = (f"{each}@{model['commit'][:12]}" for each in (name, other))
    return other_key if other_key in _keys_in_memory(studio) else key


def _keys_in_memory(studio: Studio) -> set[str]:
    return {resident.key for resident in studio.residency.residents()}


def _named(side: Side, request: SideRequest) -> str:
    """What messages call a side."""
    model = getattr(request, "model", None)
    return f"{NAMES[side]} ({model[:80]})" if isinstance(model, str) and model else NAMES[side]
