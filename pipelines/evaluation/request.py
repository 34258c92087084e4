"""What an evaluation is asked for, checked; each task has its own settings and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pipelines import validation
from pipelines.datasets.samples import DataSet
from pipelines.errors import InvalidValue, abbreviated
from pipelines.image_captioning.pipeline import METHODS
from pipelines.settings import Limits
from pipelines.tasks import Task
from pipelines.text_to_image.families import SCHEDULERS

MOST_MODELS = 8
"""In one comparison; only who asks for it measures one model alone."""

MOST_SAMPLES = 2_000
MOST_CONTEXT = 8_192


@dataclass(frozen=True)
class Describing:
    """As in ``CaptionRequest``; of each picture the likeliest caption counts."""

    method: str = "beams"
    temperature: float = 0.7
    max_new_tokens: int = 32


@dataclass(frozen=True)
class Painting:
    """As in ``PaintRequest``, so each model has its own steps or guidance where they are None;
    each text is a prompt."""

    steps: int | None = 20
    guidance_scale: float | None = 4.0
    scheduler: str = "DDIM"


@dataclass(frozen=True)
class Writing:
    """How texts are read and continued.

    A text is read in windows of ``context`` tokens, or of what the model can hold where that
    is less, that overlap by half. Its first half is what a model is to continue.
    """

    context: int = 1_024
    max_new_tokens: int = 64
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 50


Generation = Describing | Painting | Writing
SETTINGS: Mapping[Task, type[Generation]] = {
    "write": Writing,
    "describe": Describing,
    "paint": Painting,
}
TASKS: tuple[Task, ...] = ("write", "paint", "describe")

METRICS: Mapping[Task, tuple[str, ...]] = {
    "write": ("bits_per_byte", "perplexity", "chrf", "distinct_2", "self_bleu"),
    "describe": (
        "cider",
        "bleu",
        "rouge_l",
        "exact_match",
        "caption_clip_score",
        "recall_picture_to_caption",
        "recall_caption_to_picture",
    ),
    "paint": (
        "kid",
        "fid",
        "clip_score",
        "recall_text_to_picture",
        "recall_picture_to_text",
        "diversity",
        "round_trip_cider",
        "round_trip_rouge_l",
        "round_trip_exact",
    ),
}
"""What can be measured, by task; the names of ``scores.METRICS``."""

DEFAULT_METRICS: Mapping[Task, tuple[str, ...]] = {
    "write": ("bits_per_byte", "perplexity"),
    "describe": ("cider", "bleu", "rouge_l", "exact_match"),
    "paint": ("kid", "clip_score", "diversity"),
}
_OF_REAL_PICTURES = ("kid", "fid")
OF_CLIP = (
    "clip_score",
    "caption_clip_score",
    "recall_text_to_picture",
    "recall_picture_to_text",
    "recall_picture_to_caption",
    "recall_caption_to_picture",
)
EMBEDDED_CLIP = "emoji-clip"

OF_FEATURES = ("kid", "fid", "diversity")
EMBEDDED_EXTRACTOR = "emoji-captioner"
INCEPTION = "InceptionV3-2015-12-05"
EXTRACTORS = (EMBEDDED_EXTRACTOR, INCEPTION)
"""What may look at pictures for ``OF_FEATURES``; ``extractors`` tells which are here."""


@dataclass(frozen=True)
class EvaluationRequest:
    """Models to hold against the first of them, on samples drawn from a data set.

    ``data`` is what ``sources`` finds by one text: a name, a reference of the Hub, a file.
    ``metrics`` empty: the task's usual ones; the first is what samples are compared by.
    ``settings`` None: the task's defaults. ``clip`` names the model of CLIPScore and recall, one
    of this machine or a reference of the Hub, and ``extractor`` what looks at pictures for KID,
    FID and diversity, one of ``EXTRACTORS``; None: the embedded ones. Sample ``i`` of the data
    set is generated with ``seed + i``.
    """

    task: Task
    data: DataSet
    models: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    sample_size: int = 64
    seed: int = 0
    settings: Generation | None = None
    clip: str | None = None
    extractor: str | None = None


def checked(request: EvaluationRequest, limits: Limits) -> EvaluationRequest:
    """The request with every field of its type and in its range, and nothing left to default.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    validation.choice("task", request.task, TASKS)
    if not isinstance(request.data, DataSet):
        raise InvalidValue(f"data is {abbreviated(request.data)}; choose a data set.")
    request = replace(
        request,
        models=_checked_models(request.models),
        metrics=_checked_metrics(request.task, request.metrics),
        sample_size=validation.whole_number("sample_size", request.sample_size, 2, MOST_SAMPLES),
        seed=validation.whole_number("seed", request.seed, 0, 2**62),
        settings=_checked_settings(request.task, request.settings, limits),
    )
    if request.clip is None and set(OF_CLIP) & set(request.metrics):
        request = replace(request, clip=EMBEDDED_CLIP)
    request = replace(request, extractor=_checked_extractor(request))
    _check_fit(request)
    return request


