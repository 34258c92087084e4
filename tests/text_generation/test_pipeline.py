"""Writing: what comes out, what decides it, when it ends and what is refused."""

from __future__ import annotations

import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pipelines.errors import InvalidValue, ModelUnavailable, WrongTask
from pipelines.events import Progress, with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import (
    TextDelta,
    TextRequest,
    TextResult,
    _Collector,
    generate,
)
from pipelines.text_generation.writer import Writer
from tests.running import Calls, finished, finished_together, loaded
from tests.tiny_models import CONTEXT

REQUEST = TextRequest("tiny-writer", "Once upon a time", max_new_tokens=12, seed=0)


def write(studio: Studio, **changes: Any) -> TextResult:
    result: TextResult = finished(generate, studio, replace(REQUEST, **changes))
    return result


def greedy_ids(model: Any, ids: list[int], count: int) -> list[int]:
    """The likeliest tokens one after another, by plain forward passes without a cache."""
    for _ in range(count):
        with torch.inference_mode():
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-count:]


# What comes out


def test_text_grows_token_by_token_and_ends_in_the_result(studio: Studio) -> None:
    *events, result = with_result(generate(studio, REQUEST))
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert [delta.new_tokens for delta in deltas] == list(range(1, 13))
    assert deltas[-1].text == result.text
    assert all(isinstance(event, Progress | TextDelta) for event in events)
    assert result.prompt == REQUEST.prompt
    assert not result.text.startswith(REQUEST.prompt)


def test_the_space_before_the_first_new_word_is_kept_by_tokenizers_that_join_words() -> None:
    """SentencePiece's decoder drops the space of a text's first word, which is not ours."""
    pieces = {"<unk>": 0, "▁once": 1, "▁upon": 2, "▁a": 3, "▁time": 4}
    backend = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False
    )
    assert tokenizer.decode([3, 4]) == "a time"
    deltas: list[Any] = []
    writer = Writer(torch.nn.Identity(), tokenizer, context_tokens=8)
    prompt = torch.tensor([tokenizer.encode("once upon")])
    collector = _Collector(writer, prompt, deltas.append)
    for ids in ([1, 2], [3], [4]):  # generate hands over the prompt first
        collector.put(torch.tensor(ids))
    assert [delta.text for delta in deltas] == [" a", " a time"]
    assert [delta.tokens_left for delta in deltas] == [5, 4]


def test_temperature_zero_takes_the_likeliest_token_each_time(studio: Studio) -> None:
    result = write(studio, temperature=0.0)
    with loaded(studio) as writer:
        ids = writer.tokenizer(REQUEST.prompt)["input_ids"]
        expected = greedy_ids(writer.model, ids, 12)
        assert result.text == writer.tokenizer.decode(expected).rstrip("\ufffd")


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"top_p": 0.0}, {"temperature": 0.0, "seed": 9}])
def test_other_ways_to_always_take_the_likeliest(studio: Studio, changes: dict[str, Any]) -> None:
    assert write(studio, **changes).text == write(studio, temperature=0.0).text


def test_the_same_seed_gives_the_same_text_and_another_another(studio: Studio) -> None:
    texts = [write(studio, seed=seed).text for seed in (0, 0, 1, 2**63 - 1)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_seed_zero_is_a_seed(studio: Studio) -> None:
    assert write(studio, seed=0).seed == 0


@pytest.mark.parametrize("asked", [None, -1])
def test_without_a_seed_each_run_draws_its_own_and_tells_it(
    studio: Studio, asked: int | None
) -> None:
    first, second = write(studio, seed=asked), write(studio, seed=asked)
    assert first.seed != second.seed
    assert write(studio, seed=first.seed).text == first.text


def test_every_sampling_setting_counts(studio: Studio) -> None:
    plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 40}
    changed: list[dict[str, Any]] = [{"temperature": 2.0}, {"top_p": 0.3}, {"top_k": 3}]
    texts = {write(studio, **{**plain, **change}).text for change in ({}, *changed)}
    assert len(texts) == 4


