"""What models make of samples: captions, pictures, likelihoods and continuations.

The first samples of a run go through the task's own slice, one by one, as the page does it:
that is what latency means. The others go in batches where a model can take them, with the
slice's own parts; a sample comes out the same either way, but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from pipelines.datasets.samples import Sample
from pipelines.evaluation.likelihoods import likelihoods
from pipelines.evaluation.request import Describing, Generation, Painting, Writing
from pipelines.evaluation.store import Output, Store
from pipelines.events import with_result
from pipelines.image_captioning import pipeline as describing
from pipelines.image_captioning.families import FAMILIES
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.runtime.adapters import applied
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes
from pipelines.tasks import Task
from pipelines.text_generation import pipeline as writing
from pipelines.text_generation.batch import write_batch
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.writer import load_writer
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.families import call_options, call_parameters
from pipelines.text_to_image.painter import Painter, load_painter, own_pipeline
from pipelines.text_to_image.pipeline import PaintRequest, prompt_notes, with_own_values

Wait = Callable[[], None]
"""Called often while a model computes; what it raises stops the run."""


@dataclass(frozen=True)
class Run:
    """What computing a sample needs beside the sample: who, where to, and with what."""

    studio: Studio
    store: Store
    model: str
    loaded: Loaded
    settings: Generation
    wait: Wait

    def finished(self, run: Generator[Any, None, Any]) -> Any:
        """The result of a slice's run, which is closed where this one is stopped."""
        with closing(with_result(run)) as events:
            result = None
            for result in events:  # noqa: B007 - the last is the result
                self.wait()
        return result


@dataclass(frozen=True)
class Kind:
    """One kind of output. ``depends_on`` are the settings that change it.

    ``alone`` computes one sample with its seed; ``together`` computes several, or tells by
    None that this model takes one at a time.
    """

    name: str
    task: Task
    depends_on: tuple[str, ...]
    at_once: int
    load: Callable[..., Any]
    size_of: Callable[[Any], int]
    alone: Callable[[Run, Sample, int], Output]
    together: Callable[[Run, Sequence[Sample], Sequence[int]], list[Output] | None]


def _caption(run: Run, sample: Sample, seed: int) -> Output:
    settings = cast(Describing, run.settings)
    picture = sample.picture(run.studio.settings.limits)
    request = CaptionRequest(
        run.model, picture, settings.method, 1, settings.temperature, settings.max_new_tokens, seed
    )
    result = run.finished(describing.generate(run.studio, request))
    # Whether a picture is foreign to the model is no fault of its caption: notes are left out.
    return Output(text=result.captions[0].text, seconds=result.seconds)


def _captions(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output] | None:
    """One search over the encoder's states of all pictures; other families cannot."""
    import torch
    from transformers import LogitsProcessorList
    from transformers.modeling_outputs import BaseModelOutput

    from pipelines.runtime.sampling import processors

    captioner, settings = run.loaded.model, cast(Describing, run.settings)
    if captioner.family is not FAMILIES["vision-encoder-decoder"]:
        return None
    pictures = [sample.picture(run.studio.settings.limits) for sample in samples]
    chain = LogitsProcessorList([_waiting(run.wait)])
    options = {"num_beams": _BEAMS, "early_stopping": True}
    if settings.method == "sampling":
        chain += processors(settings.temperature, 0, 1.0, seeds)
        options = {"num_beams": 1, "early_stopping": False}
    model = captioner.model
    began = time.perf_counter()
    with torch.inference_mode(), applied(model, run.loaded.snapshot.adapters, run.wait):
        pixels = captioner.processor(images=pictures, return_tensors="pt")["pixel_values"]
        cells = model.get_encoder()(pixels.to(model.device, model.dtype)).last_hidden_state
        tokens = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=cells),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=settings.max_new_tokens,
            logits_processor=chain,
            **options,
        )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    seconds = time.perf_counter() - began
    return [Output(text=text.strip(), seconds=seconds, batch=len(samples)) for text in texts]


_BEAMS = 4
"""What the slice uses for one caption."""


def _waiting(wait: Wait) -> Callable[[Any, Any], Any]:
    """A processor of logits that changes nothing: the place where a stop is felt."""

    def passed(input_ids: Any, scores: Any) -> Any:
        wait()
        return scores

    return passed


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
    result = run.finished(painting.generate(run.studio, _paint_request(run, sample, seed)))
    picture = run.store.keep_picture(result.pictures[0])
    return Output(picture=picture, notes=tuple(result.notes), seconds=result.seconds)


