"""Texts are read together as they are read alone, within the memory that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipelines.errors import WrongTask
from pipelines.evaluation import likelihoods as reading
from pipelines.evaluation.likelihoods import likelihoods
from pipelines.events import with_result
from pipelines.runtime.studio import Loaded, Studio
from pipelines.tasks import TASKS

TEXTS = [
    "Once upon a time",
    "a",
    "there was a king who had three daughters and a mill by the sea, and a cat " * 2,
    "The wolf went to the door of the house",
]


@pytest.fixture
def loaded(studio: Studio) -> Iterator[Loaded]:
    slice_ = TASKS["write"].pipeline
    *_, found = with_result(studio.open("writer-a", "write", slice_.load, slice_.size_of))
    with found.lease:
        yield found


class Passes:
    """Notes the form of what goes through the model."""

    def __init__(self, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.padding: list[list[int]] = []
        self.vocabulary = loaded.model.model.config.vocab_size
        forward = loaded.model.model.forward

        def noted(ids: Any, attention_mask: Any, **options: Any) -> Any:
            self.shapes.append(tuple(ids.shape))
            self.padding.append((1 - attention_mask).sum(dim=1).tolist())
            return forward(ids, attention_mask=attention_mask, **options)

        monkeypatch.setattr(loaded.model.model, "forward", noted)


def read(loaded: Loaded, texts: list[str], context: int = 16) -> list[dict[str, Any]]:
    return likelihoods("writer-a", loaded, texts, context, lambda: None)


def test_together_is_as_alone_but_for_rounding(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(loaded, monkeypatch)
    together = read(loaded, TEXTS)
    assert max(map(max, passes.padding)) > 0
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = read(loaded, [text])
        assert found["nats"] == pytest.approx(alone["nats"], rel=1e-6)
        assert {**found, "nats": 0} == {**alone, "nats": 0}


def test_who_is_in_the_batch_and_where_does_not_matter_but_for_rounding(loaded: Loaded) -> None:
    found = [told["nats"] for told in read(loaded, TEXTS)]
    turned = [told["nats"] for told in read(loaded, TEXTS[::-1])][::-1]
    assert turned == pytest.approx(found, rel=1e-6)
    assert len(set(found)) == 4


def test_the_same_batch_is_the_same_to_the_last_digit(loaded: Loaded) -> None:
    assert read(loaded, TEXTS) == read(loaded, TEXTS)


def test_a_pass_makes_no_more_numbers_than_allowed(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(loaded, monkeypatch)
    whole = read(loaded, TEXTS)
    monkeypatch.setattr(reading, "LOGITS_AT_ONCE", 40 * passes.vocabulary)
    passes.shapes.clear()
    parts = read(loaded, TEXTS)

    assert len(passes.shapes) > 2
    assert all(rows * tokens <= 40 for rows, tokens in passes.shapes)
    assert max(rows for rows, _ in passes.shapes) > 1
    assert [told["nats"] for told in parts] == pytest.approx([told["nats"] for told in whole])
    monkeypatch.setattr(reading, "TOKENS_AT_ONCE", 20)
    passes.shapes.clear()
    read(loaded, TEXTS)
    assert max(rows * tokens for rows, tokens in passes.shapes) <= 20
    monkeypatch.setattr(reading, "LOGITS_AT_ONCE", 1)
    passes.shapes.clear()
    read(loaded, TEXTS)
    assert {rows for rows, _ in passes.shapes} == {1}, "what is too large alone is read alone"


def test_little_is_padded(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(loaded, monkeypatch)
    read(loaded, [*TEXTS, "a king", TEXTS[3] + " of a", "a mill " * 9])
    rows = [row for padding in passes.padding for row in padding]
    widths = [tokens for count, tokens in passes.shapes for _ in range(count)]
    assert len(passes.shapes) < len(rows)
    assert all(3 * row <= width for row, width in zip(rows, widths, strict=True))


def test_a_stop_is_felt_before_every_pass(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LOGITS_AT_ONCE", 1)
    passes = Passes(loaded, monkeypatch)

    def stopping() -> None:
        if len(passes.shapes) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        likelihoods("writer-a", loaded, TEXTS, 16, stopping)
    assert len(passes.shapes) == 2


def test_the_first_token_is_told_behind_the_one_that_begins_a_text(loaded: Loaded) -> None:
    (found,) = read(loaded, ["a"])
    writer = loaded.model
    ids = [writer.tokenizer.eos_token_id, *writer.tokenizer("a")["input_ids"]]
    with torch.no_grad():
        logs = writer.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    expected = -sum(float(logs[place, token]) for place, token in enumerate(ids[1:]))
    assert found["nats"] == pytest.approx(expected, rel=1e-6)
    assert (found["tokens"], found["bytes"]) == (len(ids) - 1, 1)


def test_models_that_cannot_tell_are_refused(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bos_token", "eos_token"):
        setattr(loaded.model.tokenizer, name, None)
    with pytest.raises(WrongTask, match="no token that begins a text"):
        read(loaded, TEXTS)
    object.__setattr__(loaded.snapshot, "family", "seq2seq")
    with pytest.raises(WrongTask, match="writer-a is of the kind seq2seq"):
        read(loaded, TEXTS)
