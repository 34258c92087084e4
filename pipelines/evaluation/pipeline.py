"""Evaluates: up to eight models on the same samples, one after the other, with scores.

Each model is loaded once and only if a sample is missing. Each batch is saved as soon as it
is computed; stopping, a closed page or a killed process lose only the batch in progress. The
result says which differences the samples show and which they do not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.datasets.samples import Sample
from pipelines.device import PeakMemory
from pipelines.errors import InvalidValue, ModelUnavailable, StudioError
from pipelines.evaluation.conclude import concluded, measured
from pipelines.evaluation.extractors import PictureFeatures, open_extractor
from pipelines.evaluation.features import (
    BATCH_SIZE,
    PictureReader,
    open_captioner,
    open_clip,
)
from pipelines.evaluation.generators import GENERATORS, OutputGenerator, Run
from pipelines.evaluation.outputs import Array, Extractors, Outputs
from pipelines.evaluation.request import EvaluationRequest, check_samples, checked
from pipelines.evaluation.result import (
    EvaluationResult,
    ModelResult,
    PartialScores,
    costs_of,
    files_of,
    shown_generator,
)
from pipelines.evaluation.scores import METRICS, needs_of
from pipelines.evaluation.store import Output, RunCost, Store, key_of
from pipelines.events import Progress
from pipelines.hub import Snapshot, resolve
from pipelines.runtime.receipts import identity, versions
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Loaded, Studio
from pipelines.tasks import TASKS

ALONE = 4
"""So many of the drawn samples are computed one by one; their times are the latencies."""
TWIN_SEED = 2**31 - 1
"""Between the seeds of one model under two names, whose outputs then differ by chance alone. On a
CPU torch reads the lower 32 bits of a seed."""
_LEAST_PAUSE_SECONDS = 2.0
"""Between partial scores; longer where they take long, so that they cost a tenth at most."""


@dataclass(frozen=True)
class _Todo:
    """One model's work with one generator, and the keys of its samples in the store."""

    name: str
    snapshot: Snapshot
    generator: OutputGenerator
    seed: int
    cost_key: str
    keys: tuple[str, ...]


@dataclass
class _State:
    """A run's parts and its progress. ``order`` has the places of the samples in the order of
    the draw."""

    studio: Studio
    store: Store
    request: EvaluationRequest
    samples: Sequence[Sample]
    order: Sequence[int]
    extractors: Extractors
    finished: dict[str, Output]
    computed: dict[str, int]
    began: float = 0.0
    done: int = 0
    missing: int = 0

    def seconds_left(self) -> float | None:
        if self.done == 0:
            return None
        return (time.monotonic() - self.began) / self.done * (self.missing - self.done)

    def outputs(self, todos: Sequence[_Todo]) -> Outputs:
        """One model's outputs so far, for the samples that all its generators have made."""
        places = [
            place
            for place in range(len(self.samples))
            if all(todo.keys[place] in self.finished for todo in todos)
        ]
        outputs = {
            todo.generator.name: [self.finished[todo.keys[place]] for place in places]
            for todo in todos
        }
        pictures = [output.picture for output in outputs.get("picture", [])]
        return Outputs(
            self.request.data,
            [self.samples[place] for place in places],
            outputs,
            [self.store.picture_file(picture) for picture in pictures],
            self.extractors,
            self.request.seed,
        )


def generate(
    studio: Studio, request: EvaluationRequest, folder: Path | None = None
) -> Generator[Progress | PartialScores, None, EvaluationResult]:
    """Yields progress and partial scores; returns the result.

    Closing the generator stops within one token or step, and keeps all finished samples.

    Args:
        folder: where samples are kept and looked up; the page's data directory by default.

    Raises:
        StudioError: a field, a sample or a model is at fault.
    """
    request = checked(request, studio.settings.limits)
    drawn = request.data.drawn(request.sample_size, request.seed)
    samples = sorted(drawn, key=lambda sample: sample.index)
    places = {sample.index: place for place, sample in enumerate(samples)}
    order = [places[sample.index] for sample in drawn]
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(folder or studio.settings.data_dir)))
        keep = studio.residency.keep
        stack.enter_context(keep({request.data.name.partition("@")[2]}))
        todos = yield from _planned(studio, request, samples, order)
        stack.enter_context(keep({commit for todo in todos for commit in _commits(todo)}))
        yield from stream(
            lambda emit: check_samples(request.task, samples, studio.settings.limits, emit)
        )
        extractors = yield from _open_extractors(studio, request, stack)
        if extractors.clip is not None:
            request = replace(request, clip=extractors.clip.reference)
        keys = [key for todo in todos for key in todo.keys]
        finished = store.load(keys)
        state = _State(studio, store, request, samples, order, extractors, finished, {})
        state.missing, state.began = len(keys) - len(finished), time.monotonic()
        for todo in todos:
            yield from _computed(state, todo, [t for t in todos if t.name == todo.name])
        yield from stream(lambda emit: _extract_painted(state, todos, emit))
        yield Progress("Comparing", 1.0)
        return (yield from stream(lambda emit: _result(state, todos, emit)))


