"""The request of an evaluation, checked. Each task has its own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from typing import Annotated, Any

from pipelines import validation
from pipelines.datasets.samples import DataSet, Sample
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation.clips import EMBEDDED_CLIP
from pipelines.evaluation.extractors import EXTRACTORS
from pipelines.evaluation.features import EMBEDDED_EXTRACTOR
from pipelines.evaluation.scores import METRICS, metrics_of, needs_of
from pipelines.events import Progress, Report
from pipelines.metrics import ptb
from pipelines.settings import Limits
from pipelines.sharing.names import Models, Names
from pipelines.tasks import TASKS, Task, TaskRecord
from pipelines.validation import Choice, Rule, Unchecked, Whole, rule_of

MOST_MODELS = 8
"""In one evaluation."""

MOST_SAMPLES = 2_000
MOST_CONTEXT = 8_192


Generation = Any
"""The settings of an evaluation: one of ``SETTINGS``."""


def _settings_of(record: TaskRecord) -> type[Generation]:
    """A frozen dataclass of what a task's record says that an evaluation can set.

    The rules are those of the fields of the slice's request. ``context`` is not among these: texts
    are read in windows of so many tokens, or of what the model can hold where that is less.
    """
    kind = record.pipeline.Request
    fields: list[Any] = []
    for setting in (each for each in record.settings if each.evaluated):
        own = setting.name == "context"
        rule = Whole(2, MOST_CONTEXT) if own else rule_of(kind, setting.name)
        fields.append((setting.name, Annotated[Any, rule], record.usual(setting)))
    return make_dataclass(record.title, fields, frozen=True)


SETTINGS: Mapping[Task, type[Generation]] = {
    name: _settings_of(record) for name, record in TASKS.items()
}
Writing, Painting, Describing = (SETTINGS[task] for task in ("write", "paint", "describe"))


_MODELS = Models(
    1,
    MOST_MODELS,
    f"choose one to measure it alone, or up to {MOST_MODELS}, the one to compare with first",
)


@dataclass(frozen=True)
class _Data(Rule):
    """A data set that was read."""

    def check(self, name: str, value: object, limits: Limits) -> DataSet:
        if not isinstance(value, DataSet):
            raise InvalidValue(f"{name} is {abbreviated(value)}; choose a data set.")
        return value


@dataclass(frozen=True)
class EvaluationRequest:
    """Models to compare with the first of them, on samples drawn from a data set.

    ``metrics`` empty: the task's default ones; the first decides which samples differ most.
    ``settings`` None: the task's defaults. ``clip`` names the model of CLIPScore and recall, one
    of this machine or a reference of the Hub, and ``extractor`` what computes the features of
    pictures for KID, FID and diversity, one of ``EXTRACTORS``; None: the embedded ones. Sample
    ``i`` of the data set is generated with ``seed + i``.
    """

    task: Annotated[Task, Choice(tuple(TASKS))]
    data: Annotated[DataSet, _Data()]
    models: Annotated[tuple[str, ...], _MODELS]
    metrics: Annotated[tuple[str, ...], Names()] = ()
    sample_size: Annotated[int, Whole(2, MOST_SAMPLES)] = 64
    seed: Annotated[int, Whole(0, 2**62)] = 0
    settings: Annotated[Generation | None, Unchecked()] = None
    clip: Annotated[str | None, Unchecked()] = None
    extractor: Annotated[str | None, Unchecked()] = None


def checked(request: EvaluationRequest, limits: Limits) -> EvaluationRequest:
    """The request with every field of its type and in its range, and nothing left to default.

    Raises:
        InvalidValue: naming the first field that is not, or saying that the data set has no
            pictures where the task or a metric needs them.
    """
    request = validation.checked(request, limits)
    task, data = request.task, request.data
    for name in request.metrics:
        validation.choice("metrics", name, metrics_of(task))
    metrics = tuple(dict.fromkeys(request.metrics)) or metrics_of(task, defaults_only=True)
    needs = needs_of(metrics)
    extractor = EMBEDDED_EXTRACTOR if request.extractor is None else request.extractor
    validation.choice("extractor", extractor, EXTRACTORS)
    clip = EMBEDDED_CLIP if request.clip is None else validation.text("clip", request.clip, 200)
    kind, settings = SETTINGS[task], request.settings
    if settings is not None and not isinstance(settings, kind):
        raise InvalidValue(
            f"settings are {abbreviated(settings)}; to {task} takes {kind.__name__}."
        )
    needing = [f"to {task}"] if TASKS[task].takes == "picture" else []
    needing += [f"the metric {name}" for name in metrics if "real" in METRICS[name].needs]
    if needing and not data.has_pictures:
        raise InvalidValue(
            f"{data.name} has only texts, and {needing[0]} needs pictures. Choose another data "
            "set, or upload a ZIP of pictures with captions."
        )
    return replace(
        request,
        metrics=metrics,
        settings=validation.checked(kind() if settings is None else settings, limits),
        clip=clip if "clip" in needs else None,
        extractor=extractor if "features" in needs else None,
    )


def stored_settings(request: EvaluationRequest) -> dict[str, Any]:
    """The settings of a checked request that stored samples depend on.

    One that was added later is left out where it has its default: samples were stored without it.
    """
    later = {each.name for each in TASKS[request.task].settings if each.is_later}
    usual = SETTINGS[request.task]()
    return {
        name: value
        for name, value in vars(request.settings).items()
        if name not in later or value != getattr(usual, name)
    }


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


def check_samples(task: Task, samples: Sequence[Sample], limits: Limits, report: Report) -> None:
    """Refuses a picture that cannot be read, or an answer without a word, before hours of work.

    Args:
        report: gets the progress; what it raises ends the check.

    Raises:
        InvalidValue: naming the first such sample.
    """
    if TASKS[task].takes != "picture":
        return
    for count, sample in enumerate(samples):
        report(Progress("Reading the pictures", count / len(samples)))
        sample.picture(limits)
        wordless = next((text for text in sample.references if not ptb.words(text)), None)
        if wordless is not None:
            raise InvalidValue(
                f"{sample.name} has the caption {abbreviated(wordless)}, which holds no word, so "
                "that no answer could match it. Give it words, or leave it out."
            )
