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
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from pipelines.datasets.samples import Sample
from pipelines.device import PeakMemory
from pipelines.errors import InvalidValue, ModelUnavailable, naming
from pipelines.evaluation.conclude import concluded, measured, pairs
from pipelines.evaluation.extractors import open_extractor
from pipelines.evaluation.features import (
    BATCH_SIZE,
    PictureFeatures,
    open_captioner,
    open_clip,
    picture_reader,
)
from pipelines.evaluation.generators import GENERATORS, OutputGenerator, Run
from pipelines.evaluation.outputs import Array, Extractors, Outputs
from pipelines.evaluation.request import EvaluationRequest, check_samples, checked, stored_settings
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
_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR = 2.0, 10.0
"""Between partial scores: at least so long, and so many times what the last ones took."""


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
    the draw; ``stored`` has the keys of outputs of earlier runs, ``missing`` counts the others and
    ``done`` those that were computed since."""

    studio: Studio
    store: Store
    request: EvaluationRequest
    samples: Sequence[Sample]
    order: Sequence[int]
    extractors: Extractors
    todos: Sequence[_Todo]
    finished: dict[str, Output]
    stored: frozenset[str]
    computed: dict[str, int]
    missing: int
    began: float
    machine_load: float
    done: int = 0

    def progress(self, todo: _Todo) -> Progress:
        done = sum(key in self.finished for key in todo.keys)
        left = None
        if self.done > 0:
            left = (time.monotonic() - self.began) / self.done * (self.missing - self.done)
        message = f"{todo.name}: {done} of {len(todo.keys)} samples"
        return Progress(message, self.done / max(1, self.missing), left)

    def outputs(self, model: str) -> Outputs:
        """One model's outputs so far, for the samples that all its generators have made."""
        todos = [todo for todo in self.todos if todo.name == model]
        places = [
            place
            for place in range(len(self.samples))
            if all(todo.keys[place] in self.finished for todo in todos)
        ]
        outputs = {
            todo.generator.name: [self.finished[todo.keys[place]] for place in places]
            for todo in todos
        }
        files = [self.store.picture_file(each.picture) for each in outputs.get("picture", [])]
        samples = [self.samples[place] for place in places]
        seed = self.request.seed
        return Outputs(self.request.data, samples, outputs, files, self.extractors, seed)