def test_an_empty_prompt_begins_a_text(studio: Studio) -> None:
    result = write(studio, prompt="")
    assert result.prompt_tokens == 1
    assert result.new_tokens == 12


def test_the_process_wide_generator_neither_matters_nor_moves(studio: Studio) -> None:
    first = write(studio)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert write(studio).text == first.text
    assert torch.equal(torch.get_rng_state(), state)


def test_a_chat_model_gets_the_prompt_in_its_form(studio: Studio) -> None:
    plain = write(studio)
    with loaded(studio) as writer:
        writer.tokenizer.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}"
        )
        expected = writer.tokenizer("[user] Once upon a time\n[assistant] ")["input_ids"]
    assert write(studio).prompt_tokens == len(expected) > plain.prompt_tokens


def test_the_numbers_of_a_result_belong_together(studio: Studio) -> None:
    result = write(studio)
    assert result.context_tokens == CONTEXT
    assert result.prompt_tokens + result.new_tokens + result.tokens_left == CONTEXT
    assert 0 < result.first_token_seconds <= result.seconds
    rest = result.seconds - result.first_token_seconds
    assert result.tokens_per_second == pytest.approx(11 / rest)
    assert result.load_seconds > 0


def test_the_rate_of_a_single_token_is_not_made_up(studio: Studio) -> None:
    assert write(studio, max_new_tokens=1).tokens_per_second == 0


# Why it ended


def test_it_ends_at_the_length_that_was_asked_for(studio: Studio) -> None:
    assert write(studio).finish_reason == "length"


def test_it_ends_where_the_context_is_full(studio: Studio) -> None:
    result = write(studio, max_new_tokens=1000)
    assert result.finish_reason == "context full"
    assert result.tokens_left == 0


def test_it_ends_where_the_model_ends_its_text(studio: Studio) -> None:
    write(studio)
    with loaded(studio) as writer:
        ids = greedy_ids(writer.model, writer.tokenizer(REQUEST.prompt)["input_ids"], 12)
        end = ids[5]
        writer.model.generation_config.eos_token_id = [writer.tokenizer.eos_token_id, end]
    result = write(studio, temperature=0.0)
    assert result.finish_reason == "end of text"
    assert result.new_tokens == ids.index(end) + 1


def test_an_end_in_the_last_place_is_still_the_models(studio: Studio) -> None:
    write(studio)
    with loaded(studio) as writer:
        ids = greedy_ids(writer.model, writer.tokenizer(REQUEST.prompt)["input_ids"], 12)
        writer.model.generation_config.eos_token_id = ids[5]
    result = write(studio, temperature=0.0, max_new_tokens=ids.index(ids[5]) + 1)
    assert result.finish_reason == "end of text"


def prompt_of(studio: Studio, tokens: int) -> str:
    """A prompt of exactly so many tokens."""
    write(studio, max_new_tokens=1)
    with loaded(studio) as writer:
        ids = writer.tokenizer("x " * tokens)["input_ids"][:tokens]
        prompt: str = writer.tokenizer.decode(ids)
        assert len(writer.tokenizer(prompt)["input_ids"]) == tokens
    return prompt


def test_a_prompt_that_leaves_one_place_gets_one_token(studio: Studio) -> None:
    result = write(studio, prompt=prompt_of(studio, CONTEXT - 1))
    assert (result.new_tokens, result.finish_reason) == (1, "context full")


@pytest.mark.parametrize("tokens", [CONTEXT, CONTEXT + 1, 300])
def test_a_prompt_that_fills_the_context_is_refused_with_its_tokens(
    studio: Studio, tokens: int
) -> None:
    message = (
        f"The prompt has {tokens} tokens and tiny-writer can hold {CONTEXT}, its answer included"
    )
    with pytest.raises(InvalidValue, match=message):
        write(studio, prompt=prompt_of(studio, tokens))


# Stopping, and others at the same time


