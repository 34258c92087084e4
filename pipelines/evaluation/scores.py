"""The metrics of an evaluation: each a score of one model, and a test against another's.

The mathematics is in ``pipelines.metrics``; here stands which outputs a metric reads, and
what of each sample the paired tests add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.evaluation.outputs import Array, Evidence, Looker
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

Rows = Callable[[Evidence], Array]
Test = Callable[[Evidence, Evidence], Difference]


@dataclass(frozen=True)
class Metric:
    """One score. ``rows`` are statistics of each sample and ``of_sums`` the score of their
    sums: the paired tests' and, of one row, the sample's own value. A score that only a whole set
    has comes with its own ``test`` in their place. ``remark`` is what to tell beside the score.
    ``not_alike`` names what two models must share for the scores to mean the same, beside the
    samples. ``lookers`` are those that the score needs."""

    label: str
    task: Task
    kind: str
    score: Callable[[Evidence], Score]
    rows: Rows | None = None
    of_sums: paired.ScoreOfSums = interval.ratio
    test: Test | None = None
    higher_is_better: bool = True
    remark: Callable[[Evidence], str] | None = None
    not_alike: Callable[[Evidence, Evidence], str | None] = lambda ours, theirs: None
    lookers: tuple[Looker, ...] = ()

    def values(self, evidence: Evidence) -> list[float] | None:
        """Each sample's own value; None for a score of a whole set."""
        if self.rows is None:
            return None
        return [float(value) for value in self.of_sums(self.rows(evidence))]

    def difference(self, ours: Evidence, theirs: Evidence) -> Difference | str:
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


