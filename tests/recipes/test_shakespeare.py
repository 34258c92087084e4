"""The comparison with nanoGPT: same size, same split, every held-out character scored."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes.gpt import shakespeare
from pipelines.recipes.gpt.model import build

PAGE_FILE = Path(__file__).parents[1] / "data" / "page.txt"
PAGE = PAGE_FILE.read_text(encoding="utf-8")


def test_a_token_is_a_character(tmp_path: Path) -> None:
    tokenizer = shakespeare.character_tokenizer(PAGE)
    assert len(tokenizer) == len(set(PAGE))
    tokenizer.save_pretrained(tmp_path)
    reader = AutoTokenizer.from_pretrained(tmp_path)
    ids = reader.encode(PAGE)
    assert ids == tokenizer.convert_tokens_to_ids(list(PAGE))
    assert reader.decode(ids) == PAGE


def test_the_model_is_as_large_as_nano_gpt() -> None:
    """Theirs: 12 * width^2 a layer, a norm of width before each half and at the end."""
    tokenizer = shakespeare.character_tokenizer("".join(map(chr, range(32, 97))))
    theirs = 4 * 12 * 128**2 + 65 * 128 + 9 * 128
    model = build(tokenizer, width=128, layers=4, heads=4, context=shakespeare.CONTEXT)
    assert model.num_parameters() == pytest.approx(theirs, rel=0.05)
    assert model.config.max_position_embeddings == 64


def test_the_last_tenth_is_held_out() -> None:
    seen, held_out = shakespeare.split(np.arange(105))
    assert seen.tolist() == list(range(94))
    assert held_out.tolist() == list(range(93, 105))


@pytest.mark.parametrize("told", [5, 128, 130, 64 * 65 + 7])
def test_every_token_is_told_once(told: int) -> None:
    """The mean over all tokens, each told by itself from those of its window before it."""
    torch.manual_seed(0)
    tokenizer = shakespeare.character_tokenizer(PAGE)
    model = build(tokenizer, width=32, layers=1).train(False)
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    row = np.random.default_rng(0).integers(len(tokenizer), size=told + 1)
    nats = []
    for start in range(0, told, 64):
        window = torch.from_numpy(row[start : start + 65])
        with torch.no_grad():
            logits = model(window[None, :-1]).logits[0]
        nats += functional.cross_entropy(logits, window[1:], reduction="none").tolist()
    assert len(nats) == told
    assert shakespeare.held_out_scores(model, row)["held_out_loss"] == pytest.approx(
        np.mean(nats), rel=1e-5
    )


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no file .*none\.txt"):
        shakespeare.read(tmp_path / "none.txt")
    (tmp_path / "short.txt").write_text("To be")
    with pytest.raises(SystemExit, match=r"short\.txt has 5 characters; 640"):
        shakespeare.read(tmp_path / "short.txt")


def test_a_smoke_run_leaves_a_checkpoint_and_a_score(tmp_path: Path) -> None:
    folders = ["--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "model")]
    shakespeare.main(["--smoke", "--data", str(PAGE_FILE), *folders])
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[0]["characters"] + lines[0]["held_out"] == len(PAGE)
    assert lines[-1]["step"] == 3
    assert (tmp_path / "model" / TRAINING_LOG).is_file()
    assert 0 < lines[-1]["held_out_loss"] < math.log(len(set(PAGE))) + 0.2
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(tmp_path / "model")
    _, held_out = shakespeare.split(np.asarray(known.encode(PAGE), dtype=np.int64))
    again = shakespeare.held_out_scores(loaded, held_out)["held_out_loss"]
    assert lines[-1]["held_out_loss"] == pytest.approx(again, abs=1e-5)
    assert loaded.config.vocab_size == len(set(PAGE))