def _checked_models(models: object) -> tuple[str, ...]:
    names = _texts("models", models)
    if not 1 <= len(names) <= MOST_MODELS:
        raise InvalidValue(
            f"There are {len(names)} models; choose one to measure it alone, or up to "
            f"{MOST_MODELS}, the one to compare with first."
        )
    for name in names:
        if names.count(name) > 1:
            raise InvalidValue(f"{abbreviated(name)} is given twice. Give each model once.")
    return tuple(names)


def _checked_metrics(task: Task, metrics: object) -> tuple[str, ...]:
    names = _texts("metrics", metrics)
    for name in names:
        validation.choice("metrics", name, METRICS[task])
    return tuple(dict.fromkeys(names)) or DEFAULT_METRICS[task]


def _texts(name: str, values: object) -> list[str]:
    """A list of names, each without blanks around it."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidValue(f"{name} are {abbreviated(values)}; give a list.")
    for value in values:
        if not isinstance(value, str) or not value.strip() or len(value) > 2_000:
            raise InvalidValue(f"One of the {name} is {abbreviated(value)}; give a name.")
    return [value.strip() for value in values]


def _checked_extractor(request: EvaluationRequest) -> str | None:
    """The one that the metrics need, if any does; a wrong name is refused all the same."""
    asked = EMBEDDED_EXTRACTOR if request.extractor is None else request.extractor
    known = validation.choice("extractor", asked, EXTRACTORS)
    return known if set(OF_FEATURES) & set(request.metrics) else None


def _checked_settings(task: Task, settings: object, limits: Limits) -> Generation:
    kind = SETTINGS[task]
    given = kind() if settings is None else settings
    if isinstance(given, Describing) and kind is Describing:
        return Describing(
            validation.choice("method", given.method, METHODS),
            validation.number("temperature", given.temperature, 0.0, 5.0),
            validation.whole_number(
                "max_new_tokens", given.max_new_tokens, 1, limits.caption_tokens
            ),
        )
    if isinstance(given, Painting) and kind is Painting:
        return Painting(
            validation.whole_number_or_own("steps", given.steps, 1, limits.steps),
            validation.number_or_own(
                "guidance_scale", given.guidance_scale, 0.0, limits.guidance_scale
            ),
            validation.choice("scheduler", given.scheduler, list(SCHEDULERS)),
        )
    if isinstance(given, Writing) and kind is Writing:
        return Writing(
            validation.whole_number("context", given.context, 2, MOST_CONTEXT),
            validation.whole_number("max_new_tokens", given.max_new_tokens, 1, limits.new_tokens),
            validation.number("temperature", given.temperature, 0.0, 5.0),
            validation.number("top_p", given.top_p, 0.0, 1.0),
            validation.whole_number("top_k", given.top_k, 0, 100_000),
        )
    raise InvalidValue(f"settings are {abbreviated(settings)}; to {task} takes {kind.__name__}.")


def settings_from(task: Task, values: Mapping[str, Any]) -> Generation:
    """The task's settings from plain fields, as a card or a command line has them.

    Raises:
        InvalidValue: a field that the task does not have.
    """
    kind = SETTINGS[task]
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise InvalidValue(
                f"There is no setting {abbreviated(name)} to {task}; there are {', '.join(known)}."
            )
    return kind(**values)


def _check_fit(request: EvaluationRequest) -> None:
    """Whether the data set has what task and metrics need."""
    needing = [name for name in request.metrics if name in _OF_REAL_PICTURES]
    if not request.data.has_pictures and (request.task == "describe" or needing):
        what = "to describe" if request.task == "describe" else f"the metric {needing[0]}"
        raise InvalidValue(
            f"{request.data.name} has texts alone, and {what} needs pictures. Choose another data "
            "set, or upload a ZIP of pictures with a metadata.jsonl."
        )
    if request.clip is not None:
        validation.text("clip", request.clip, 200)
