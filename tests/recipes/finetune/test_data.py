"""Texts are cut into passages of which nothing is lost, and read for what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from pipelines.errors import InvalidValue
from pipelines.recipes.finetune.data import encode, read_texts
from pipelines.recipes.finetune.plan import split


def test_a_share_is_held_out_and_the_rest_stays_together(tale: Path) -> None:
    texts = read_texts(tale, 0.2, seed=0)
    whole = tale.read_text().strip()
    assert texts.characters == len(whole)
    assert len(texts.held_out) == 12
    assert all(text in whole for text in (*texts.seen, *texts.held_out))
    assert len(texts.seen) < 48, "neighbours are joined"
    assert read_texts(tale, 0.2, seed=0) == texts
    assert read_texts(tale, 0.2, seed=1).held_out != texts.held_out


def test_a_folder_is_read_file_by_file(tale: Path) -> None:
    other = tale.with_name("other.txt")
    other.write_text("\ufeff" + "Another text, without an end of its own. " * 100)
    texts = read_texts(tale.parent, 0.1, seed=0)
    assert not any("\ufeff" in text for text in texts.seen)
    both = ("old pilot", "Another text")
    assert not any(all(words in text for words in both) for text in texts.seen)
    assert texts.sha256 != read_texts(tale, 0.1, seed=0).sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 characters are too few"),
        (b"short", "5 characters are too few"),
        (b"\xff" * 5000, "not UTF-8"),
    ],
)
def test_texts_that_cannot_be_used_say_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=message):
        read_texts(path, 0.1, seed=0)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pdf").write_bytes(b"%PDF")
    for path in (tmp_path, tmp_path / "text.pdf", tmp_path / "gone.txt"):
        with pytest.raises(InvalidValue, match=r"give a \.txt file"):
            read_texts(path, 0.1, seed=0)


def test_the_row_has_an_end_around_every_text(models_dir: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(models_dir / "tiny-writer")
    row = encode(tokenizer, ["One.", "Two."])
    assert [i for i, token in enumerate(row) if token == tokenizer.eos_token_id][::2] == [
        0,
        len(row) - 1,
    ]
    tokenizer.bos_token = "O"
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    row = encode(tokenizer, ["xx", "yy"])
    assert row[0] == begin
    assert list(row).count(begin) == list(row).count(end) == 2
    tokenizer.eos_token = None
    with pytest.raises(InvalidValue, match="no end-of-text token"):
        encode(tokenizer, ["One."])


def test_a_split_holds_out_its_share_and_knows_its_seed() -> None:
    seen, held_out = split(100, 0.1, seed=3)
    assert sorted(seen + held_out) == list(range(100))
    assert len(held_out) == 10
    assert split(100, 0.1, seed=3)[1] == held_out != split(100, 0.1, seed=4)[1]
    assert len(split(10, 0.01, seed=0)[1]) == 2
    with pytest.raises(InvalidValue, match="Of 3 samples 2 would be held out"):
        split(3, 0.1, seed=0)