def _planned(
    studio: Studio, request: EvaluationRequest, samples: Sequence[Sample], order: Sequence[int]
) -> Generator[Progress, None, list[_Todo]]:
    """Every model's work. All models are resolved before the first is loaded."""
    todos, met = [], Counter[object]()
    for name in request.models:
        snapshot = yield from _resolved(studio, name, request)
        seed = request.seed + TWIN_SEED * met[files_of(snapshot)]
        met[files_of(snapshot)] += 1
        for reads in dict.fromkeys(METRICS[metric].reads for metric in request.metrics):
            generator = GENERATORS[reads]
            todos.append(_todo(studio, request, samples, order, name, snapshot, generator, seed))
    return todos


def _resolved(
    studio: Studio, name: str, request: EvaluationRequest
) -> Generator[Progress, None, Snapshot]:
    in_use = studio.residency.commits()
    return (
        yield from stream(
            lambda emit: resolve(name, request.task, studio.settings, emit, studio.device, in_use),
            may_go_on=True,
        )
    )


def _commits(todo: _Todo) -> list[str]:
    """Of a model and its adapters."""
    return [todo.snapshot.commit, *(adapter.commit for adapter in todo.snapshot.adapters)]


def _todo(
    studio: Studio, request: EvaluationRequest, samples: Sequence[Sample], order: Sequence[int],
    name: str, snapshot: Snapshot, generator: OutputGenerator, seed: int,
) -> _Todo:  # fmt: skip
    """A batch rounds in its own way, so an output is saved under the batch that it came in."""
    model = {
        "kind": generator.name,
        "model": identity(snapshot),
        "settings": {name: getattr(request.settings, name) for name in generator.depends_on},
        "device": _device(studio),
        "versions": versions(),
    }
    shared = {**model, "data": request.data.sha256, "seed": seed}
    parts = [{**shared, "sample": sample.index} for sample in samples]
    for places in _batches(order, generator.batch_size):
        for place in places:
            parts[place]["batch"] = [samples[each].index for each in places]
    keys = [key_of(each) for each in parts]
    return _Todo(name, snapshot, generator, seed, key_of(model), tuple(keys))


def _device(studio: Studio) -> dict[str, str]:
    return {"kind": studio.device.kind, "dtype": studio.device.dtype_name}


def _open_extractors(
    studio: Studio, request: EvaluationRequest, stack: ExitStack
) -> Generator[Progress, None, Extractors]:
    """What the metrics need; the features of the real pictures are computed here."""
    extractors, needs = Extractors(), needs_of(request.metrics)
    if "reader" in needs:
        loaded = yield from open_captioner(studio)
        stack.enter_context(loaded.lease)
        extractors = replace(extractors, reader=PictureReader(loaded, studio.settings.limits))
    if "features" in needs:
        assert request.extractor is not None
        lease, pictures = yield from open_extractor(studio, request.extractor)
        stack.enter_context(lease)
        extractors = replace(extractors, pictures=pictures)
    if "real" in needs:
        files = [sample.file for sample in request.data.samples if sample.file is not None]
        real = yield from stream(
            lambda emit: _extracted(pictures, files, "the real pictures", emit)
        )
        extractors = replace(extractors, real=real)
    if "clip" in needs:
        yield Progress("Loading CLIP")
        lease, clip = yield from open_clip(studio, str(request.clip))
        stack.enter_context(lease)
        extractors = replace(extractors, clip=clip)
    return extractors


def _extracted(pictures: PictureFeatures, files: Sequence[Path], what: str, emit: Emit) -> Array:
    """Features of the pictures, with progress for each batch: a large extractor takes its time."""
    for start in range(0, len(files), BATCH_SIZE):
        emit(Progress(f"Reading {what}", start / len(files)))
        pictures.of(files[start : start + BATCH_SIZE])
    return pictures.of(files)


def _computed(
    state: _State, todo: _Todo, own: Sequence[_Todo]
) -> Generator[Progress | PartialScores, None, None]:
    """Generates the missing samples, in the order of the draw."""
    batches = _batches(state.order, todo.generator.batch_size)
    missing = [places for places in batches if todo.keys[places[0]] not in state.finished]
    count = sum(len(places) for places in missing)
    state.computed[todo.name] = state.computed.get(todo.name, 0) + count
    if not missing:
        return
    task = todo.generator.task
    slice_ = TASKS[task].pipeline
    loaded = yield from state.studio.open(todo.name, task, slice_.load, slice_.size_of)
    with loaded.lease:
        if identity(loaded.snapshot) != identity(todo.snapshot):
            raise ModelUnavailable(
                f"{todo.name} has changed since this evaluation began. Run it again."
            )
        yield from stream(lambda emit: _work(state, todo, own, missing, loaded, emit))


