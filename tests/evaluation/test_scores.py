"""Metrics of an evaluation: each has a paired test, and says why where it cannot be made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.datasets.samples import DataSet, Sample
from pipelines.evaluation.outputs import Extractors, Outputs
from pipelines.evaluation.scores import METRICS, needs_of
from pipelines.evaluation.store import Output
from pipelines.metrics.paired import Difference

DATA = DataSet("tales", "0" * 64, ())
NAME = "extractor@0123abcd"
PROMPTS = ("a cat", "a dog", "an apple", "a tree", "a cat", "a boat", "a sun", "a moon")
Array = npt.NDArray[np.float64]


class Space:
    """Stands for CLIP and for an extractor: features are looked up by text or by file's name."""

    name = NAME

    def __init__(self, **shown: str) -> None:
        self._shown = shown
        rng = np.random.default_rng(0)
        self._axes = {text: rng.normal(size=8) for text in dict.fromkeys(PROMPTS)}

    def of_texts(self, texts: Sequence[str]) -> Array:
        return np.stack([self._axes[text] for text in texts])

    def of(self, files: Sequence[Path]) -> Array:
        return self.of_texts([self._shown.get(file.name, file.stem) for file in files])


def outputs_of(
    prompts: Sequence[str], painted: Sequence[str] = (), said: Sequence[str] = (),
    facts: Sequence[dict[str, Any]] = (),
) -> Outputs:  # fmt: skip
    samples = [
        Sample(index, str(index), text, (text,), Path(f"{text}.png"))
        for index, text in enumerate(prompts)
    ]
    outputs = {
        "caption": [Output(text=text) for text in said],
        "continuation": [Output(text=text) for text in said],
        "likelihood": [Output(facts=each) for each in facts],
    }
    space: Any = Space()
    extractors = Extractors(pictures=space, clip=space, real=space.of_texts(PROMPTS))
    return Outputs(DATA, samples, outputs, [Path(f"{text}.png") for text in painted], extractors, 0)


def difference(metric: str, ours: Outputs, theirs: Outputs) -> Difference:
    found = METRICS[metric].difference(ours, theirs)
    assert isinstance(found, Difference)
    return found


def test_every_metric_has_a_paired_test() -> None:
    assert all(
        (metric.rows is not None) or (metric.test is not None) for metric in METRICS.values()
    )


@pytest.mark.parametrize(
    ("metric", "made"),
    [
        ("recall_text_to_picture", "painted"),
        ("recall_picture_to_text", "painted"),
        ("recall_picture_to_caption", "said"),
        ("recall_caption_to_picture", "said"),
    ],
)
def test_recall_counts_what_is_found_among_all(metric: str, made: str) -> None:
    of: Any = outputs_of
    right = of(PROMPTS, **{made: PROMPTS})
    mixed = of(PROMPTS, **{made: ("a cat", "a tree", "an apple", "a dog", *PROMPTS[4:])})
    score = METRICS[metric].score(right)

    assert score.value == 1, "two samples of one text are right for each other"
    assert score.signature.startswith(f"recall@1({NAME})|n:8|candidates:8|")
    assert METRICS[metric].score(mixed).value == pytest.approx(6 / 8)
    assert METRICS[metric].values(mixed) == [1, 0, 1, 0, 1, 1, 1, 1]
    found = difference(metric, right, mixed)
    assert (found.first, found.second) == (1, 6 / 8)
    assert difference(metric, right, right).randomisation_p == 1
    assert needs_of([metric]) == {"clip"}
    told = METRICS[metric].remark
    assert told is not None
    assert told(right) == "1.000 at 1, 1.000 at 5, 1.000 at 10"
    assert told(mixed).startswith("0.750 at 1, ")


@pytest.mark.parametrize("metric", ["recall_text_to_picture", "recall_picture_to_text"])
def test_a_painter_of_one_picture_is_not_found(metric: str) -> None:
    same = outputs_of(PROMPTS, painted=["a boat"] * 8)
    value = METRICS[metric].score(same).value
    # Of equal pictures none is the nearest; of the texts the boat's alone is found.
    assert value == (0 if metric == "recall_text_to_picture" else pytest.approx(1 / 8))


def test_what_is_found_among_other_outputs_is_looked_for_again_after_an_exchange() -> None:
    """A picture's hit as an answer depends on the painter's other pictures, as a question not."""
    ours = outputs_of(PROMPTS, painted=PROMPTS)
    theirs = outputs_of(PROMPTS, painted=("a dog", "a cat", *PROMPTS[2:]))
    again = difference("recall_text_to_picture", ours, theirs)
    assert "|randomisation-1500|" in again.signature
    once = difference("recall_picture_to_text", ours, theirs)
    assert "|randomisation-10000|" in once.signature


def test_sets_of_pictures_and_of_texts_are_tested() -> None:
    one, other = outputs_of(PROMPTS, painted=PROMPTS), outputs_of(PROMPTS, painted=["a boat"] * 8)
    found = difference("fid", one, other)
    assert found.first == pytest.approx(METRICS["fid"].score(one).value)
    assert found.second == pytest.approx(METRICS["fid"].score(other).value)
    plain = outputs_of(PROMPTS, said=["a b a b a b"] * 8)
    varied = outputs_of(
        PROMPTS, said=[" ".join(str(9 * i + j) for j in range(6)) for i in range(8)]
    )
    for metric in ("distinct_2", "self_bleu"):
        found = difference(metric, plain, varied)
        assert found.first == pytest.approx(METRICS[metric].score(plain).value)
        assert found.second == pytest.approx(METRICS[metric].score(varied).value)
        assert found.is_shown
        is_better = found.difference > 0
        assert is_better != METRICS[metric].higher_is_better


def test_a_test_that_cannot_be_made_says_why() -> None:
    facts = {"nats": 1e9, "tokens": 2, "tokenizer": "a" * 16, "context": 8, "stride": 4}
    ours, theirs = (outputs_of(PROMPTS, facts=[{**facts, "nats": nats}] * 8) for nats in (1e9, 1.0))
    told = METRICS["perplexity"].difference(ours, theirs)
    assert isinstance(told, str)
    assert "only finite scores can be compared" in told
