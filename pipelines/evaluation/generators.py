"""What models make of samples: captions, pictures, continuations and likelihoods.

The first samples of a run go through the task's own slice, one by one, as on the page: their
times are the latencies. The others go through the slice's ``batch.py`` where a model can take
them in batches; a sample comes out the same either way, but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

from pipelines import small_world
from pipelines.datasets.samples import Sample
from pipelines.errors import NotFinite
from pipelines.evaluation.likelihoods import likelihoods
from pipelines.evaluation.request import SETTINGS, Generation
from pipelines.evaluation.store import Output, Store
from pipelines.events import with_result
from pipelines.image_captioning import batch as captions
from pipelines.runtime.studio import Loaded, Studio
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.batch import write_batch
from pipelines.text_to_image import batch as pictures
from pipelines.text_to_image.painter import under_adapters
from pipelines.text_to_image.pipeline import prompt_notes, with_own_values
from pipelines.text_to_image.schedulers import OWN_SCHEDULER


@dataclass(frozen=True)
class Run:
    """What computing a sample takes beside the sample: the model, its settings, the store.

    ``wait`` is called often while a model computes; what it raises stops the run.
    """

    studio: Studio
    store: Store
    model: str
    loaded: Loaded
    settings: Generation
    wait: Callable[[], None]


@dataclass(frozen=True)
class OutputGenerator:
    """Makes one kind of output. ``depends_on`` are the settings that change it.

    ``one`` computes one sample with its seed; ``several`` computes a batch of ``batch_size``, or
    returns None where this model takes one at a time.
    """

    name: str
    task: Task
    depends_on: tuple[str, ...]
    batch_size: int
    one: Callable[[Run, Sample, int], Output]
    several: Callable[[Run, Sequence[Sample], Sequence[int]], list[Output] | None]


def _of_slice(
    name: str, task: Task, batch_size: int,
    given: Callable[[Run, Sample], dict[str, Any]],
    value_of: Callable[[Any], Any],
    together: Callable[[Run, list[Any]], Sequence[Any] | None],
    notes: Callable[[Run, Any], list[str]] | None = None,
) -> OutputGenerator:  # fmt: skip
    """Makes texts or pictures with the pipeline and the batches of the task's slice.

    Args:
        given: the fields of the slice's request that come from a sample or from the model.
        value_of: the text or the picture in a result of the slice.
        together: those of several requests; None where this model takes one at a time.
        notes: remarks on one of several requests; None where remarks are left out.
    """
    settings = tuple(f.name for f in fields(SETTINGS[task]) if f.name != "context")

    def request(run: Run, sample: Sample, seed: int) -> Any:
        own = {each: getattr(run.settings, each) for each in settings}
        kind = TASKS[task].pipeline.Request
        return kind(model=run.model, seed=seed, **{**own, **given(run, sample)})

    def output(run: Run, value: Any, remarks: list[str], seconds: float, batch: int) -> Output:
        is_text = isinstance(value, str)
        made = {"text": value.strip()} if is_text else {"picture": run.store.save_picture(value)}
        return Output(**made, notes=tuple(remarks), seconds=seconds, batch=batch)

    def one(run: Run, sample: Sample, seed: int) -> Output:
        asked, result = request(run, sample, seed), None
        with closing(with_result(TASKS[task].pipeline.generate(run.studio, asked))) as events:
            for result in events:  # noqa: B007 - the last is the result
                run.wait()
        assert result is not None
        remarks = [] if notes is None else [*result.notes, *_sampler_note(run)]
        return output(run, value_of(result), remarks, result.seconds, 1)

    def several(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output] | None:
        requests = [request(run, *each) for each in zip(samples, seeds, strict=True)]
        began = time.perf_counter()
        values = together(run, requests)
        seconds = time.perf_counter() - began
        if values is None:
            return None
        return [
            output(run, value, notes(run, asked) if notes else [], seconds, len(samples))
            for asked, value in zip(requests, values, strict=True)
        ]

    return OutputGenerator(name, task, settings, batch_size, one, several)


def _captions(run: Run, requests: list[Any]) -> Sequence[str] | None:
    if not captions.takes_batches(run.loaded.model):
        return None
    adapters = run.loaded.snapshot.adapters
    return captions.caption_batch(run.loaded.model, requests, run.wait, adapters)


def _pictures(run: Run, requests: list[Any]) -> Sequence[Any] | None:
    adapters = run.loaded.snapshot.adapters
    painter = under_adapters(run.loaded.model, adapters)
    if not pictures.takes_batches(painter):
        return None
    requests = [with_own_values(painter, request) for request in requests]
    try:
        return pictures.paint_batch(painter, requests, run.wait, adapters)
    except NotFinite:  # one by one they are tried in float32
        return None


def _prompt_notes(run: Run, request: Any) -> list[str]:
    painter = under_adapters(run.loaded.model, run.loaded.snapshot.adapters)
    said = [*run.loaded.snapshot.notes, *prompt_notes(painter, request)]
    return [*said, *_sampler_note(run)]


def _samples_its_own_way(run: Run) -> bool:
    """Whether a painter takes no scheduler, and the evaluation has none but the usual one."""
    is_usual = getattr(run.settings, "scheduler", None) == small_world.SCHEDULER
    return is_usual and not run.loaded.model.family.takes_schedulers


def _sampler(run: Run) -> dict[str, str]:
    return {"scheduler": OWN_SCHEDULER} if _samples_its_own_way(run) else {}


def _sampler_note(run: Run) -> list[str]:
    if not _samples_its_own_way(run):
        return []
    usual = small_world.SCHEDULER
    return [f"This model denoises in a way of its own; {usual}, usual in evaluations, is not used."]


def _continuations(run: Run, requests: list[Any]) -> Sequence[str] | None:
    """None for several adapters together and for other families than causal ones."""
    adapters = run.loaded.snapshot.adapters
    if run.loaded.model.family != "causal" or len(adapters) > 1:
        return None
    rows = [adapters[0] if adapters else None] * len(requests)
    return [row.text for row in write_batch(run.loaded.model, requests, run.wait, rows)]


def _likelihoods(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output]:
    """Several texts in one batch, or a long one's windows."""
    texts = [sample.text for sample in samples]
    began = time.perf_counter()
    rows = likelihoods(run.model, run.loaded, texts, run.settings.context, run.wait)
    seconds = time.perf_counter() - began
    return [Output(facts=facts, seconds=seconds, batch=len(samples)) for facts in rows]


GENERATORS: Mapping[str, OutputGenerator] = {
    generator.name: generator
    for generator in (
        OutputGenerator(
            "likelihood", "write", ("context",), 16,
            lambda run, sample, seed: _likelihoods(run, [sample], [seed])[0], _likelihoods,
        ),
        _of_slice(
            "continuation", "write", 8, lambda run, sample: {"prompt": sample.halves[0]},
            lambda result: result.text, _continuations,
        ),
        # Whether a picture is foreign to the model is no fault of its caption: without notes.
        _of_slice(
            "caption", "describe", 32,
            lambda run, sample: {"picture": sample.picture(run.studio.settings.limits), "count": 1},
            lambda result: result.captions[0].text, _captions,
        ),
        _of_slice(
            "picture", "paint", 8, lambda run, sample: {"prompt": sample.text, **_sampler(run)},
            lambda result: result.pictures[0], _pictures, _prompt_notes,
        ),
    )
}  # fmt: skip
