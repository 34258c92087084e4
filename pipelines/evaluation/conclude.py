"""Concludes from what models made: scores, tests against the first model, and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from pipelines.datasets.samples import Sample
from pipelines.device import hardware
from pipelines.errors import InvalidValue, listed
from pipelines.evaluation.curves import read_curves
from pipelines.evaluation.outputs import Outputs
from pipelines.evaluation.request import EvaluationRequest, stored_settings
from pipelines.evaluation.result import (
    Comparison,
    Costs,
    Differing,
    EvaluationResult,
    ModelResult,
)
from pipelines.evaluation.scores import METRICS
from pipelines.events import Progress, Report
from pipelines.hub import Snapshot
from pipelines.metrics import paired
from pipelines.metrics.features import directions
from pipelines.metrics.interval import FEWEST
from pipelines.metrics.score import Score
from pipelines.runtime.receipts import identity, versions

DIFFERING = 8
"""So many samples are shown side by side."""
_LIBRARIES = ("numpy", "sacrebleu")


def measured(
    name: str, snapshot: Snapshot, outputs: Outputs, metrics: Sequence[str], costs: Costs,
    computed: int,
) -> ModelResult:  # fmt: skip
    """One model's scores, and its samples' own values where a metric has them."""
    scores: dict[str, Score] = {}
    values: dict[str, list[float]] = {}
    unscored: dict[str, str] = {}
    for name_of_metric in metrics:
        metric = METRICS[name_of_metric]
        try:
            scores[name_of_metric] = metric.score(outputs)
            own = metric.values(outputs)
        except InvalidValue as error:  # such as no two words in a row: the other scores stand
            unscored[name_of_metric] = str(error)
            continue
        if own is not None:
            values[name_of_metric] = own
    curves = read_curves(snapshot)
    return ModelResult(name, snapshot, scores, values, unscored, curves, costs, outputs, computed)


def pairs(request: EvaluationRequest, models: Sequence[ModelResult]) -> Iterator[dict[str, Any]]:
    """What makes a comparison with the first model the same, however many samples are drawn and
    whatever is measured. A model that is evaluated alone is its own pair."""
    for model in models[1:] or models:
        pair = identity(models[0].snapshot), identity(model.snapshot)
        yield {
            "task": request.task,
            "data": request.data.sha256,
            "seed": request.seed,
            "settings": stored_settings(request),
            "models": sorted(pair, key=str),
        }


def concluded(
    request: EvaluationRequest, samples: Sequence[Sample], models: tuple[ModelResult, ...],
    device: Mapping[str, str], report: Report, seen: Iterable[int],
) -> EvaluationResult:  # fmt: skip
    """The models compared with the first of them.

    Args:
        device: what of it the samples depend on; the result names the hardware beside it.
        report: gets the progress of the tests, some of which take seconds; what it raises ends
            them.
        seen: the sizes of smaller draws of which a result was seen before.
    """
    enlarged_from = tuple(sorted(seen))
    differing_by, differing = _differing(request, samples, models)
    return EvaluationResult(
        request=request,
        samples=samples,
        models=models,
        comparisons=_comparisons(request, models, report),
        differing=differing,
        differing_by=differing_by,
        device={**device, "hardware": hardware()},
        versions=versions() | {name: metadata.version(name) for name in _LIBRARIES},
        notes=(
            *request.data.notes,
            *_too_few(len(samples)),
            *_enlarged(enlarged_from, len(samples)),
            *_timed_earlier(models),
            *_notes(models),
        ),
        enlarged_from=enlarged_from,
    )


def _comparisons(
    request: EvaluationRequest, models: Sequence[ModelResult], report: Report
) -> tuple[Comparison, ...]:
    """Each model and metric against the first model, corrected for their number together."""
    base = models[0]
    tested: dict[tuple[str, str], paired.Difference] = {}
    reasons: dict[tuple[str, str], str] = {}
    identical: set[tuple[str, str]] = set()
    for model in models[1:]:
        for metric in request.metrics:
            report(Progress(f"Comparing {model.name} in {METRICS[metric].label}", 1.0))
            key = metric, model.name
            if _made(metric, model) == _made(metric, base):
                reasons[key] = f"the same outputs on all {len(model.outputs.samples)} samples"
                identical.add(key)
                continue
            outcome = _why_not(metric, model, base) or METRICS[metric].difference(
                model.outputs, base.outputs
            )
            if isinstance(outcome, str):
                reasons[key] = outcome
            else:
                tested[key] = outcome
    differences: Mapping[Any, paired.Difference] = paired.corrected(tested)
    return tuple(
        Comparison(
            metric, model.name, differences.get((metric, model.name)),
            reasons.get((metric, model.name), ""), (metric, model.name) in identical,
            *_better_and_worse(metric, model, base),
        )
        for model in models[1:]
        for metric in request.metrics
    )  # fmt: skip


def _made(metric: str, model: ModelResult) -> list[tuple[Any, ...]]:
    """What a model made that the metric reads, times left out."""
    outputs = model.outputs.by_generator[METRICS[metric].reads]
    return [(each.text, each.picture, each.facts) for each in outputs]


def _better_and_worse(
    metric: str, model: ModelResult, base: ModelResult
) -> tuple[int, int] | tuple[None, None]:
    """In how many samples a model is better than the first, and in how many worse."""
    if metric not in model.values or metric not in base.values:
        return None, None
    change = np.array(model.values[metric]) - np.array(base.values[metric])
    more, less = int((change > 0).sum()), int((change < 0).sum())
    return (more, less) if METRICS[metric].higher_is_better else (less, more)


def _why_not(metric: str, *models: ModelResult) -> str | None:
    """Why scores must not be compared: one is not there, or carries a warning."""
    for model in models:
        if metric in model.unscored:
            return model.unscored[metric]
        if model.scores[metric].warning is not None:
            return model.scores[metric].warning
    return None


def _differing(
    request: EvaluationRequest, samples: Sequence[Sample], models: Sequence[ModelResult]
) -> tuple[str, tuple[Differing, ...]]:
    """The samples on which the models are farthest apart in the first metric that has a value
    for each sample; painters without one by how little their pictures are alike."""
    names = [name for name in request.metrics if all(name in m.values for m in models)]
    if names:
        by = METRICS[names[0]].label
        columns = np.array([model.values[names[0]] for model in models])
    elif models[0].outputs.extractors.pictures is not None:
        by = "Distance from the first model's picture"
        features = [directions("features", model.outputs.features) for model in models]
        columns = np.array([1 - (each * features[0]).sum(axis=1) for each in features]).round(9)
    else:
        return "", ()
    spread = np.nan_to_num(columns.max(axis=0) - columns.min(axis=0))
    order = [place for place in np.argsort(-spread, kind="stable")[:DIFFERING] if spread[place] > 0]
    return by, tuple(
        Differing(samples[place], int(place), tuple(columns[:, place].tolist())) for place in order
    )


def _too_few(samples: int) -> list[str]:
    if samples >= FEWEST:
        return []
    return [f"{samples} samples are too few for intervals and tests; {FEWEST} are the fewest."]


def _enlarged(seen: Sequence[int], samples: int) -> list[str]:
    """Who looks, and draws more until a difference is shown, finds more than exist."""
    if not seen:
        return []
    return [
        f"The draw was enlarged from {listed(map(str, seen))} to {samples} samples after a result "
        "was seen. P-values and intervals do not allow for that: they show differences too often."
    ]


def _timed_earlier(models: Sequence[ModelResult]) -> list[str]:
    """Whose times must not be ranked."""
    names = [model.name for model in models if not model.costs.is_of_this_run]
    if not names:
        return []
    return [
        f"Times and memory of {listed(names)} were measured in an earlier run, wholly or in part, "
        "when the machine may have had more or less to do. Do not rank them."
    ]


def _notes(models: Sequence[ModelResult]) -> tuple[str, ...]:
    """Remarks on models and on prompts, one for many samples."""
    notes = [note for model in models for note in model.snapshot.notes]
    clip = models[0].outputs.extractors.clip
    notes += clip.snapshot.notes if clip is not None else ()
    for model in models:
        outputs = model.outputs.by_generator.values()
        remarked = [output for each in outputs for output in each if output.notes]
        if remarked:
            first = remarked[0].notes[0]
            notes.append(f"{model.name}: remarks on {len(remarked)} samples, the first: {first}")
    for model in models:
        warnings = {name: score.warning for name, score in model.scores.items()}
        reasons = {**warnings, **model.unscored}
        notes += [f"{METRICS[name].label}: {why}" for name, why in reasons.items() if why]
    notes += [remark for model in models for remark in _remarks(model)]
    return tuple(dict.fromkeys(notes))


def _remarks(model: ModelResult) -> list[str]:
    """What its metrics print beside their scores."""
    remarks = ((METRICS[name].label, METRICS[name].remark) for name in model.scores)
    return [f"{model.name}: {label}: {of(model.outputs)}" for label, of in remarks if of]
