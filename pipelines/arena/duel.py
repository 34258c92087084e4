"""Runs a duel: two to eight models on one input and one seed, one after another.

A run's events are not passed on: they would show a model's name, how fast it is, or which model
has ended, and a long text that took long would give away whose it is.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from PIL import Image

from pipelines import validation
from pipelines.arena.ballot import FEWEST_MODELS, PLACES, Contender, contender_of
from pipelines.errors import InvalidValue, abbreviated, naming
from pipelines.events import Progress, translated
from pipelines.files.images import on_white
from pipelines.hub import resolve
from pipelines.runtime.receipts import hash_text
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.sharing.names import Models
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.pipeline import TextResult
from pipelines.text_to_image.pipeline import PaintResult
from pipelines.validation import Choice, Seed, Unchecked

AT_WORK = Progress("The models are at work; all outputs come together")


@dataclass(frozen=True)
class DuelRequest:
    """What the models get: a prompt, or a picture to describe, and one seed."""

    task: Annotated[Task, Choice(tuple(TASKS))]
    models: Annotated[
        tuple[str, ...],
        Models(
            FEWEST_MODELS,
            len(PLACES),
            f"choose {FEWEST_MODELS} to {len(PLACES)} different ones",
        ),
    ]
    prompt: Annotated[str, Unchecked()] = ""
    picture: Annotated[Image.Image | None, Unchecked()] = None
    seed: Annotated[int | None, Seed()] = None


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

    @property
    def models(self) -> tuple[Contender, ...]:
        return tuple(each.contender for each in self.played)


def checked(request: DuelRequest, limits: Limits) -> DuelRequest:
    """The request with every field of its type and in its range, and a seed.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    request = validation.checked(request, limits)
    whole = replace(request, seed=fresh_seed() if request.seed is None else request.seed)
    TASKS[whole.task].pipeline.checked(_request_of(whole, whole.models[0]), limits)
    return whole


def generate(studio: Studio, request: DuelRequest) -> Generator[Progress, None, Duel]:
    """Yields the same event throughout; returns all outputs.

    Closing the generator stops the model that runs within one token or step.

    Raises:
        StudioError: of the class that a slice raised; the message names the model.
    """
    request = checked(request, studio.settings.limits)
    yield AT_WORK
    yield from translated(_found(studio, request), _silence)
    played = []
    for model in request.models:
        with naming(model[:80]):
            run = TASKS[request.task].pipeline.generate(studio, _request_of(request, model))
            result = yield from translated(run, _silence)
        played.append(
            Played(contender_of(result.receipt["model"]), _output(result), result.receipt)
        )
    assert request.seed is not None  # checked has drawn one
    return Duel(request.task, _input_hash(request, played), request.seed, tuple(played))


def _silence(event: object) -> Progress:
    """In place of a run's events one that says nothing of the model."""
    return AT_WORK


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
        adapters = sorted((a.reference, a.commit, a.weight) for a in snapshot.adapters)
        same = names.setdefault((snapshot.reference, snapshot.commit, *adapters), model)
        if same != model:
            raise InvalidValue(
                f"{abbreviated(same)} and {abbreviated(model)} are the same model. Choose others."
            )


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
