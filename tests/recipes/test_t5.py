"""The T5's recipe: its tasks, its scores, its training, its checkpoint on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipelines.recipes.gpt.model import END
from pipelines.recipes.gpt.originality import sentences
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.t5 import data, scores, train
from pipelines.recipes.t5.data import Example
from pipelines.recipes.t5.model import CONTEXT, GAPS, build, gap, train_tokenizer
from pipelines.recipes.tales import grammar, world
from pipelines.recipes.tales.world import Character, Thing
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from tests.running import finished


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(grammar.random_tale(_rng(seed)).text for seed in range(200))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _example(task: str, target: str, *right: str) -> Example:
    return Example(task, f"{task}: …", target, frozenset(right or (target,)))


# Tasks


@pytest.mark.parametrize("seed", range(20))
def test_the_words_of_the_gaps_complete_the_text(seed: int) -> None:
    shown = data.example("fill", _rng(seed))
    parts = re.split(r"(<extra_id_\d+>)", shown.target)[1:]
    text = shown.source.removeprefix("fill: ")
    words = len(text.split()) + len(shown.target.split()) - len(parts)
    for token, missing in zip(parts[::2], parts[1::2], strict=True):
        assert text.count(token) == 1
        text = text.replace(token, missing.strip(), 1)
    assert "<extra" not in text
    assert len(text.split()) == words
    share = sum(len(missing.split()) for missing in parts[1::2]) / words
    assert share == pytest.approx(data.MISSING_SHARE, abs=0.11)


def test_gaps_are_numbered_in_order_and_never_touch() -> None:
    for seed in range(200):
        source = data.example("fill", _rng(seed)).source
        numbers = [int(n) for n in re.findall(r"<extra_id_(\d+)>", source)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) <= GAPS
        assert not re.search(r"<extra_id_\d+> <extra_id", source)


def test_what_is_bare_keeps_its_letters_apostrophes_and_hyphens() -> None:
    assert data.bare('"Cock-a-doodle-doo!" cried Mila\'s hen.') == (
        "cock-a-doodle-doo cried mila's hen"
    )
    shown = data.example("restore", _rng(1))
    assert shown.source == f"restore: {data.bare(shown.target)}"


def test_mixed_sentences_are_those_of_the_tale() -> None:
    for seed in range(30):
        shown = data.example("order", _rng(seed))
        parts = sentences(shown.target)
        assert 3 <= len(parts) <= 5
        mixed = shown.source.removeprefix("order: ")
        assert sorted(mixed.split()) == sorted(shown.target.split())
        assert all(part in mixed for part in parts)


@pytest.mark.parametrize("task", ["question", "title"])
def test_the_answer_is_among_the_right_ones(task: str) -> None:
    shown = [data.example(task, _rng(seed)) for seed in range(50)]
    assert all(each.target in each.right for each in shown)
    assert any(len(each.right) > 1 for each in shown)


def test_held_out_examples_are_of_pairs_that_training_never_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tales = []
    tell = grammar.random_tale

    def recorded(rng: np.random.Generator, held_out: bool = False) -> grammar.Tale:
        tales.append(tell(rng, held_out))
        return tales[-1]

    monkeypatch.setattr(grammar, "random_tale", recorded)
    assert train.held_out_examples(4) == train.held_out_examples(4)
    for tale in tales:
        hero, thing = tale.cast["H"], tale.cast["T"]
        assert isinstance(hero, Character)
        assert isinstance(thing, Thing)
        assert world.is_held_out(hero.kind.name, thing.name)


# Tokens


def test_a_text_comes_back_with_one_space_between_words(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    ids = tokenizer('  "Come,"\n\nsaid Tiromo. ')["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == '"Come," said Tiromo.'
    assert tokenizer.decode(tokenizer("")["input_ids"]) == END


def test_a_word_is_the_same_token_wherever_it_stands(tokenizer: PreTrainedTokenizerBase) -> None:
    alone, *later = (
        tokenizer(text)["input_ids"][-2:]
        for text in ("Mila", f"the {gap(0)} Mila", "Once there was\nMila")
    )
    assert later == [alone, alone]


def test_gaps_are_single_tokens_that_decoding_shows(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer(f"{gap(0)} fox {gap(GAPS - 1)}")["input_ids"]
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-2]]) == [gap(0), gap(GAPS - 1)]
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    assert scores.gaps_f1(text, f"{gap(0)} fox {gap(GAPS - 1)} x") == 0.5


def test_no_example_is_longer_than_the_context(tokenizer: PreTrainedTokenizerBase) -> None:
    shown = data.examples(300, _rng())
    assert data.batch(tokenizer, shown).sources.shape[1] < CONTEXT


# Scores


def test_f1_counts_each_word_once() -> None:
    assert scores.f1(["a", "a", "b"], ["a", "b", "b"]) == pytest.approx(2 / 3)
    assert scores.f1([], ["a"]) == 0
    assert scores.f1([], []) == 1


def test_a_gap_counts_by_its_own_words() -> None:
    target = "<extra_id_0> a fox <extra_id_1> ran home"
    measured = scores.scores(_example("fill", target), "<extra_id_0> a fox<extra_id_1> ran away")
    assert measured == {"fill_exact": 0.0, "fill_f1": pytest.approx(0.75)}
    assert scores.gaps_f1("<extra_id_1> a fox <extra_id_0> ran home", target) == 0
    assert scores.gaps_f1("<extra_id_0> a fox", target) == 0.5
    assert scores.gaps_f1("a fox ran home", target) == 0
    assert scores.gaps_f1("<extra_id_0> a fox <extra_id_1> ran home <extra_id_0> x", target) == 1


def test_only_words_that_have_a_capital_or_a_mark_count_as_restored() -> None:
    target = '"Yes," said Mila.'
    assert scores.marks_f1(target, target) == 1
    assert scores.marks_f1("yes said mila", target) == 0
    assert scores.marks_f1("Yes, said Mila.", target) == 0.5
    assert scores.scores(_example("restore", target), target)["restore_exact"] == 1


def test_pairs_of_sentences_count_where_both_are_there_in_order() -> None:
    target = "It rained. Mila slept. She woke."
    assert scores.pairs_in_order(target, target) == 1
    assert scores.pairs_in_order("She woke. Mila slept. It rained.", target) == 0
    assert scores.pairs_in_order("Mila slept. It rained. She woke.", target) == pytest.approx(2 / 3)
    assert scores.pairs_in_order("It rained. She woke.", target) == pytest.approx(1 / 3)


def test_of_several_right_answers_the_nearest_counts() -> None:
    example = _example("question", "Ben found it.", "Ben found it.", "Ben the fox helped.")
    assert scores.scores(example, "Ben the fox helped.") == {"question_exact": 1, "question_f1": 1}
    assert scores.scores(example, "Ben the fox ran.")["question_f1"] == pytest.approx(0.75)
    assert scores.scores(example, "Ben the fox ran.")["question_exact"] == 0


# Training


def test_the_t5_overfits_one_batch(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, 64, (2, 2))
    shown = [data.example(task, _rng(seed)) for seed, task in enumerate(data.TASKS)]
    optimizer = muon_or_adamw(model, 5e-3, 0.0, ["lm_head"])
    for _ in range(150):
        loss, parts = train.mean_losses(model, tokenizer, shown)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    assert parts.keys() == {f"loss_{task}" for task in data.TASKS}
    measured = train.held_out_scores(model, tokenizer, shown)
    assert measured["question_exact"] == measured["title_exact"] == 1


def test_padding_and_halves_change_no_loss(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, 32, (1, 1))
    shown = data.examples(5, _rng(3))
    together, _ = train.mean_losses(model, tokenizer, shown)
    nats, counts = zip(
        *(train.nats_of(model, data.batch(tokenizer, [each])) for each in shown), strict=True
    )
    torch.testing.assert_close(together, sum(nats).sum() / sum(counts).sum())


def test_the_standard_t5_has_at_most_eight_megabytes() -> None:
    tokenizer = train_tokenizer(grammar.random_tale(_rng(seed)).text for seed in range(3000))
    assert 3.7e6 < build(tokenizer).num_parameters() < 4e6


@pytest.mark.slow
def test_a_smoke_run_writes_on_the_page_and_resumes_to_the_same(tmp_path: Path) -> None:
    output = tmp_path / "models" / "tasks"
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(output)]
    train.main(["--smoke", *folders])
    lines = (tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()
    final = json.loads(lines[-1])
    for name in ("fill_f1", "restore_f1", "order_pairs", "question_exact", "title_exact"):
        assert 0 <= final[name] <= 1
    assert "question, exact" in (output / "README.md").read_text("utf-8")
    assert (tmp_path / "run/samples.txt").read_text("utf-8").startswith("fill: ")
    assert AutoTokenizer.from_pretrained(output).model_max_length == CONTEXT

    studio = Studio(Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False))
    request = TextRequest("tasks", f"fill: There lived a {gap(0)}.", max_new_tokens=5, seed=0)
    result = finished(generate, studio, request)
    assert result.family == "seq2seq"
    assert result.new_tokens == 5
    assert result.context_tokens == CONTEXT

    train.main(["--smoke", "--resume", *folders])
    resumed = json.loads((tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()[-1])
    assert resumed | {"seconds": 0} == final | {"seconds": 0}
