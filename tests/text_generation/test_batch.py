"""Writing in a batch: each row comes out as it does alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.errors import Cancelled, InvalidValue
from pipelines.hub import Adapter
from pipelines.runtime.studio import Studio
from pipelines.text_generation.batch import write_batch
from pipelines.text_generation.pipeline import TextRequest, TextResult, generate
from tests import tiny_models
from tests.running import finished, loaded
from tests.tiny_models import CONTEXT

REQUEST = TextRequest("tiny-writer", "Once upon a time", max_new_tokens=12, seed=0)
PROMPTS = ("Once upon a time", "The wolf", "", "A poor fisherman lived with his wife by the sea.")


def no_wait() -> None:
    """Nobody stops the run."""


@pytest.fixture
def writer(studio: Studio) -> Iterator[Any]:
    finished(generate, studio, replace(REQUEST, max_new_tokens=1))
    with loaded(studio) as writer:
        yield writer


def alone(studio: Studio, request: TextRequest) -> tuple[str, int]:
    result: TextResult = finished(generate, studio, request)
    return result.text, result.new_tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_each_row_is_what_its_request_gives_alone(
    studio: Studio, writer: Any, temperature: float
) -> None:
    requests = [
        replace(REQUEST, prompt=prompt, seed=seed, temperature=temperature)
        for seed, prompt in enumerate((*PROMPTS, *PROMPTS[:2]))
    ]
    rows = write_batch(writer, requests, no_wait)
    found = [(row.text, len(row.ids)) for row in rows]
    assert found == [alone(studio, request) for request in requests]


def test_a_row_ends_where_its_own_context_or_text_ends(studio: Studio, writer: Any) -> None:
    plain = write_batch(writer, [replace(REQUEST, prompt=PROMPTS[1])], no_wait)[0]
    writer.model.generation_config.eos_token_id = [writer.tokenizer.eos_token_id, plain.ids[4]]
    requests = [replace(REQUEST, prompt=prompt, max_new_tokens=CONTEXT) for prompt in PROMPTS]
    rows = write_batch(writer, requests, no_wait)
    found = [(row.text, len(row.ids)) for row in rows]
    assert found == [alone(studio, request) for request in requests]
    assert rows[1].ids == plain.ids[: plain.ids.index(plain.ids[4]) + 1]
    assert len({len(row.ids) for row in rows}) > 1


def test_a_base_and_four_adapters_share_a_batch(
    studio: Studio, writer: Any, tmp_path: Path
) -> None:
    base = studio.settings.models_dir / "tiny-writer"
    adapters: list[Adapter | None] = [None]
    for seed in range(4):
        path = tiny_models.make_text_lora(tmp_path / str(seed), base, seed)
        adapters.append(Adapter(str(seed), path, str(seed), 1.0, 1))
    requests = [replace(REQUEST, seed=seed) for seed in range(5)]
    together = write_batch(writer, requests, no_wait, adapters)
    one_by_one = [
        write_batch(writer, [request], no_wait, [adapter])[0]
        for request, adapter in zip(requests, adapters, strict=True)
    ]
    assert together == one_by_one
    assert together[0].text == alone(studio, requests[0])[0]
    of_the_base = write_batch(writer, requests, no_wait)
    assert all(a != b for a, b in zip(together[1:], of_the_base[1:], strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.1}, "differ in their settings"),
        ({"seed": None}, "no seed"),
        ({"prompt": "x " * 300}, "Shorten it"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(
    writer: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        write_batch(writer, [REQUEST, replace(REQUEST, **changes)], no_wait)


def test_a_model_that_does_not_go_on_with_its_prompt_is_refused() -> None:
    other: Any = SimpleNamespace(family="seq2seq")
    with pytest.raises(InvalidValue, match="A seq2seq model cannot"):
        write_batch(other, [REQUEST], no_wait)


def test_a_batch_ends_within_a_token_when_it_is_stopped(writer: Any) -> None:
    calls = []

    def stop_at_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_batch(writer, [replace(REQUEST, max_new_tokens=20)], stop_at_third)
    assert len(calls) == 3
    assert write_batch(writer, [REQUEST], no_wait)
