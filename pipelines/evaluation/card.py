"""The card of an evaluation: all that is needed to check it and to run it again, as JSON.

Tables, figures and reports of an evaluation are made from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, cast

from pipelines.datasets.samples import DataSet
from pipelines.errors import InvalidValue
from pipelines.evaluation import findings
from pipelines.evaluation.request import EvaluationRequest, Generation, settings_from
from pipelines.evaluation.result import Comparison, Differing, EvaluationResult, ModelResult
from pipelines.evaluation.scores import METRICS
from pipelines.evaluation.store import Output
from pipelines.runtime.receipts import hash_text, identity
from pipelines.sharing.reading import completed, damage_in_words
from pipelines.validation import defaults_of

SCHEMA = 1
KIND = "evaluation"

Card = dict[str, Any]

_GIVEN = tuple(f.name for f in fields(EvaluationRequest) if f.name not in ("task", "data"))
"""The fields of a request that stand in ``request``; task and data set stand on their own."""


def card(result: EvaluationResult) -> Card:
    """The card. Numbers that are not finite become None, so that it is JSON everywhere."""
    request, settings = result.request, cast(Generation, result.request.settings)
    made: Card = {
        "schema": SCHEMA,
        "kind": KIND,
        "task": request.task,
        "data": {"name": request.data.name, "sha256": request.data.sha256},
        "request": {n: getattr(request, n) for n in _GIVEN} | {"settings": asdict(settings)},
        "device": dict(result.device),
        "versions": dict(result.versions),
        "metrics": {
            name: {k: getattr(METRICS[name], k) for k in ("label", "higher_is_better")}
            for name in request.metrics
        },
        "samples": [sample.name for sample in result.samples],
        "models": [_model(model) for model in result.models],
        "comparisons": [_comparison(each) for each in result.comparisons],
        "verdict": result.verdict,
        "differing": {
            "by": result.differing_by,
            "samples": [_differing(each, result.models) for each in result.differing],
        },
        "notes": list(result.notes),
        "enlarged_from": list(result.enlarged_from),
    }
    finite: Card = _finite(made)
    return finite


def _model(model: ModelResult) -> Card:
    generators = model.outputs.by_generator.values()
    return {
        "name": model.name,
        **identity(model.snapshot),
        "scores": {metric: asdict(score) for metric, score in model.scores.items()},
        "unscored": dict(model.unscored),
        "values": {metric: list(values) for metric, values in model.values.items()},
        "curves": {name: list(points) for name, points in model.curves.items()},
        "costs": asdict(model.costs),
        "outputs": [_hash(outputs) for outputs in zip(*generators, strict=True)],
    }


def _hash(outputs: Sequence[Output]) -> str:
    """Sixteen digits for all that a model made of one sample, times left out."""
    made = [[output.text, output.picture, output.facts] for output in outputs]
    return hash_text(json.dumps(made, sort_keys=True))[:16]


def _comparison(comparison: Comparison) -> Card:
    difference = comparison.difference
    return {
        "metric": comparison.metric,
        "model": comparison.model,
        "is_shown": None if difference is None else difference.is_shown,
        "why_not": comparison.why_not,
        "is_identical": comparison.is_identical,
        "better_in": comparison.better_in,
        "worse_in": comparison.worse_in,
        "size": findings.size(comparison),
        **({} if difference is None else asdict(difference)),
    }


def _differing(differing: Differing, models: Sequence[ModelResult]) -> Card:
    outputs = (model.output_of(differing.place) for model in models)
    return {
        "name": differing.sample.name,
        "text": differing.sample.text,
        "values": list(differing.values),
        "outputs": [{"text": each.text, "picture": each.picture} for each in outputs],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@damage_in_words()
def request_of(card: Card, data: DataSet) -> EvaluationRequest:
    """The request of a card's evaluation, unchecked. Fields that older cards lack have defaults.

    Raises:
        InvalidValue: fields are missing or of another kind, or the data set is another one.
    """
    given = completed("The card's request", card["request"], _GIVEN, defaults_of(EvaluationRequest))
    given["settings"] = settings_from(card["task"], given["settings"])
    lists = {name: tuple(given[name]) for name in ("models", "metrics")}
    request = EvaluationRequest(card["task"], data, **given | lists)
    sha256 = card["data"]["sha256"]
    if sha256 != data.sha256:
        raise InvalidValue(
            f"The data set {data.name} has the hash {data.sha256[:16]}, and the card is of "
            f"{str(sha256)[:16]}. Give the data set that it was made with."
        )
    return request
