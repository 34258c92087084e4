"""The teller's recipe: its grammar, its conversations, its loss and its checkpoint."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.gpt.model import EMBEDDING_STD
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.tales import chat, data, facts, grammar, train, world
from pipelines.recipes.tales.model import as_text, build, train_tokenizer
from pipelines.recipes.tales.wordings import say
from pipelines.recipes.tales.world import Character, Thing


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    stream = data.documents(np.random.default_rng(0))
    return train_tokenizer(document.text for document in islice(stream, 300))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_there_are_at_least_twenty_plots_and_each_can_be_asked_about() -> None:
    assert len(grammar.plots()) >= 20
    for plot in grammar.plots():
        assert len(plot.questions) >= 3, plot.name
        tale = grammar.tell(plot, grammar.draw_cast(plot, _rng()), _rng())
        assert len(tale.text.split()) > 80, plot.name
        for true, false in tale.truths:
            assert true != false, plot.name


def test_no_text_has_a_stray_bracket_or_space() -> None:
    """A fault of the grammar would become a habit of the model."""
    rng = _rng(1)
    for index in range(1500):
        for _, text in chat.random_conversation(rng, index % 5 == 0).turns:
            assert not re.search(r"[\[\]{}|_]|  | \.|\.\.|\ba [aeio]| $|^ ", text), text


def test_every_wording_can_be_said() -> None:
    """Every list of ``wordings.txt`` is used, with words for all its fields."""
    text = (Path(chat.__file__).parent / "wordings.txt").read_text(encoding="utf-8")
    names = set(re.findall(r"^== (.*)", text, re.MULTILINE))
    used: set[str] = set()

    def record(name: str, rng: np.random.Generator, /, **words: object) -> str:
        used.add(name)
        return say(name, rng, **words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat, "say", record)
        patch.setattr(facts, "say", record)
        rng = _rng()
        for intent in [*(intent for intent, _ in chat.INTENTS.values()), chat.drill]:
            for _ in range(200):
                intent(rng, False)
    assert used == names


def test_a_tale_keeps_its_names_and_knows_its_answers() -> None:
    plot = next(plot for plot in grammar.plots() if plot.name == "lost")
    tale = grammar.tell(plot, grammar.draw_cast(plot, _rng(3)), _rng(3))
    hero, thing = tale.cast["H"], tale.cast["T"]
    assert isinstance(hero, Character)
    assert isinstance(thing, Thing)
    assert tale.text.count(hero.name) > 3
    assert tale.text.count(thing.name) > 3
    possessive = "his" if hero.pronoun == "he" else "her"
    assert f"{hero.name} lost {possessive} {thing.name}." in [
        answer for _, answer in tale.questions
    ]


def test_a_tale_knows_every_wording_of_its_answers_and_titles() -> None:
    for seed in range(300):
        tale = grammar.random_tale(_rng(seed))
        assert tale.title in tale.right_titles()
        for number, (_, answer) in enumerate(tale.questions):
            assert answer in tale.right_answers(number)
    lost = next(plot for plot in grammar.plots() if plot.name == "lost")
    tale = grammar.tell(lost, grammar.draw_cast(lost, _rng()), _rng())
    hero, friend, thing = (tale.cast[role] for role in "HFT")
    assert isinstance(friend, Character)
    helper = f"{friend.name} the {friend.kind.name}"
    assert tale.right_answers(1) == {
        f"{helper} helped {hero.name}.",
        f"{helper} found the {thing.name}.",
    }


def test_every_wording_of_the_last_answer_is_right() -> None:
    """A perfect reader of tales had 0.81: who guessed another title or verb was wrong."""
    several = 0
    for seed in range(200):
        talk = chat.ask_about_tale(_rng(seed), False)
        assert talk.turns[-1][1] in talk.also_right
        several += len(talk.also_right) > 1
        for answer in talk.also_right:
            assert train._is_right("ask_about_tale", talk, answer)
        assert not train._is_right("ask_about_tale", talk, "Nobody knows.")
    assert several > 40


def test_another_hero_leaves_every_other_word_as_it_was() -> None:
    for seed in range(40):
        talk = chat.edit(_rng(seed), False)
        first, second = talk.turns[1][1], talk.turns[3][1]
        assert first != second
        assert first.count("\n\n") == second.count("\n\n")
        assert abs(len(first.split()) - len(second.split())) <= 40


def test_training_never_shows_a_held_out_pair() -> None:
    for held_out in (False, True):
        for seed in range(300):
            cast = grammar.random_tale(_rng(seed), held_out).cast
            hero, thing = cast["H"], cast.get("T")
            assert isinstance(hero, Character)
            if isinstance(thing, Thing):
                assert world.is_held_out(hero.kind.name, thing.name) == held_out
            else:
                assert not held_out
    pairs = [(k.name, t.name) for k in world.kinds() for t in world.things()]
    assert 0.08 < np.mean([world.is_held_out(*pair) for pair in pairs]) < 0.12


def test_yes_and_no_are_equally_frequent() -> None:
    """A model that always said yes would else be right most of the time."""
    rng = _rng(2)
    answers = [facts.ask(rng)[1].split(",")[0] for _ in range(4000)]
    yes, no = answers.count("Yes"), answers.count("No")
    assert abs(yes - no) < 4 * (yes + no) ** 0.5


def test_captions_name_what_the_painter_knows() -> None:
    names = {name for emoji in everyday() for name in emoji.names}
    for seed in range(100):
        answer = chat.caption(_rng(seed), False).turns[-1][1]
        assert any(name in answer for name in names)
        assert answer.endswith("background")


def test_the_training_form_is_the_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    talk = chat.persona(_rng(4), False)
    messages = [{"role": role, "content": text} for role, text in talk.turns]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == as_text(talk.turns)
    asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    assert as_text(talk.turns).startswith(str(asked))


def test_repeated_words_weigh_three_times_and_the_users_a_tenth(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    talk = chat.Conversation(
        (("user", "A tale of Tiromo"), ("assistant", "Tiromo slept. Tiromo woke.")),
        frozenset({"Tiromo"}),
    )
    tokens = data.encode(tokenizer, data.chat_document(talk))
    said: dict[float, str] = {0.1: "", 1.0: "", 3.0: ""}
    for token, weight, copied in tokens:
        said[weight] += str(tokenizer.decode([token]))
        assert copied == (weight == 3.0)
    assert said[0.1] == "<|user|>A tale of Tiromo<|end|>"
    assert said[3.0].replace(" ", "") == "TiromoTiromo"
    assert said[1.0] == "<|assistant|> slept. woke.<|end|>"


def test_a_step_shows_the_same_rows_again_and_no_row_twice(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    first, again = (data.batch(tokenizer, _rng(9), 4, 64) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert first.tokens.shape == first.weights.shape == first.copied.shape == (4, 65)
    assert len({tuple(row.tolist()) for row in first.tokens}) == 4


def test_drills_grow_rare(tokenizer: PreTrainedTokenizerBase) -> None:
    def share(progress: float) -> float:
        stream = islice(data.documents(_rng(), progress), 600)
        drills = re.compile(r"^<\|user\|>(Repeat|Say it again|Copy|Backwards|Which is|What comes)")
        return float(np.mean([bool(drills.match(document.text)) for document in stream]))

    assert share(0.0) == pytest.approx(0.18, abs=0.06)
    assert share(1.0) < 0.08


def test_the_teller_overfits_one_batch(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, width=64, layers=2)
    shown = data.batch(tokenizer, _rng(), 2, 96)
    optimizer = muon_or_adamw(model, 5e-3, 0.0, ["lm_head"])
    for _ in range(80):
        loss, nats = train.weighted_loss(model(shown.tokens[:, :-1]).logits, shown)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    parts = train.parts_of_loss(nats.detach(), shown)
    assert parts["own"] < 0.5
    assert parts["copied"] < 0.5


def test_embeddings_are_wide_and_of_their_own(tokenizer: PreTrainedTokenizerBase) -> None:
    model = build(tokenizer, width=64, layers=1)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(EMBEDDING_STD, rel=0.05)


@pytest.mark.slow
def test_a_smoke_run_makes_a_chat_model_that_stops_at_its_turns_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "model")]
    train.main(["--smoke", *folders])
    assert "held_out_copied" in capsys.readouterr().out
    reader = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert reader.chat_template
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ends = model.generation_config.eos_token_id
    assert set(reader.convert_ids_to_tokens(ends)) == {"<|endoftext|>", "<|end|>"}
    assert "assistant:" in (tmp_path / "run" / "samples.txt").read_text(encoding="utf-8")
