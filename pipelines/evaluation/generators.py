"""What models make of samples: captions, pictures, continuations and likelihoods.

The first samples of a run go through the task's own slice, one by one, as on the page: their
times are the latencies. The others go through the slice's ``batch.py`` where a model can take
them in batches; a sample comes out the same either way, but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from pipelines.datasets.samples import Sample
from pipelines.errors import NotFinite
from pipelines.evaluation.likelihoods import likelihoods
from pipelines.evaluation.request import Describing, Generation, Painting, Writing
from pipelines.evaluation.store import Output, Store
from pipelines.events import with_result
from pipelines.image_captioning import batch as captions
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.runtime.studio import Loaded, Studio
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.batch import write_batch
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image import batch as pictures
from pipelines.text_to_image.pipeline import PaintRequest, prompt_notes, with_own_values

Wait = Callable[[], None]
"""Called often while a model computes; what it raises stops the run."""


@dataclass(frozen=True)
class Run:
    """What computing a sample takes beside the sample: the model, its settings, the store."""

    studio: Studio
    store: Store
    model: str
    loaded: Loaded
    settings: Generation
    wait: Wait


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


def _generated(run: Run, task: Task, request: Any) -> Any:
    """The result of the slice's own run, which is closed where this one is stopped."""
    generate: Callable[..., Generator[Any, None, Any]] = TASKS[task].pipeline.generate
    with closing(with_result(generate(run.studio, request))) as events:
        result = None
        for result in events:  # noqa: B007 - the last is the result
            run.wait()
    return result


def _caption_request(run: Run, sample: Sample, seed: int) -> CaptionRequest:
    settings = cast(Describing, run.settings)
    picture = sample.picture(run.studio.settings.limits)
    return CaptionRequest(
        run.model, picture, settings.method, 1, settings.temperature, settings.max_new_tokens, seed
    )


def _caption(run: Run, sample: Sample, seed: int) -> Output:
    result = _generated(run, "describe", _caption_request(run, sample, seed))
    # Whether a picture is foreign to the model is no fault of its caption: notes are left out.
    return Output(text=result.captions[0].text, seconds=result.seconds)


def _captions(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output] | None:
    if not captions.takes_batches(run.loaded.model):
        return None
    requests = [_caption_request(run, *each) for each in zip(samples, seeds, strict=True)]
    began = time.perf_counter()
    adapters = run.loaded.snapshot.adapters
    texts = captions.caption_batch(run.loaded.model, requests, run.wait, adapters)
    seconds = time.perf_counter() - began
    return [Output(text=text, seconds=seconds, batch=len(samples)) for text in texts]


def _paint_request(run: Run, sample: Sample, seed: int) -> PaintRequest:
    settings = cast(Painting, run.settings)
    return PaintRequest(
        run.model,
        sample.text,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        scheduler=settings.scheduler,
        seed=seed,
    )


def _picture(run: Run, sample: Sample, seed: int) -> Output:
    result = _generated(run, "paint", _paint_request(run, sample, seed))
    picture = run.store.save_picture(result.pictures[0])
    return Output(picture=picture, notes=tuple(result.notes), seconds=result.seconds)


def _pictures(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output] | None:
    painter, snapshot = run.loaded.model, run.loaded.snapshot
    if not pictures.takes_batches(painter):
        return None
    requests = [
        with_own_values(painter, _paint_request(run, *each))
        for each in zip(samples, seeds, strict=True)
    ]
    began = time.perf_counter()
    try:
        painted = pictures.paint_batch(painter, requests, run.wait, snapshot.adapters)
    except NotFinite:  # one by one they are tried in float32
        return None
    seconds = time.perf_counter() - began
    return [
        Output(
            picture=run.store.save_picture(picture),
            notes=(*snapshot.notes, *prompt_notes(painter, request)),
            seconds=seconds,
            batch=len(samples),
        )
        for picture, request in zip(painted, requests, strict=True)
    ]


def _text_request(run: Run, sample: Sample, seed: int) -> TextRequest:
    settings = cast(Writing, run.settings)
    return TextRequest(
        run.model,
        sample.halves[0],
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        seed=seed,
    )


def _continuation(run: Run, sample: Sample, seed: int) -> Output:
    result = _generated(run, "write", _text_request(run, sample, seed))
    return Output(text=result.text.strip(), seconds=result.seconds)


def _continuations(
    run: Run, samples: Sequence[Sample], seeds: Sequence[int]
) -> list[Output] | None:
    """A composition of several adapters, or another family, goes one by one."""
    adapters = run.loaded.snapshot.adapters
    if run.loaded.model.family != "causal" or len(adapters) > 1:
        return None
    requests = [_text_request(run, *each) for each in zip(samples, seeds, strict=True)]
    rows = [adapters[0] if adapters else None] * len(requests)
    began = time.perf_counter()
    written = write_batch(run.loaded.model, requests, run.wait, rows)
    seconds = time.perf_counter() - began
    return [Output(text=row.text.strip(), seconds=seconds, batch=len(samples)) for row in written]


def _likelihood(run: Run, sample: Sample, seed: int) -> Output:
    return _likelihoods(run, [sample], [seed])[0]


def _likelihoods(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output]:
    """Several texts in one batch, or a long one's windows."""
    settings = cast(Writing, run.settings)
    texts = [sample.text for sample in samples]
    began = time.perf_counter()
    rows = likelihoods(run.model, run.loaded, texts, settings.context, run.wait)
    seconds = time.perf_counter() - began
    return [Output(facts=facts, seconds=seconds, batch=len(samples)) for facts in rows]


GENERATORS: Mapping[str, OutputGenerator] = {
    generator.name: generator
    for generator in (
        OutputGenerator("likelihood", "write", ("context",), 16, _likelihood, _likelihoods),
        OutputGenerator(
            "continuation", "write", ("max_new_tokens", "temperature", "top_p", "top_k"), 8,
            _continuation, _continuations,
        ),
        OutputGenerator(
            "caption", "describe", ("method", "temperature", "max_new_tokens"), 32,
            _caption, _captions,
        ),
        OutputGenerator(
            "picture", "paint", ("steps", "guidance_scale", "scheduler"), 8, _picture, _pictures
        ),
    )
}  # fmt: skip
