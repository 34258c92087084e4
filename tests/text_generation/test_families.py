"""Writers that answer with a decoder, and writers that fill gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM, T5ForConditionalGeneration

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.gaps import Candidate, _with_best
from pipelines.text_generation.pipeline import TextDelta, TextRequest, TextResult, generate
from tests import tiny_models
from tests.running import finished, finished_together
from tests.text_generation import tiny_families
from tests.text_generation.tiny_families import PLACES

REQUEST = TextRequest("", "the wolf went to the door", max_new_tokens=8, seed=0)
GAPS = "the [MASK] went to the [MASK]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writers")
    tiny_families.make_t5(folder / "t5")
    tiny_families.make_bart(folder / "bart")
    tiny_families.make_bert(folder / "bert")
    tiny_families.make_roberta(folder / "roberta")
    base = tiny_models.make_writer(folder / "base")
    tiny_models.make_text_lora(folder / "lora", base)
    return folder


@pytest.fixture
def studio(tmp_path: Path, folder: Path) -> Studio:
    return Studio(Settings(models_dir=folder, data_dir=tmp_path, hub_enabled=False))


def write(studio: Studio, model: str, **changes: Any) -> TextResult:
    result: TextResult = finished(generate, studio, replace(REQUEST, model=model, **changes))
    return result


# Answering


@pytest.mark.parametrize("model", ["t5", "bart"])
def test_an_answer_grows_token_by_token_and_its_receipt_repeats_it(
    studio: Studio, model: str
) -> None:
    *events, result = with_result(generate(studio, replace(REQUEST, model=model)))
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert [delta.new_tokens for delta in deltas] == list(range(1, result.new_tokens + 1))
    assert deltas[-1].text == result.text
    assert result.family == "seq2seq"
    assert result.notes == []
    again = finished(generate, studio, TextRequest(**result.receipt["request"]))
    assert again.text == result.text


def test_the_answer_is_that_of_the_library(studio: Studio, folder: Path) -> None:
    result = write(studio, "t5", temperature=0.0)
    tokenizer = AutoTokenizer.from_pretrained(folder / "t5")
    model: Any = T5ForConditionalGeneration.from_pretrained(folder / "t5")
    inputs = tokenizer(REQUEST.prompt, return_tensors="pt", return_token_type_ids=False)
    raw = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0]
    assert result.text == tokenizer.decode(raw, skip_special_tokens=True)
    assert result.text != ""


@pytest.mark.parametrize("model", ["t5", "bart"])
def test_prompt_and_seed_count(studio: Studio, model: str) -> None:
    settings = {"temperature": 5.0, "top_p": 1.0, "top_k": 0}
    texts = {
        write(studio, model, **settings).text,
        write(studio, model, **settings, seed=1).text,
        write(studio, model, **settings, prompt="king").text,
    }
    assert len(texts) == 3


@pytest.mark.parametrize("model", ["t5", "bart"])
def test_a_prompt_that_the_encoder_cannot_hold_is_refused_with_its_tokens(
    studio: Studio, model: str
) -> None:
    special = 1 if model == "t5" else 2
    fits = "wolf " * (PLACES - special)
    assert write(studio, model, prompt=fits).prompt_tokens == PLACES
    message = f"The prompt has {PLACES + 1} tokens and {model} can hold {PLACES}. Shorten"
    with pytest.raises(InvalidValue, match=message):
        write(studio, model, prompt=f"{fits} wolf")


def test_an_answer_ends_where_the_decoder_is_full(studio: Studio) -> None:
    settings = {"temperature": 5.0, "top_p": 1.0, "top_k": 0}
    results = [write(studio, "bart", max_new_tokens=100, seed=i, **settings) for i in range(12)]
    full = [result for result in results if result.finish_reason == "context full"]
    assert full
    assert {result.new_tokens for result in full} == {PLACES - 1}
    assert {result.tokens_left for result in full} == {0}


# Filling gaps


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_each_gap_gets_its_likeliest_words_with_probabilities(studio: Studio, model: str) -> None:
    result = write(studio, model, prompt=GAPS)
    assert result.family == "fill-mask"
    assert result.finish_reason == "gaps filled"
    assert len(result.candidates) == result.new_tokens == 2
    for candidates in result.candidates:
        probabilities = [candidate.probability for candidate in candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 5
        assert 0 < sum(probabilities) <= 1
    first, second = (candidates[0].text for candidates in result.candidates)
    assert result.text == f"the {first} went to the {second}"
    (note,) = result.notes
    assert "temperature" in note
    again = finished(generate, studio, TextRequest(**result.receipt["request"]))
    assert again.candidates == result.candidates


def test_the_probabilities_are_those_of_the_model(studio: Studio, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "bert")
    model = BertForMaskedLM.from_pretrained(folder / "bert").eval()
    inputs = tokenizer("the [MASK] went", return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits[0, 2].softmax(dim=-1)
    (candidates,) = write(studio, "bert", prompt="the [MASK] went").candidates
    for candidate in candidates:
        token = tokenizer.convert_tokens_to_ids(candidate.text)
        assert candidate.probability == pytest.approx(float(expected[token]), rel=1e-4)


def test_the_models_own_sign_for_a_gap_is_understood(studio: Studio) -> None:
    own = write(studio, "roberta", prompt="the <mask> went to the <mask>")
    assert own.candidates == write(studio, "roberta", prompt=GAPS).candidates


def test_settings_of_drawing_do_not_count(studio: Studio) -> None:
    plain = write(studio, "bert", prompt=GAPS)
    other = write(studio, "bert", prompt=GAPS, temperature=3.0, max_new_tokens=1, seed=5)
    assert other.candidates == plain.candidates


@pytest.mark.parametrize("prompt", ["the wolf went", ""])
def test_a_prompt_without_a_gap_is_refused(studio: Studio, prompt: str) -> None:
    with pytest.raises(InvalidValue, match=r"no gap.* Write \[MASK\] where"):
        write(studio, "bert", prompt=prompt)


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_a_prompt_that_is_too_long_for_filling_is_refused(studio: Studio, model: str) -> None:
    fits = "[MASK]" + " wolf" * (PLACES - 3)
    assert write(studio, model, prompt=fits).prompt_tokens == PLACES
    with pytest.raises(
        InvalidValue, match=f"has {PLACES + 1} tokens and {model} can hold {PLACES}"
    ):
        write(studio, model, prompt=f"{fits} wolf")


# With adapters


def test_an_adapter_changes_the_text_and_the_base_writes_as_before(studio: Studio) -> None:
    before = write(studio, "base")
    changed = write(studio, "base + lora")
    assert changed.text != before.text
    assert write(studio, "base + lora:0").text == before.text
    assert write(studio, "base").text == before.text
    assert [adapter["reference"] for adapter in changed.receipt["model"]["adapters"]] == ["lora"]
    assert len(studio.residency.residents()) == 1


def test_runs_with_and_without_an_adapter_at_the_same_time_do_not_mix(studio: Studio) -> None:
    requests = [
        replace(REQUEST, model=model, max_new_tokens=20, seed=seed)
        for seed, model in enumerate(("base", "base + lora", "base", "base + lora:0.5"))
    ]
    alone = [finished(generate, studio, request).text for request in requests]
    assert [r.text for r in finished_together(generate, studio, requests)] == alone


def test_who_waits_for_another_adapters_run_can_stop(studio: Studio) -> None:
    write(studio, "base", max_new_tokens=1)
    long = generate(studio, replace(REQUEST, model="base", max_new_tokens=50))
    next(event for event in long if isinstance(event, TextDelta))
    waiting = generate(studio, replace(REQUEST, model="base + lora"))
    next(waiting)
    waiting.close()
    *_, result = with_result(long)
    assert result.new_tokens == 50


def test_the_rest_of_a_word_is_joined_to_its_beginning() -> None:
    candidates = [[Candidate("##s", 0.9)], [Candidate("run", 0.8)]]
    assert _with_best("the wolf [MASK] [MASK] away", "[MASK]", candidates) == "the wolfs run away"
