"""Runs a duel: two to eight models on one input and one seed, one after another.

A run's events are not passed on: they would show a model's name, how fast it is, or which model
has ended, and a long text that took long would give away whose it is.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines import validation
from pipelines.arena.ballot import FEWEST_MODELS, PLACES, Contender, contender_of
from pipelines.errors import InvalidValue, abbreviated, naming
from pipelines.events import Progress, translated
from pipelines.files.images import on_white
from pipelines.hub import Snapshot, resolve
from pipelines.runtime.receipts import hash_text
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.pipeline import TextResult
from pipelines.text_to_image.pipeline import PaintResult
from pipelines.validation import known_task

if TYPE_CHECKING:
    from PIL import Image

AT_WORK = Progress("The models are at work; all outputs come together")


@dataclass(frozen=True)
class DuelRequest:
    """What the models get: a prompt, or a picture to describe, and one seed."""

    task: Task
    models: tuple[str, ...]
    prompt: str = ""
    picture: Image.Image | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Output:
    """What one model made: a text (its likeliest caption, if it describes) or a picture."""

    text: str | None = None
    picture: Image.Image | None = None


@dataclass(frozen=True)
class Played:
    """One model's output, and whose it is."""

    contender: Contender
    output: Output
    receipt: dict[str, Any]


@dataclass(frozen=True)
class Duel:
    """All outputs, in the order of the request's models."""

    task: Task
    input_sha256: str
    seed: int
    played: tuple[Played, ...]


def checked(request: DuelRequest, limits: Limits) -> DuelRequest:
    """The request with every field of its type and in its range, and a seed.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    task = known_task(request.task)
    models = checked_models(request.models)
    seed = validation.seed_or_none(request.seed)
    whole = replace(request, models=models, seed=fresh_seed() if seed is None else seed)
    task.pipeline.checked(_request_of(whole, models[0]), limits)
    return whole


def checked_models(given: object) -> tuple[str, ...]:
    """The names of a duel's models, without blanks around them.

    Raises:
        InvalidValue: they are too few or too many, or one is given twice.
    """
    allowed = f"choose {FEWEST_MODELS} to {len(PLACES)} different ones."
    if not isinstance(given, list | tuple):
        raise InvalidValue(f"models is {abbreviated(given)}; {allowed}")
    for model in given:
        if not isinstance(model, str) or not model.strip():
            raise InvalidValue(f"A model is {abbreviated(model)}; give the names of models.")
    models = tuple(model.strip() for model in given)
    if not FEWEST_MODELS <= len(models) <= len(PLACES):
        raise InvalidValue(f"{len(models)} models are given; {allowed}")
    for index, model in enumerate(models):
        if model in models[:index]:
            raise InvalidValue(f"{abbreviated(model)} is given twice; {allowed}")
    return models


def generate(studio: Studio, request: DuelRequest) -> Generator[Progress, None, Duel]:
    """Yields the same event throughout; returns all outputs.

    Closing the generator stops the model that runs within one token or step.

    Raises:
        StudioError: of the class that a slice raised; the message names the model.
    """
    request = checked(request, studio.settings.limits)
    yield AT_WORK
    yield from _silenced(_found(studio, request))
    played = []
    for model in request.models:
        with naming(model[:80]):
            run = TASKS[request.task].pipeline.generate(studio, _request_of(request, model))
            result = yield from _silenced(run)
        played.append(
            Played(contender_of(result.receipt["model"]), _output(result), result.receipt)
        )
    assert request.seed is not None  # checked has drawn one
    return Duel(request.task, _input_hash(request, played), request.seed, tuple(played))


def _silenced(run: Generator[Any, None, Any]) -> Generator[Progress, None, Any]:
    """The result of a run; in place of its events, one that says nothing of the model."""
    return translated(run, lambda event: AT_WORK)


def _found(studio: Studio, request: DuelRequest) -> Generator[Any, None, None]:
    """Looks up all models before the first one runs, so that no bad name costs a run.

    Raises:
        StudioError: one cannot be had, or two names are of the same model.
    """
    names: dict[tuple[Any, ...], str] = {}
    for model in request.models:
        with naming(model[:80]):
            look_up = partial(resolve, model, request.task, studio.settings)
            snapshot = yield from stream(look_up, may_go_on=True)
        same = names.setdefault(_identity(snapshot), model)
        if same != model:
            raise InvalidValue(
                f"{abbreviated(same)} and {abbreviated(model)} are the same model. Choose others."
            )


def _identity(snapshot: Snapshot) -> tuple[Any, ...]:
    adapters = sorted((a.reference, a.commit, a.weight) for a in snapshot.adapters)
    return snapshot.reference, snapshot.commit, *adapters


def _request_of(request: DuelRequest, model: str) -> Any:
    """The request of the task's slice, by default but for model, input and seed."""
    record = TASKS[request.task]
    given = request.picture if record.takes == "picture" else request.prompt
    return record.pipeline.Request(model, given, seed=request.seed)


def _output(result: Any) -> Output:
    """The output without anything that goes with it. A picture is copied, pixels alone."""
    if isinstance(result, TextResult):
        return Output(text=result.prompt + result.text)
    if isinstance(result, PaintResult):
        return Output(picture=on_white(result.pictures[0]))
    return Output(text=result.captions[0].text)


def _input_hash(request: DuelRequest, played: list[Played]) -> str:
    if TASKS[request.task].takes == "picture":
        return str(played[0].receipt["request"]["picture_sha256"])
    return hash_text(request.prompt)
