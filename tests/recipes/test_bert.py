"""The BERT's recipe: its masks, its scores, its training, its checkpoint on the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from pipelines.recipes.bert import data, train
from pipelines.recipes.bert.data import IGNORED, Batch, Text
from pipelines.recipes.bert.model import CONTEXT, SPECIAL, build, train_tokenizer
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.tales import grammar
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from tests.running import finished


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(grammar.random_tale(_rng(seed)).text for seed in range(200))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _batch(tokenizer: PreTrainedTokenizerBase, count: int, seed: int = 0) -> Batch:
    rng = _rng(seed)
    return data.batch(tokenizer, [data.random_text(rng) for _ in range(count)], rng)


# Masks


def test_fifteen_percent_of_the_words_are_masked_and_always_whole(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    shown = _batch(tokenizer, 40)
    chosen = shown.labels != IGNORED
    masked = words = 0
    for row in range(40):
        numbers = shown.words[row]
        hidden = numbers[chosen[row]].unique()
        assert torch.equal(chosen[row], torch.isin(numbers, hidden)), "a word is masked whole"
        assert -1 not in hidden
        masked, words = masked + len(hidden), words + len(numbers[numbers >= 0].unique())
    assert masked / words == pytest.approx(0.15, abs=0.01)


def test_of_the_masked_words_a_tenth_are_others_and_a_tenth_stay(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    shown = _batch(tokenizer, 200)
    chosen = shown.labels != IGNORED
    given, wanted = shown.tokens[chosen], shown.labels[chosen]
    is_mask = given == tokenizer.mask_token_id
    assert is_mask.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (given == wanted).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert given[~is_mask].min() >= len(SPECIAL), "a random token is none of the special ones"


def test_masks_are_drawn_anew_and_repeat_with_the_seed(tokenizer: PreTrainedTokenizerBase) -> None:
    text = [Text("Mila the fox had a key. Mila lost the key.", frozenset({"Mila", "fox", "key"}))]
    first, again, other = (data.batch(tokenizer, text, _rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.tokens, again.tokens)
    assert not torch.equal(first.labels, other.labels)


def test_a_name_can_be_copied_where_it_stands_elsewhere_unmasked(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Text("Mila the fox saw Mila sleep.", frozenset({"Mila", "fox"}))

    def copied(*words: int) -> list[str]:
        monkeypatch.setattr(data, "choose", lambda numbers, rng: np.array(words))
        shown = data.batch(tokenizer, [text], _rng(), always_masked=True)
        assert (shown.labels[0] != IGNORED).sum() >= len(words)
        return [str(tokenizer.decode(shown.labels[0][shown.copied[0]]))]

    assert copied(0) == copied(4) == ["Mila"]
    assert copied(0, 4) == [""], "nothing is left to copy from"
    assert copied(2, 5) == [""], "the fox stands there once, and sleep is no name"
    assert copied(0, 2) == ["Mila"]


# Tokens and scores


def test_gaps_and_names_are_read_as_the_page_writes_them(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    ids = tokenizer("Mila had a [MASK].")["input_ids"]
    assert [ids[0], ids[-3], ids[-1]] == tokenizer.convert_tokens_to_ids(
        ["[CLS]", "[MASK]", "[SEP]"]
    )
    pieces = tokenizer.tokenize("Zuvako")
    assert "".join(piece.removeprefix("##") for piece in pieces) == "Zuvako"


def test_a_word_is_right_when_all_its_tokens_are() -> None:
    labels = torch.tensor([[IGNORED, 5, 6, 7, IGNORED, 8]])
    shown = Batch(
        tokens=torch.zeros(1, 6, dtype=torch.long),
        is_text=torch.ones(1, 6, dtype=torch.long),
        labels=labels,
        copied=torch.tensor([[False, True, True, False, False, False]]),
        words=torch.tensor([[-1, 0, 0, 1, 2, 3]]),
    )
    half = train.shares_right(shown, torch.tensor([True, False, True, False]))
    assert half == {
        "accuracy": pytest.approx(1 / 3),
        "accuracy_copied": 0.0,
        "accuracy_other": 0.5,
    }
    best = train.shares_right(shown, torch.tensor([True, True, True, True]))
    assert set(best.values()) == {1.0}


def test_a_model_that_knows_nothing_has_a_pseudo_perplexity_of_its_vocabulary(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = build(tokenizer, 32, 1)
    torch.nn.init.zeros_(model.bert.embeddings.word_embeddings.weight)
    texts = ["Mila had a key.", "It rained."]
    assert train.pseudo_perplexity(model, tokenizer, texts) == pytest.approx(len(tokenizer))


def test_pseudo_perplexity_is_that_of_each_token_masked_by_itself(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, 32, 1)
    torch.nn.init.normal_(model.bert.embeddings.word_embeddings.weight, std=0.5)
    ids = tokenizer("Mila slept.", return_tensors="pt")["input_ids"]
    logs = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tokenizer.mask_token_id
        logits = model(input_ids=masked).logits[0, place]
        logs.append(logits.log_softmax(-1)[ids[0, place]].item())
    expected = math.exp(-sum(logs) / len(logs))
    given = train.pseudo_perplexity(model, tokenizer, ["Mila slept."])
    assert given == pytest.approx(expected, rel=1e-4)


# Training


def test_what_is_named_costs_what_the_library_says(tokenizer: PreTrainedTokenizerBase) -> None:
    model = build(tokenizer, 32, 1)
    shown = _batch(tokenizer, 3)
    nats, _ = train.named(model, shown)
    expected = model(input_ids=shown.tokens, attention_mask=shown.is_text, labels=shown.labels).loss
    torch.testing.assert_close(nats.mean(), expected)
    assert expected.item() == pytest.approx(math.log(len(tokenizer)), abs=0.2)


def test_what_can_be_copied_weighs_three_times() -> None:
    loss = train.weighted_mean(torch.tensor([1.0, 3.0, 1.0]), torch.tensor([False, True, False]))
    assert loss.item() == pytest.approx((1 + 9 + 1) / 5)


def test_the_bert_overfits_one_batch(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, 64, 2)
    shown = _batch(tokenizer, 4)
    optimizer = muon_or_adamw(model, 5e-3, 0.0, ["cls.predictions.decoder"])
    for _ in range(80):
        nats, is_right = train.named(model, shown)
        nats.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert nats.mean().item() < 0.1
    assert set(train.shares_right(shown, is_right).values()) == {1.0}


def test_the_standard_bert_has_at_most_eight_megabytes() -> None:
    tokenizer = train_tokenizer(grammar.random_tale(_rng(seed)).text for seed in range(3000))
    assert len(tokenizer) == 3072
    assert 3.2e6 < build(tokenizer).num_parameters() < 3.9e6


@pytest.mark.slow
def test_a_smoke_run_fills_gaps_on_the_page_and_resumes_to_the_same(tmp_path: Path) -> None:
    output = tmp_path / "models" / "gaps"
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(output)]
    train.main(["--smoke", *folders])
    final = json.loads((tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()[-1])
    assert final["pseudo_perplexity"] > 1
    assert 0 <= final["accuracy"] <= 1
    assert "masked words right" in (output / "README.md").read_text("utf-8")
    assert "=> " in (tmp_path / "run/samples.txt").read_text("utf-8")
    assert isinstance(BertForMaskedLM.from_pretrained(output), BertForMaskedLM)

    studio = Studio(Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False))
    request = TextRequest("gaps", "Mila had a [MASK]. The [MASK] was red.", seed=0)
    result = finished(generate, studio, request)
    assert result.family == "fill-mask"
    assert len(result.candidates) == 2
    assert result.context_tokens == CONTEXT

    train.main(["--smoke", "--resume", *folders])
    resumed = json.loads((tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()[-1])
    assert resumed | {"seconds": 0} == final | {"seconds": 0}