def test_closing_stops_within_one_token(studio: Studio) -> None:
    write(studio)
    with loaded(studio) as writer:
        calls = Calls(writer.model)
    run = generate(studio, replace(REQUEST, prompt="", max_new_tokens=60))
    for event in run:
        if isinstance(event, TextDelta) and event.new_tokens == 3:
            break
    before = calls.count
    run.close()
    assert calls.count <= before + 1
    assert calls.count < 60
    assert studio.residency.residents()[0].users == 0
    assert "triptych-run" not in [thread.name for thread in threading.enumerate()]
    after = calls.count
    threading.Event().wait(0.05)
    assert calls.count == after


def test_closing_while_the_model_loads_gives_it_back(studio: Studio) -> None:
    run = generate(studio, REQUEST)
    next(run)
    run.close()
    assert write(studio).new_tokens == 12
    assert studio.residency.residents()[0].users == 0


def test_a_stopped_run_disturbs_no_other(studio: Studio) -> None:
    alone = write(studio, max_new_tokens=50)
    other = generate(studio, replace(REQUEST, max_new_tokens=50))
    stopped = generate(studio, replace(REQUEST, seed=5, max_new_tokens=50))
    for run in (other, stopped):
        for event in run:
            if isinstance(event, TextDelta):
                break
    stopped.close()
    *_, result = with_result(other)
    assert result.text == alone.text


def test_runs_at_the_same_time_give_what_they_give_alone(studio: Studio) -> None:
    requests = [
        replace(REQUEST, seed=seed, temperature=temperature, max_new_tokens=40)
        for seed, temperature in enumerate((0.5, 0.8, 1.5, 0.0, 1.0, 0.8))
    ]
    alone = [finished(generate, studio, request).text for request in requests]
    together = [result.text for result in finished_together(generate, studio, requests)]
    assert together == alone


# What is refused


BAD_FIELDS: list[tuple[str, list[Any]]] = [
    ("prompt", [None, 7, True, ["Once"], b"Once", math.nan, "x" * 100_000]),
    ("max_new_tokens", [0, -1, 10_000, True, None, "20", 5.5, math.nan, math.inf]),
    ("temperature", [-0.1, 5.1, True, None, "0.8", math.nan, math.inf]),
    ("top_p", [-0.1, 1.1, True, None, "0.9", math.nan]),
    ("top_k", [-1, 1_000_000, False, None, "50", 0.5, math.nan]),
    ("seed", [-2, 2**63, True, "7", 0.5, math.nan]),
]


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_FIELDS for value in values]
)
def test_a_bad_field_is_refused_by_name_before_anything_is_loaded(
    studio: Studio, field: str, value: Any
) -> None:
    with pytest.raises(InvalidValue, match=rf"^{field} (is|has) .* (give|allowed)") as caught:
        write(studio, **{field: value})
    assert len(str(caught.value)) < 200
    assert studio.residency.residents() == []


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("tiny-painter", WrongTask),
        ("tiny-captioner", WrongTask),
        ("no-such-model", ModelUnavailable),
        ("/etc/passwd", ModelUnavailable),
        ("../tiny-writer", ModelUnavailable),
        ("", ModelUnavailable),
        (None, ModelUnavailable),
        ("x" * 100_000, ModelUnavailable),
    ],
)
def test_a_bad_model_is_refused(studio: Studio, model: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        write(studio, model=model)


def test_a_damaged_checkpoint_is_told_and_the_loaded_model_answers(
    settings: Settings, tmp_path: Path
) -> None:
    shutil.copytree(settings.models_dir / "tiny-writer", tmp_path / "extra" / "damaged")
    weights = tmp_path / "extra" / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    studio = Studio(replace(settings, extra_models_dir=tmp_path / "extra"))
    before = write(studio)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="of damaged is damaged"):
            write(studio, model="damaged")
    assert write(studio).text == before.text
    assert [resident.users for resident in studio.residency.residents()] == [0]