def _exact_hits(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[bool]:
    """Whether a text has the words of one of its right answers, in their order."""
    told = zip(texts, references, strict=True)
    return [ptb.words(text) in [ptb.words(answer) for answer in right] for text, right in told]


def _exact_match(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    return proportion(_exact_hits(texts, references), f"words of a reference, tok:{ptb.NAME}")


def _likelihoods(counted: str) -> Rows:
    """Of each text, bits (or nats, for tokens) and how many units they are told for."""
    unit = np.log(2) if counted == "bytes" else 1.0

    def rows(evidence: Evidence) -> Array:
        nats = np.array(evidence.facts("nats"), np.float64)
        return np.column_stack([nats / unit, np.array(evidence.facts(counted), np.float64)])

    return rows


def _exp_ratio(sums: Array) -> Array:
    with np.errstate(over="ignore"):  # a broken model is infinitely perplexed
        return np.asarray(np.exp(interval.ratio(sums)))


def _other_tokenizer(ours: Evidence, theirs: Evidence) -> str | None:
    if ours.tokenizer == theirs.tokenizer:
        return None
    return "the models have other tokenisers, so their perplexities cannot be compared"


Features = Callable[[Evidence], tuple[Array, Array, str]]


def _retrieval(label: str, task: Task, kind: str, features: Features, made_asks: bool) -> Metric:
    """Recall at 1 by CLIP, among all samples; those of one text answer each other.

    Args:
        features: of what a model made, of what it was given, and CLIP's name.
        made_asks: whether what was made is looked for among what was given, or the given among
            the made. A hit of the second depends on all that the model made, so its test looks
            again after every exchange.
    """

    def asked(evidence: Evidence) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        made, given, _ = features(evidence)
        return (*((made, given) if made_asks else (given, made)), evidence.is_same)

    def remark(evidence: Evidence) -> str:
        scores = recall(*asked(evidence), features(evidence)[2])
        return ", ".join(f"{score.value:.3f} at {k}" for k, score in scores.items())

    return Metric(
        label, task, kind,
        lambda e: recall(*asked(e), features(e)[2], [1])[1],
        lambda e: of_values(first_right_ranks(*asked(e)) == 0),
        test=None if made_asks else lambda ours, theirs: recall_test(
            features(ours)[0], features(theirs)[0], features(ours)[1], ours.is_same, ours.seed
        ),
        remark=remark,
        lookers=("clip",),
    )  # fmt: skip


def _captions_and_pictures(evidence: Evidence) -> tuple[Array, Array, str]:
    pictures, captions, name = evidence.clip_features_of_captions()
    return captions, pictures, name


def _counts(evidence: Evidence, name: str) -> list[int]:
    return [int(value) for value in evidence.facts(name)]


METRICS: Mapping[str, Metric] = {
    "cider": Metric(
        "CIDEr", "describe", "caption",
        lambda e: cider(e.texts("caption"), e.references, e.seed),
        lambda e: of_values(cider_of_each(e.texts("caption"), e.references)),
    ),
    "bleu": Metric(
        "BLEU", "describe", "caption",
        lambda e: corpus_bleu(e.texts("caption"), e.references, "ptb", seed=e.seed),
        lambda e: bleu_statistics(e.texts("caption"), e.references, "ptb"),
        bleu_of_sums,
    ),
    "rouge_l": Metric(
        "ROUGE-L", "describe", "caption",
        lambda e: rouge_l(e.texts("caption"), e.references, e.seed),
        lambda e: of_values(rouge_l_of_each(e.texts("caption"), e.references)),
    ),
    "exact_match": Metric(
        "Exact match", "describe", "caption",
        lambda e: _exact_match(e.texts("caption"), e.references),
        lambda e: of_values(np.array(_exact_hits(e.texts("caption"), e.references), np.float64)),
    ),
    "caption_clip_score": Metric(
        "CLIPScore", "describe", "caption",
        lambda e: clip_score(*e.clip_features_of_captions(), e.seed),
        lambda e: of_values(clip_score_of_each(*e.clip_features_of_captions()[:2])),
        lookers=("clip",),
    ),
    "recall_picture_to_caption": _retrieval(
        "Picture-to-caption recall@1", "describe", "caption", _captions_and_pictures, False
    ),
    "recall_caption_to_picture": _retrieval(
        "Caption-to-picture recall@1", "describe", "caption", _captions_and_pictures, True
    ),
    "kid": Metric(
        "KID", "paint", "picture",
        lambda e: kernel_distance(e.features()[0], e.lookers.real, e.features()[1]),
        test=lambda ours, theirs: kernel_distance_test(
            ours.features()[0], theirs.features()[0], ours.lookers.real, ours.seed
        ),
        higher_is_better=False,
        lookers=("pictures", "real"),
    ),
    "fid": Metric(
        "FID", "paint", "picture",
        lambda e: frechet_distance(e.features()[0], e.lookers.real, e.features()[1]),
        test=lambda ours, theirs: frechet_distance_test(
            ours.features()[0], theirs.features()[0], ours.lookers.real, ours.seed
        ),
        higher_is_better=False,
        lookers=("pictures", "real"),
    ),
    "clip_score": Metric(
        "CLIPScore", "paint", "picture",
        lambda e: clip_score(*e.clip_features(), e.seed),
        lambda e: of_values(clip_score_of_each(*e.clip_features()[:2])),
        lookers=("clip",),
    ),
    "recall_text_to_picture": _retrieval(
        "Text-to-picture recall@1", "paint", "picture", Evidence.clip_features, False
    ),
    "recall_picture_to_text": _retrieval(
        "Picture-to-text recall@1", "paint", "picture", Evidence.clip_features, True
    ),
    "round_trip_cider": Metric(
        "Round trip CIDEr", "paint", "picture",
        lambda e: e.signed_by_reader(cider(e.readings(), e.prompts, e.seed)),
        lambda e: of_values(cider_of_each(e.readings(), e.prompts)),
        lookers=("reader",),
    ),
    "round_trip_rouge_l": Metric(
        "Round trip ROUGE-L", "paint", "picture",
        lambda e: e.signed_by_reader(rouge_l(e.readings(), e.prompts, e.seed)),
        lambda e: of_values(rouge_l_of_each(e.readings(), e.prompts)),
        lookers=("reader",),
    ),
    "round_trip_exact": Metric(
        "Round trip exact match", "paint", "picture",
        lambda e: e.signed_by_reader(_exact_match(e.readings(), e.prompts)),
        lambda e: of_values(np.array(_exact_hits(e.readings(), e.prompts), np.float64)),
        lookers=("reader",),
    ),
    "diversity": Metric(
        "Diversity", "paint", "picture",
        lambda e: mean_cosine_distance(*e.features()),
        test=lambda ours, theirs: mean_distance_test(
            ours.features()[0], theirs.features()[0], ours.seed
        ),
        lookers=("pictures",),
    ),
    "bits_per_byte": Metric(
        "Bits per byte", "write", "likelihood",
        lambda e: bits_per_byte(
            e.facts("nats"), _counts(e, "bytes"), e.data.signature, e.seed, e.windows
        ),
        _likelihoods("bytes"), higher_is_better=False,
    ),
    "perplexity": Metric(
        "Perplexity", "write", "likelihood",
        lambda e: perplexity(
            e.facts("nats"), _counts(e, "tokens"), e.data.signature, e.tokenizer, e.windows, e.seed
        ),
        _likelihoods("tokens"), _exp_ratio, higher_is_better=False, not_alike=_other_tokenizer,
    ),
    "chrf": Metric(
        "chrF", "write", "continuation",
        lambda e: corpus_chrf(e.texts("continuation"), e.continuations, seed=e.seed),
        lambda e: chrf_statistics(e.texts("continuation"), e.continuations),
        chrf_of_sums,
    ),
    "distinct_2": Metric(
        "Distinct-2", "write", "continuation", lambda e: distinct(e.texts("continuation"), 2),
        test=lambda ours, theirs: texts_test(
            ours.texts("continuation"), theirs.texts("continuation"), distinct_of_sets, ours.seed
        ),
    ),
    "self_bleu": Metric(
        "Self-BLEU", "write", "continuation", lambda e: self_bleu(e.texts("continuation")),
        test=lambda ours, theirs: texts_test(
            ours.texts("continuation"), theirs.texts("continuation"), self_bleu_of_sets, ours.seed
        ),
        higher_is_better=False,
    ),
}  # fmt: skip


def kinds_of(metrics: Sequence[str]) -> list[str]:
    """The kinds of outputs that these metrics read, each once."""
    return list(dict.fromkeys(METRICS[name].kind for name in metrics))


def lookers_of(metrics: Sequence[str]) -> set[Looker]:
    """Who has to look at pictures for these metrics."""
    return {looker for name in metrics for looker in METRICS[name].lookers}
