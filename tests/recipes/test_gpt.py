"""The writer's recipe: its texts, its tokenizer, its training, its checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes import results
from pipelines.recipes.gpt import data, train
from pipelines.recipes.gpt.model import CONTEXT, END, build, train_tokenizer

PAGE = (Path(__file__).parents[1] / "data" / "page.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([PAGE], 600)


def test_the_writer_overfits_one_batch(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    model = build(tokenizer, width=64, layers=2)
    row = data.encode(tokenizer, [PAGE])
    tokens = data.windows(row, 4, 48, np.random.default_rng(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = train.next_token_loss(model, tokens)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(len(tokenizer)), abs=0.3)
    assert losses[-1] < 0.5


def test_a_saved_writer_loads_with_the_same_logits(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model = build(tokenizer, width=32, layers=2)
    results.save(model, tmp_path, tokenizer)
    assert model.dtype == torch.float32, "saving must not change the model that trains on"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    reader = AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([reader.encode("There was once a lamp")])
    assert ids.tolist() == [tokenizer.encode("There was once a lamp")]
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits, atol=2e-3, rtol=0)
    assert loaded.generation_config.eos_token_id == reader.eos_token_id == reader.bos_token_id


def test_the_standard_writer_fits_into_small_files(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([PAGE], 600)
    model = build(tokenizer)
    model.resize_token_embeddings(4096)
    results.save(model, tmp_path, tokenizer)
    assert model.num_parameters() == pytest.approx(5.87e6, rel=0.01)
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 9_000_000


def test_positions_to_the_end_of_the_context_count(tokenizer: PreTrainedTokenizerBase) -> None:
    model = build(tokenizer, width=32, layers=1)
    ids = torch.randint(1, len(tokenizer), (1, CONTEXT))
    other = ids.clone()
    other[0, 0] = (other[0, 0] + 1) % len(tokenizer)
    assert not torch.equal(model(ids).logits[0, -1], model(other).logits[0, -1])


@pytest.mark.parametrize(
    "text",
    [
        PAGE,
        "",
        "naïve — “quoted”\ttabs  and   spaces\n\n\nthree breaks\r\n 12 345,67 don't 🐉 東京 \n",
    ],
)
def test_any_text_comes_back_exactly(
    tokenizer: PreTrainedTokenizerBase, text: str, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    for coder in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert coder.decode(coder.encode(text)) == text


def test_the_blank_line_between_paragraphs_is_one_piece(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert len(tokenizer.encode("\n\n")) == 1


def test_the_end_of_text_is_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.encode(END) == [tokenizer.eos_token_id] == [tokenizer.pad_token_id]


def test_books_are_cut_before_headings() -> None:
    tales = data.split_into_tales(PAGE.strip())
    titles = [tale.split("\n\n")[0] for tale in tales]
    assert titles == ["THE LAMP AT THE END OF THE PIER", "THE KEEPER'S ANSWER"]
    assert "\n\n".join(tales) == PAGE.strip()


def test_a_heading_with_a_subtitle_begins_one_tale() -> None:
    text = "CHAPTER I\n\nThe Storm\n\nIt rained.\n\n[From the French.]\n\nCHAPTER II\n\nIt stopped."
    assert [tale[:10] for tale in data.split_into_tales(text)] == ["CHAPTER I\n", "CHAPTER II"]


def test_the_row_has_an_end_around_every_tale(tokenizer: PreTrainedTokenizerBase) -> None:
    row = data.encode(tokenizer, [PAGE.strip(), "Short."])
    assert np.flatnonzero(row == tokenizer.eos_token_id).size == 4
    assert row[0] == row[-1] == tokenizer.eos_token_id


def test_windows_are_stretches_of_the_row() -> None:
    row = np.arange(100)
    tokens = data.windows(row, 50, 10, np.random.default_rng(0))
    assert tokens.shape == (50, 11)
    assert (tokens.diff(dim=1) == 1).all()
    starts = data.windows(row, 5000, 10, np.random.default_rng(0))[:, 0]
    assert (int(starts.min()), int(starts.max())) == (0, 89)
    assert data.windows(row, 2, 500, np.random.default_rng(0)).shape == (2, 100)


def test_scores_count_every_token_once(tokenizer: PreTrainedTokenizerBase) -> None:
    """With all weights at zero each piece is equally likely, so the score is known."""
    model = build(tokenizer, width=32, layers=1)
    torch.nn.init.zeros_(model.model.embed_tokens.weight)
    held_out = data.passage(tokenizer, (PAGE.strip() + "\n\n") * 3)
    assert len(held_out.tokens) > CONTEXT + 1
    scores = train.held_out_scores(model, [held_out])
    assert scores["held_out_loss"] == pytest.approx(math.log(len(tokenizer)), rel=1e-5)
    bits = (len(held_out.tokens) - 1) * math.log2(len(tokenizer))
    per_byte = bits / int(held_out.sizes.sum())
    assert scores["held_out_bits_per_byte"] == pytest.approx(per_byte, rel=1e-5)


def test_a_passage_knows_its_size_in_bytes(tokenizer: PreTrainedTokenizerBase) -> None:
    assert data.passage(tokenizer, "Märchen").sizes.sum() == 8
    assert data.passage(tokenizer, "Märchen", characters=3).sizes.sum() == 4


def test_missing_texts_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("Once.")
    with pytest.raises(SystemExit, match=r"no two\.txt"):
        data.read_texts(tmp_path, ["two.txt"])
    with pytest.raises(SystemExit, match=r"no \.txt file besides"):
        data.read_texts(tmp_path, ["one.txt"])


def test_too_short_a_text_to_hold_out_is_told_before_the_training(tmp_path: Path) -> None:
    for name in ("known", "short"):
        (tmp_path / f"{name}.txt").write_text(PAGE[:400], encoding="utf-8")
    texts = ["--data", str(tmp_path), "--held-out", "short.txt", "--run-dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=r"--held-out: .* give more than 512"):
        train.main(["--smoke", *texts, "--output", str(tmp_path / "model")])


def test_a_smoke_run_leaves_a_checkpoint_and_samples(tmp_path: Path) -> None:
    first, second = data.split_into_tales(PAGE)
    (tmp_path / "first.txt").write_text(first, encoding="utf-8")
    (tmp_path / "second.txt").write_text(f"{second}\n\n" * 3, encoding="utf-8")
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "model")]
    texts = ["--data", str(tmp_path), "--held-out", "second.txt"]
    train.main(["--smoke", *texts, *folders])
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 3
    assert lines[-1]["held_out_bits_per_byte"] > 0
    glances = [line for line in lines if "glance_bits_per_byte" in line]
    saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(tmp_path / "model")
    _, (text,) = data.read_texts(tmp_path, ["second.txt"])
    scores = train.held_out_scores(saved, [data.passage(known, text)])
    bits = scores["held_out_bits_per_byte"]
    assert glances[-1]["glance_bits_per_byte"] == pytest.approx(bits, abs=1e-5)
    assert lines[-1]["held_out_bits_per_byte"] == pytest.approx(bits, abs=1e-5)
    assert (tmp_path / "run/samples.txt").read_text().startswith("Once upon a time")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.vocab_size < 4096

    train.main(["--smoke", "--resume", *texts, *folders])
    resumed = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert json.loads(resumed[-1])["held_out_loss"] == lines[-1]["held_out_loss"]
    assert (tmp_path / "model" / TRAINING_LOG).read_text().splitlines() == resumed
