"""The metrics of an evaluation, one row each: a score of one model and a test against another.

The mathematics is in ``pipelines.metrics``. A new metric is a file there and a row of ``METRICS``
here; requests, the page, the command line and the report read everything else from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.evaluation.outputs import Array, Need, Outputs
from pipelines.evaluation.set_tests import (
    frechet_distance_test,
    kernel_distance_test,
    mean_distance_test,
    recall_test,
    texts_test,
)
from pipelines.metrics import interval, paired, ptb
from pipelines.metrics.bleu import bleu_of_sums, bleu_statistics, corpus_bleu
from pipelines.metrics.chrf import chrf_of_sums, chrf_statistics, corpus_chrf
from pipelines.metrics.cider import cider, cider_of_each
from pipelines.metrics.clip import clip_score, clip_score_of_each
from pipelines.metrics.frechet import frechet_distance
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.likelihood import bits_per_byte, perplexity
from pipelines.metrics.paired import Difference, compared, of_values
from pipelines.metrics.proportion import proportion
from pipelines.metrics.retrieval import first_right_ranks, recall
from pipelines.metrics.rouge import rouge_l, rouge_l_of_each
from pipelines.metrics.score import Score
from pipelines.metrics.variety import mean_cosine_distance
from pipelines.metrics.wording import (
    distinct,
    distinct_of_sets,
    self_bleu,
    self_bleu_of_sets,
)
from pipelines.tasks import Task

Rows = Callable[[Outputs], Array]
Test = Callable[[Outputs, Outputs], Difference]


@dataclass(frozen=True)
class Metric:
    """One score of what the generator called ``reads`` made; see ``generators.GENERATORS``.

    A paired test adds up ``rows``, statistics of each sample, and ``of_sums`` makes the score of
    their sums (of one row: the sample's own value). A score that only a whole set has comes with
    its own ``test`` in their place.

    ``needs`` are the models and pictures that the score takes beside the outputs. ``remark`` is
    printed beside the score. ``not_alike`` says why two models' scores do not mean the same,
    where they do not. ``is_default``: it is computed where nobody chooses.
    """

    name: str
    label: str
    task: Task
    reads: str
    score: Callable[[Outputs], Score]
    rows: Rows | None = None
    of_sums: interval.ScoreOfSums = interval.ratio
    test: Test | None = None
    higher_is_better: bool = True
    is_default: bool = False
    needs: tuple[Need, ...] = ()
    remark: Callable[[Outputs], str] | None = None
    not_alike: Callable[[Outputs, Outputs], str | None] = lambda ours, theirs: None

    def values(self, outputs: Outputs) -> list[float] | None:
        """Each sample's own value; None for a score of a whole set."""
        if self.rows is None:
            return None
        return [float(value) for value in self.of_sums(self.rows(outputs))]

    def difference(self, ours: Outputs, theirs: Outputs) -> Difference | str:
        """The test of ours against theirs, or why there is none."""
        if reason := self.not_alike(ours, theirs):
            return reason
        try:
            if self.test is not None:
                return self.test(ours, theirs)
            assert self.rows is not None
            return compared(self.rows(ours), self.rows(theirs), self.of_sums, ours.seed)
        except InvalidValue as error:  # such as an infinite perplexity: the other tests stand
            return str(error)


Texts = Sequence[str]
References = Sequence[Sequence[str]]


def _captions(outputs: Outputs) -> tuple[Texts, References]:
    return outputs.texts("caption"), outputs.references


def _readings(outputs: Outputs) -> tuple[Texts, References]:
    return outputs.readings(), outputs.prompts


def _continuations(outputs: Outputs) -> tuple[Texts, References]:
    return outputs.texts("continuation"), outputs.continuations


def _of_captions(
    name: str, label: str,
    score: Callable[[Texts, References, int], Score],
    of_each: Callable[[Texts, References], Array],
) -> Metric:  # fmt: skip
    return Metric(
        name, label, "describe", "caption",
        lambda outputs: score(*_captions(outputs), outputs.seed),
        lambda outputs: of_values(of_each(*_captions(outputs))),
        is_default=True,
    )  # fmt: skip


def _of_readings(
    name: str, label: str,
    score: Callable[[Texts, References, int], Score],
    of_each: Callable[[Texts, References], Array],
) -> Metric:  # fmt: skip
    """A round trip: painted pictures are captioned again, and the captions held to the prompts."""
    return Metric(
        name, label, "paint", "picture",
        lambda outputs: outputs.signed_by_reader(score(*_readings(outputs), outputs.seed)),
        lambda outputs: of_values(of_each(*_readings(outputs))),
        needs=("reader",),
    )  # fmt: skip


def _exact_hits(texts: Texts, references: References) -> Array:
    """1 where a text has the words of one of its right answers, in their order, else 0."""
    pairs = zip(texts, references, strict=True)
    hits = [ptb.words(text) in [ptb.words(answer) for answer in right] for text, right in pairs]
    return np.array(hits, np.float64)


def _exact_match(texts: Texts, references: References, seed: int) -> Score:
    hits = [bool(hit) for hit in _exact_hits(texts, references)]
    return proportion(hits, f"words of a reference, tok:{ptb.NAME}")


def _likelihoods(counted: str) -> Rows:
    """Of each text, bits (for bytes) or nats (for tokens), and the number of these units."""
    unit = np.log(2) if counted == "bytes" else 1.0

    def rows(outputs: Outputs) -> Array:
        nats = np.array(outputs.facts("nats"), np.float64)
        return np.column_stack([nats / unit, np.array(outputs.facts(counted), np.float64)])

    return rows


def _exp_ratio(sums: Array) -> Array:
    with np.errstate(over="ignore"):  # a broken model is infinitely perplexed
        return np.asarray(np.exp(interval.ratio(sums)))


def _other_tokenizer(ours: Outputs, theirs: Outputs) -> str | None:
    if ours.tokenizer == theirs.tokenizer:
        return None
    return "the models have other tokenisers, so their perplexities cannot be compared"


def _counts(outputs: Outputs, name: str) -> list[int]:
    return [int(value) for value in outputs.facts(name)]


def _wordings(
    name: str, label: str, score: Callable[[Texts], Score],
    of_sets: Callable[[Texts], paired.ScoreOfSets], higher_is_better: bool,
) -> Metric:  # fmt: skip
    """A score of all continuations together."""
    return Metric(
        name, label, "write", "continuation",
        lambda outputs: score(outputs.texts("continuation")),
        test=lambda ours, theirs: texts_test(
            ours.texts("continuation"), theirs.texts("continuation"), of_sets, ours.seed
        ),
        higher_is_better=higher_is_better,
    )  # fmt: skip


def _distance(
    name: str, label: str, score: Callable[[Array, Array, str], Score],
    test: Callable[[Array, Array, Array, int], Difference], is_default: bool,
) -> Metric:  # fmt: skip
    """A distance of the painted pictures from the data set's own."""
    return Metric(
        name, label, "paint", "picture",
        lambda outputs: score(outputs.features, outputs.extractors.real, outputs.extractor),
        test=lambda ours, theirs: test(
            ours.features, theirs.features, ours.extractors.real, ours.seed
        ),
        higher_is_better=False,
        is_default=is_default,
        needs=("features", "real"),
    )  # fmt: skip


_Clip = Callable[[Outputs], tuple[Array, Array, str]]


def _clip_score(name: str, task: Task, reads: str, features: _Clip, is_default: bool) -> Metric:
    return Metric(
        name, "CLIPScore", task, reads,
        lambda outputs: clip_score(*features(outputs), outputs.seed),
        lambda outputs: of_values(clip_score_of_each(*features(outputs)[:2])),
        is_default=is_default,
        needs=("clip",),
    )  # fmt: skip


def _captions_and_pictures(outputs: Outputs) -> tuple[Array, Array, str]:
    pictures, captions, name = outputs.clip_features_of_captions()
    return captions, pictures, name


def _retrieval(
    name: str, label: str, task: Task, reads: str, features: _Clip, is_query: bool
) -> Metric:
    """Recall at 1 by CLIP, among all samples; those of one text answer each other.

    Args:
        features: of what a model made, of what it was given, and CLIP's name.
        is_query: whether what was made is looked for among what was given, or the given among
            the made. A hit of the second depends on all that the model made, so its test ranks
            again after every exchange.
    """

    def ranked(outputs: Outputs) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        made, given, _ = features(outputs)
        return (*((made, given) if is_query else (given, made)), outputs.is_same)

    def remark(outputs: Outputs) -> str:
        scores = recall(*ranked(outputs), features(outputs)[2])
        return ", ".join(f"{score.value:.3f} at {k}" for k, score in scores.items())

    return Metric(
        name, label, task, reads,
        lambda outputs: recall(*ranked(outputs), features(outputs)[2], [1])[1],
        lambda outputs: of_values(first_right_ranks(*ranked(outputs)) == 0),
        test=None if is_query else lambda ours, theirs: recall_test(
            features(ours)[0], features(theirs)[0], features(ours)[1], ours.is_same, ours.seed
        ),
        needs=("clip",),
        remark=remark,
    )  # fmt: skip


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "bits_per_byte", "Bits per byte", "write", "likelihood",
            lambda o: bits_per_byte(
                o.facts("nats"), _counts(o, "bytes"), o.data.signature, o.seed, o.windows
            ),
            _likelihoods("bytes"),
            higher_is_better=False, is_default=True,
        ),
        Metric(
            "perplexity", "Perplexity", "write", "likelihood",
            lambda o: perplexity(
                o.facts("nats"), _counts(o, "tokens"), o.data.signature, o.tokenizer, o.windows,
                o.seed,
            ),
            _likelihoods("tokens"), _exp_ratio,
            higher_is_better=False, is_default=True, not_alike=_other_tokenizer,
        ),
        Metric(
            "chrf", "chrF", "write", "continuation",
            lambda o: corpus_chrf(*_continuations(o), seed=o.seed),
            lambda o: chrf_statistics(*_continuations(o)), chrf_of_sums,
        ),
        _wordings("distinct_2", "Distinct-2", distinct, distinct_of_sets, True),
        _wordings("self_bleu", "Self-BLEU", self_bleu, self_bleu_of_sets, False),
        _of_captions("cider", "CIDEr", cider, cider_of_each),
        Metric(
            "bleu", "BLEU", "describe", "caption",
            lambda o: corpus_bleu(*_captions(o), "ptb", seed=o.seed),
            lambda o: bleu_statistics(*_captions(o), "ptb"), bleu_of_sums,
            is_default=True,
        ),
        _of_captions("rouge_l", "ROUGE-L", rouge_l, rouge_l_of_each),
        _of_captions("exact_match", "Exact match", _exact_match, _exact_hits),
        _clip_score(
            "caption_clip_score", "describe", "caption", Outputs.clip_features_of_captions, False
        ),
        _retrieval(
            "recall_picture_to_caption", "Picture-to-caption recall@1", "describe", "caption",
            _captions_and_pictures, False,
        ),
        _retrieval(
            "recall_caption_to_picture", "Caption-to-picture recall@1", "describe", "caption",
            _captions_and_pictures, True,
        ),
        _distance("kid", "KID", kernel_distance, kernel_distance_test, True),
        _distance("fid", "FID", frechet_distance, frechet_distance_test, False),
        _clip_score("clip_score", "paint", "picture", Outputs.clip_features, True),
        _retrieval(
            "recall_text_to_picture", "Text-to-picture recall@1", "paint", "picture",
            Outputs.clip_features, False,
        ),
        _retrieval(
            "recall_picture_to_text", "Picture-to-text recall@1", "paint", "picture",
            Outputs.clip_features, True,
        ),
        Metric(
            "diversity", "Diversity", "paint", "picture",
            lambda o: mean_cosine_distance(o.features, o.extractor),
            test=lambda ours, theirs: mean_distance_test(
                ours.features, theirs.features, ours.seed
            ),
            is_default=True, needs=("features",),
        ),
        _of_readings("round_trip_cider", "Round trip CIDEr", cider, cider_of_each),
        _of_readings("round_trip_rouge_l", "Round trip ROUGE-L", rouge_l, rouge_l_of_each),
        _of_readings("round_trip_exact", "Round trip exact match", _exact_match, _exact_hits),
    )
}  # fmt: skip
"""In the order of the page."""


def metrics_of(task: Task, defaults_only: bool = False) -> tuple[str, ...]:
    """The names of a task's metrics, or of those that are computed where nobody chooses."""
    return tuple(
        metric.name
        for metric in METRICS.values()
        if metric.task == task and (metric.is_default or not defaults_only)
    )


def needs_of(metrics: Sequence[str]) -> set[Need]:
    """What these metrics take beside the outputs; names of none are passed over."""
    return {need for each in METRICS.values() if each.name in metrics for need in each.needs}
