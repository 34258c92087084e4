"""The result of an evaluation, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.datasets.samples import Sample
from pipelines.evaluation import findings
from pipelines.evaluation.outputs import Outputs
from pipelines.evaluation.request import EvaluationRequest
from pipelines.evaluation.store import Output, RunCost
from pipelines.events import Progress
from pipelines.hub import Snapshot
from pipelines.metrics.paired import Difference
from pipelines.metrics.score import Score


@dataclass(frozen=True)
class PartialScores:
    """One model's scores so far: values by metric, without intervals. Those ``unranked`` carry a
    warning."""

    model: str
    done: int
    total: int
    scores: Mapping[str, float]
    unranked: frozenset[str] = frozenset()

    @property
    def progress(self) -> Progress:
        return Progress(f"{self.model}: {self.done} of {self.total} samples")


@dataclass(frozen=True)
class Costs:
    """What one model took.

    Latencies are of samples that came alone, the first after the load and the median of all
    such.
    ``samples_per_second`` is of batches, where there were any. ``peak_bytes`` is the most that
    the whole process held while the model ran (on a GPU, what torch held there), and
    ``weight_bytes`` the size of its weight files, adapters included.

    ``is_of_this_run`` is false where a sample was there from an earlier run: such costs must not be
    ranked. ``measured_at`` and ``machine_load`` are those of the sample that was computed first.
    """

    load_seconds: float
    first_latency_seconds: float
    median_latency_seconds: float
    samples_per_second: float
    peak_bytes: int
    weight_bytes: int
    is_of_this_run: bool
    measured_at: str
    machine_load: float | None


@dataclass(frozen=True)
class ModelResult:
    """One model's scores and costs. ``values`` are each sample's own, by metric; ``unscored``
    says why a metric has no score; ``curves`` are of its training,
    where there is a log of it."""

    name: str
    snapshot: Snapshot
    scores: Mapping[str, Score]
    values: Mapping[str, Sequence[float]]
    unscored: Mapping[str, str]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    costs: Costs
    outputs: Outputs
    computed: int
    """Samples that were computed now; the others were there from an earlier run."""

    def output_of(self, place: int) -> Output:
        """What people look at of the sample at that place."""
        return self.outputs.by_generator[shown_generator(self.outputs.by_generator)][place]


@dataclass(frozen=True)
class Comparison:
    """One metric of one model against the first. Without a test ``why_not`` has the reason.

    ``is_identical``: what the metric reads is the same for both, so there is nothing to test.
    ``better_in`` and ``worse_in`` count samples, where the metric has a value for each.
    """

    metric: str
    model: str
    difference: Difference | None
    why_not: str = ""
    is_identical: bool = False
    better_in: int | None = None
    worse_in: int | None = None


@dataclass(frozen=True)
class Differing:
    """A sample on which the models are far apart, with each model's value in their order."""

    sample: Sample
    place: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationResult:
    """``request`` is checked and whole; the first model is the base.

    ``differing_by`` says what the values of ``differing`` are; they are empty where no metric
    has a value for each sample. ``enlarged_from`` are the sizes of smaller draws of which a result
    was seen before.
    """

    request: EvaluationRequest
    samples: Sequence[Sample]
    models: tuple[ModelResult, ...]
    comparisons: tuple[Comparison, ...]
    differing: tuple[Differing, ...]
    differing_by: str
    device: Mapping[str, str]
    versions: Mapping[str, str]
    notes: tuple[str, ...]
    enlarged_from: tuple[int, ...]

    def comparison(self, metric: str, model: str) -> Comparison:
        """That of the two; every model but the first has one for each metric."""
        return next(c for c in self.comparisons if (c.metric, c.model) == (metric, model))

    @property
    def verdict(self) -> str:
        """In a sentence for each model and metric, what was shown and what was not."""
        base = self.models[0].name
        if len(self.models) == 1:
            return f"{base} was measured alone: there is no other model to hold it against."
        lines = []
        for model in self.models[1:]:
            found = [self.comparison(metric, model.name) for metric in self.request.metrics]
            check = ", an A/A check of one model under two names" if self.is_twin(model) else ""
            lines.append(f"{model.name} against {base}{check}: {findings.verdict(found)}.")
        return "\n".join(lines)

    def is_twin(self, model: ModelResult) -> bool:
        """Whether it is the first model again, under another name."""
        return files_of(model.snapshot) == files_of(self.models[0].snapshot)


def files_of(snapshot: Snapshot) -> tuple[object, ...]:
    """What a model is, whatever it is called: its commit, and its adapters' commits and weights."""
    return snapshot.commit, *((each.commit, each.weight) for each in snapshot.adapters)


def shown_generator(names: Iterable[str]) -> str:
    """Of these generators the one whose outputs people look at and whose times are the costs:
    the likelihood only where nothing else was made."""
    return next((name for name in names if name != "likelihood"), "likelihood")


def costs_of(
    outputs: Sequence[Output], run: RunCost, snapshot: Snapshot, is_of_this_run: bool
) -> Costs:
    """Costs from the samples' times, in the order of the draw: latency from samples that were
    computed alone, throughput from batches."""
    alone = [output.seconds for output in outputs if output.batch == 1]
    batched = [output.seconds / output.batch for output in outputs if output.batch > 1]
    each = batched or alone
    first = min(outputs, key=lambda output: output.computed_at)
    return Costs(
        load_seconds=run.load_seconds,
        first_latency_seconds=alone[0],
        median_latency_seconds=statistics.median(alone),
        samples_per_second=len(each) / max(sum(each), 1e-9),
        peak_bytes=run.peak_bytes,
        weight_bytes=snapshot.weight_bytes + sum(a.weight_bytes for a in snapshot.adapters),
        is_of_this_run=is_of_this_run,
        measured_at=first.computed_at,
        machine_load=first.machine_load,
    )