def generate(
    studio: Studio, request: EvaluationRequest, folder: Path | None = None
) -> Generator[Progress | PartialScores, None, EvaluationResult]:
    """Yields progress and partial scores; returns the result.

    Closing the generator stops within one token or step, and keeps all finished samples.

    Args:
        folder: where samples are stored and looked up; the page's data directory by default.

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
        adapters = {each.commit for todo in todos for each in todo.snapshot.adapters}
        stack.enter_context(keep({todo.snapshot.commit for todo in todos} | adapters))
        yield from stream(
            lambda emit: check_samples(request.task, samples, studio.settings.limits, emit)
        )
        extractors = yield from _open_extractors(studio, request, stack)
        if extractors.clip is not None:
            request = replace(request, clip=extractors.clip.reference)
        keys = [key for todo in todos for key in todo.keys]
        finished = store.load(keys)
        state = _State(
            studio, store, request, samples, order, extractors, todos,
            finished, frozenset(finished), {}, missing=len(keys) - len(finished),
            began=time.monotonic(), machine_load=psutil.getloadavg()[0],
        )  # fmt: skip
        for todo in todos:
            yield from _computed(state, todo)
        return (yield from stream(lambda emit: _concluded(state, emit)))


def _planned(
    studio: Studio, request: EvaluationRequest, samples: Sequence[Sample], order: Sequence[int]
) -> Generator[Progress, None, list[_Todo]]:
    """The work of every model. All are resolved before the first is loaded."""
    todos, met = [], Counter[object]()
    settings = stored_settings(request)
    kinds = dict.fromkeys(METRICS[metric].reads for metric in request.metrics)
    for name in request.models:
        look_up = partial(
            resolve, name, request.task, studio.settings,
            device=studio.device, in_use=studio.residency.commits(),
        )  # fmt: skip
        snapshot = yield from stream(look_up, may_go_on=True)
        seed = request.seed + TWIN_SEED * met[files_of(snapshot)]
        met[files_of(snapshot)] += 1
        for generator in (GENERATORS[kind] for kind in kinds):
            model = {
                "kind": generator.name,
                "model": identity(snapshot),
                "settings": {n: settings[n] for n in generator.depends_on if n in settings},
                "device": _device(studio),
                "versions": versions(),
            }
            shared = {**model, "data": request.data.sha256, "seed": seed}
            keys = _keys(shared, samples, _batches(order, generator.batch_size))
            todos.append(_Todo(name, snapshot, generator, seed, key_of(model), keys))
    return todos


def _keys(
    shared: dict[str, object], samples: Sequence[Sample], batches: Sequence[Sequence[int]]
) -> tuple[str, ...]:
    """A batch rounds in its own way, so an output is saved under the batch that it came in."""
    keys = {}
    for places in batches:
        batch = [samples[place].index for place in places]
        for place in places:
            keys[place] = key_of({**shared, "sample": samples[place].index, "batch": batch})
    return tuple(keys[place] for place in range(len(samples)))


def _device(studio: Studio) -> dict[str, str]:
    return {"kind": studio.device.kind, "dtype": studio.device.dtype_name}


def _open_extractors(
    studio: Studio, request: EvaluationRequest, stack: ExitStack
) -> Generator[Progress, None, Extractors]:
    """Loads the models that the metrics need, and computes the features of the real pictures."""
    extractors, needs = Extractors(), needs_of(request.metrics)
    if "reader" in needs:
        loaded = yield from open_captioner(studio)
        stack.enter_context(loaded.lease)
        extractors = replace(extractors, reader=picture_reader(loaded, studio.settings.limits))
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
    """Features of the pictures, with progress for each batch: a large extractor is slow."""
    for start in range(0, len(files), BATCH_SIZE):
        emit(Progress(f"Reading {what}", start / len(files)))
        pictures.of(files[start : start + BATCH_SIZE])
    return np.stack(pictures.of(files)) if files else np.empty((0, 0))


def _computed(state: _State, todo: _Todo) -> Generator[Progress | PartialScores, None, None]:
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
        yield from stream(lambda emit: _work(state, todo, missing, loaded, emit))


def _work(
    state: _State, todo: _Todo, missing: Sequence[Sequence[int]], loaded: Loaded, emit: Emit
) -> None:
    """Computes batch after batch and saves each whole, with progress between them."""

    def report() -> None:
        emit(state.progress(todo))

    run = Run(state.studio, state.store, todo.name, loaded, state.request.settings, report)
    partial_due = 0.0
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with PeakMemory(state.studio.device.kind) as peak:
        for places in missing:
            report()
            outputs = _made(todo, run, state, places)
            finished = {
                todo.keys[place]: replace(output, computed_at=now, machine_load=state.machine_load)
                for place, output in zip(places, outputs, strict=True)
            }
            # The cost first: where a sample is, there is a cost.
            state.store.save_cost(todo.cost_key, RunCost(loaded.lease.load_seconds, peak.bytes))
            state.store.save(finished)
            state.finished |= finished
            state.done += len(places)
            began = time.monotonic()
            if began >= partial_due:
                if (scores := _partial(state, todo.name)) is not None:
                    emit(scores)
                took = time.monotonic() - began
                partial_due = began + took + max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * took)
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
    if places[0] not in state.order[:ALONE]:
        outputs = generator.several(run, samples, seeds)
        if outputs is not None:
            return outputs
    outputs = []
    for sample, seed in zip(samples, seeds, strict=True):
        with naming(f"{run.model}, {sample.name}"):
            outputs.append(generator.one(run, sample, seed))
    return outputs


def _partial(state: _State, model: str) -> PartialScores | None:
    """The scores of the samples so far; None where there are too few for any."""
    outputs = state.outputs(model)
    if len(outputs.samples) < 2:
        return None
    scores = {}
    for metric in state.request.metrics:
        try:
            scores[metric] = METRICS[metric].score(outputs)
        except InvalidValue:  # too few samples yet for this score
            continue
    return PartialScores(
        model,
        len(outputs.samples),
        len(state.samples),
        {metric: score.value for metric, score in scores.items()},
        frozenset(metric for metric, score in scores.items() if score.warning),
    )


def _concluded(state: _State, emit: Emit) -> EvaluationResult:
    """Computes the features of all paintings, then scores and tests; a stop takes effect between.

    Features that partial scores computed are dropped: their batches depended on the clock.
    """
    state.extractors.forget()
    if state.extractors.pictures is not None:
        for model in state.request.models:
            files, what = state.outputs(model).files, f"the pictures of {model}"
            _extracted(state.extractors.pictures, files, what, emit)
    emit(Progress("Comparing", 1.0))
    models = tuple(_model_result(state, model) for model in state.request.models)
    looks = [
        state.store.look(key_of(pair), len(state.samples)) for pair in pairs(state.request, models)
    ]
    seen = set[int]().union(*looks)
    return concluded(state.request, state.samples, models, _device(state.studio), emit, seen)


def _model_result(state: _State, model: str) -> ModelResult:
    outputs = state.outputs(model)
    name = shown_generator(outputs.by_generator)
    (shown,) = (t for t in state.todos if (t.name, t.generator.name) == (model, name))
    cost = state.store.cost(shown.cost_key)
    assert cost is not None
    drawn = [outputs.by_generator[name][place] for place in state.order]
    costs = costs_of(drawn, cost, shown.snapshot, state.stored.isdisjoint(shown.keys))
    computed = state.computed[model]
    return measured(model, shown.snapshot, outputs, state.request.metrics, costs, computed)