def _work(
    state: _State, todo: _Todo, own: Sequence[_Todo], missing: Sequence[Sequence[int]],
    loaded: Loaded, emit: Emit,
) -> None:  # fmt: skip
    """Computes batch after batch and saves each whole, with progress between them."""
    settings = state.request.settings
    assert settings is not None

    def report() -> None:
        fraction = state.done / max(1, state.missing)
        done = sum(key in state.finished for key in todo.keys)
        message = f"{todo.name}: {done} of {len(todo.keys)} samples"
        emit(Progress(message, fraction, state.seconds_left()))

    run = Run(state.studio, state.store, todo.name, loaded, settings, report)
    pause = _Pause()
    with PeakMemory(state.studio.device.kind) as peak:
        for places in missing:
            report()
            outputs = _made(todo, run, state, places)
            finished = {todo.keys[p]: output for p, output in zip(places, outputs, strict=True)}
            # The cost first: where a sample is, there is a cost.
            state.store.save_cost(todo.cost_key, RunCost(loaded.lease.load_seconds, peak.bytes))
            state.store.save(finished)
            state.finished |= finished
            state.done += len(places)
            if pause.is_over():
                with pause:
                    partial = _partial(state, todo.name, own)
                if partial is not None:
                    emit(partial)
    state.store.save_cost(todo.cost_key, RunCost(loaded.lease.load_seconds, peak.bytes))


def _batches(order: Sequence[int], batch_size: int) -> list[Sequence[int]]:
    """The first samples one by one, the others in batches.

    By the order of the draw, so that a larger one has the full batches of a smaller one.
    """
    alone = [order[place : place + 1] for place in range(min(ALONE, len(order)))]
    return alone + [order[at : at + batch_size] for at in range(ALONE, len(order), batch_size)]


def _made(todo: _Todo, run: Run, state: _State, places: Sequence[int]) -> list[Output]:
    generator = todo.generator
    samples = [state.samples[place] for place in places]
    seeds = [todo.seed + sample.index for sample in samples]
    outputs = None
    if places[0] not in state.order[:ALONE]:
        outputs = generator.several(run, samples, seeds)
    if outputs is None:
        outputs = [_one(generator, run, *each) for each in zip(samples, seeds, strict=True)]
    return outputs


def _one(generator: OutputGenerator, run: Run, sample: Sample, seed: int) -> Output:
    try:
        return generator.one(run, sample, seed)
    except StudioError as error:
        raise type(error)(f"{run.model}, {sample.name}: {error}") from error


class _Pause:
    """Lets partial scores through when they are due."""

    def __init__(self) -> None:
        self._next = self._entered = 0.0

    def is_over(self) -> bool:
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._entered = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        took = time.monotonic() - self._entered
        self._next = time.monotonic() + max(_LEAST_PAUSE_SECONDS, 10 * took)


def _partial(state: _State, name: str, own: Sequence[_Todo]) -> PartialScores | None:
    """The scores of the samples so far; None where there are too few for any."""
    outputs = state.outputs(own)
    if len(outputs.samples) < 2:
        return None
    scores = {}
    for metric in state.request.metrics:
        try:
            scores[metric] = METRICS[metric].score(outputs)
        except InvalidValue:  # too few samples yet for this score
            continue
    return PartialScores(
        name,
        len(outputs.samples),
        len(state.samples),
        {metric: score.value for metric, score in scores.items()},
        frozenset(metric for metric, score in scores.items() if score.warning),
    )


def _extract_painted(state: _State, todos: Sequence[_Todo], emit: Emit) -> None:
    """Computes the features of all paintings here, where a stop takes effect, before the scores.

    Those of partial scores are dropped: their batches depended on the clock.
    """
    state.extractors.forget()
    if state.extractors.pictures is not None:
        for todo in todos:
            files = state.outputs([todo]).files  # of paintings: other tasks need no extractor
            _extracted(state.extractors.pictures, files, f"the pictures of {todo.name}", emit)


def _result(state: _State, todos: Sequence[_Todo], emit: Emit) -> EvaluationResult:
    models = tuple(
        _model_result(state, [todo for todo in todos if todo.name == name])
        for name in state.request.models
    )
    return concluded(state.request, state.samples, models, _device(state.studio), emit)


def _model_result(state: _State, own: Sequence[_Todo]) -> ModelResult:
    name = shown_generator([todo.generator.name for todo in own])
    shown = next(todo for todo in own if todo.generator.name == name)
    cost = state.store.cost(shown.cost_key)
    assert cost is not None
    outputs = state.outputs(own)
    drawn = [outputs.by_generator[name][place] for place in state.order]
    costs = costs_of(drawn, cost, shown.snapshot)
    computed = state.computed[shown.name]
    return measured(shown.name, shown.snapshot, outputs, state.request.metrics, costs, computed)