def _pictures(run: Run, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Output] | None:
    """One batch, with a generator for each picture; a painter that takes turns on the GPU, or
    cannot be stopped between steps, goes one by one."""
    painter: Painter = run.loaded.model
    if painter.is_offloaded or "callback_on_step_end" not in call_parameters(painter.pipeline):
        return None
    requests = [_paint_request(run, *each) for each in zip(samples, seeds, strict=True)]
    adapters = run.loaded.snapshot.adapters
    with applied(painter.pipeline, adapters, run.wait):
        began = time.perf_counter()
        pictures = _denoised(painter, [with_own_values(painter, r) for r in requests], run.wait)
        seconds = time.perf_counter() - began
    return [
        Output(
            picture=run.store.keep_picture(picture),
            notes=(*run.loaded.snapshot.notes, *prompt_notes(painter, request)),
            seconds=seconds,
            batch=len(samples),
        )
        for picture, request in zip(pictures, requests, strict=True)
    ]


def _denoised(painter: Painter, requests: Sequence[PaintRequest], wait: Wait) -> list[Any]:
    import torch

    def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        wait()
        return tensors

    first = requests[0]
    assert first.guidance_scale is not None
    pipeline = own_pipeline(painter, first.scheduler)
    options = call_options(
        pipeline,
        painter.family,
        guidance_scale=first.guidance_scale,
        negative_prompts=[""] * len(requests),
    )
    with torch.inference_mode():
        pictures: list[Any] = pipeline(
            prompt=[request.prompt for request in requests],
            num_inference_steps=first.steps,
            generator=[torch.Generator().manual_seed(cast(int, r.seed)) for r in requests],
            callback_on_step_end=after_step,
            output_type="pil",
            **options,
        ).images
    return pictures


def halves(text: str) -> tuple[str, str]:
    """A text's beginning, which is the prompt, and what is to follow: half of its words each.

    A text of one word begins with nothing.
    """
    words = text.split()
    middle = 0
    for word in words[: len(words) // 2]:
        middle = text.index(word, middle) + len(word)
    return text[:middle], text[middle:].strip()


def _text_request(run: Run, sample: Sample, seed: int) -> TextRequest:
    settings = cast(Writing, run.settings)
    return TextRequest(
        run.model,
        halves(sample.text)[0],
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        seed=seed,
    )


def _continuation(run: Run, sample: Sample, seed: int) -> Output:
    result = run.finished(writing.generate(run.studio, _text_request(run, sample, seed)))
    return Output(text=result.text.strip(), seconds=result.seconds)


def _continuations(
    run: Run, samples: Sequence[Sample], seeds: Sequence[int]
) -> list[Output] | None:
    """One batch; a composition of several adapters, or another family, goes one by one."""
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
    found = likelihoods(run.model, run.loaded, texts, settings.context, run.wait)
    seconds = time.perf_counter() - began
    return [Output(facts=facts, seconds=seconds, batch=len(samples)) for facts in found]


def _model_bytes(loaded: Any) -> int:
    return parameter_bytes(loaded.model)


def _painter_bytes(painter: Any) -> int:
    parts = painter.pipeline.components.values()
    return parameter_bytes(*[part for part in parts if hasattr(part, "parameters")])


_WRITER: Mapping[str, Any] = {
    "task": "write",
    "load": load_writer,
    "size_of": _model_bytes,
}
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "likelihood",
            depends_on=("context",),
            at_once=16,
            alone=_likelihood,
            together=_likelihoods,
            **_WRITER,
        ),
        Kind(
            "continuation",
            depends_on=("max_new_tokens", "temperature", "top_p", "top_k"),
            at_once=8,
            alone=_continuation,
            together=_continuations,
            **_WRITER,
        ),
        Kind(
            "caption",
            "describe",
            ("method", "temperature", "max_new_tokens"),
            32,
            describing.load_captioner,
            _model_bytes,
            _caption,
            _captions,
        ),
        Kind(
            "picture",
            "paint",
            ("steps", "guidance_scale", "scheduler"),
            8,
            load_painter,
            _painter_bytes,
            _picture,
            _pictures,
        ),
    )
}
