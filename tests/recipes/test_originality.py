"""Originality: sentences, and which of them the training text has word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.recipes.gpt import originality
from pipelines.recipes.gpt.originality import copied_sentences, copied_share, sentences

TRAINING = (
    "“Once there was a king who had three daughters,” said the Miller’s wife; and he\n"
    "sighed.\n\nThe wolf ran into the forest because the hunter had a gun, and never came back."
)


def test_sentences_end_at_marks_and_paragraphs() -> None:
    text = 'It rained. "Who is there?" asked he. "I!"  “You?”\n\nTHE END\n\nAnd then the'
    assert sentences(text) == [
        "It rained.",
        '"Who is there?" asked he.',
        '"I!"',
        "“You?”",
        "THE END",
        "And then the",
    ]


def test_line_breaks_and_titles_end_no_sentence() -> None:
    text = "Mr. Fox and Mrs. Fox went\nto St. Ives... They came back."
    assert sentences(text) == ["Mr. Fox and Mrs. Fox went\nto St. Ives...", "They came back."]


@pytest.mark.parametrize("text", ["", " \n\n \n"])
def test_nothing_has_no_sentences(text: str) -> None:
    assert sentences(text) == []


def test_quotes_case_and_space_make_no_difference() -> None:
    copied = (
        "'ONCE there was a  king who had three daughters,' said the\nMiller's wife; and he sighed."
    )
    assert copied_sentences(copied, TRAINING) == [copied]


def test_part_of_a_training_sentence_is_copied_too() -> None:
    assert copied_share("Ran into the forest because the hunter had a gun,", TRAINING) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "The wolf ran into the forest because the hunter had a dog.",  # another end
        "The old wolf ran into the forest because the hunter had a gun,",  # another word
        "The wolf ran into the forest because the hunter had a gun.",  # another mark
        "Olf ran into the forest because the hunter had a gun,",  # half a word
        "Because the hunter had a gun, and never came back. really",  # past the end
    ],
)
def test_what_differs_is_not_copied(sentence: str) -> None:
    assert copied_sentences(sentence, TRAINING) == []


def test_a_beginning_that_comes_twice_is_followed_from_each_place() -> None:
    begun = "one two three four five six seven eight nine"
    training = f"{begun} ten. {begun} eleven."
    assert copied_share(f"{begun} eleven.", training) == 1
    assert copied_share(f"{begun} twelve.", training) == 0


def test_only_sentences_of_more_than_eight_words_count() -> None:
    eight = "The wolf ran into the forest because the."
    nine = "The wolf ran into the forest because the hunter"
    own = "Nobody has ever written these nine words like this."
    assert len(eight.split()) == 8
    assert len(nine.split()) == len(own.split()) == 9
    assert copied_share(f"{eight}\n\n{nine}\n\n{own}\n\n{own}", TRAINING) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="no sentence of more than 8 words"):
        copied_share(eight, TRAINING)


def test_an_empty_training_text_has_nothing_to_copy() -> None:
    assert copied_share(TRAINING, "") == 0


def test_the_command_prints_a_share_for_each_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text(TRAINING, encoding="utf-8")
    (tmp_path / "b.txt").write_text("Nobody has ever written these nine words like this.")
    samples = tmp_path / "samples.md"
    samples.write_text(TRAINING, encoding="utf-8")
    originality.main(["--data", str(tmp_path), "--held-out", "b.txt", "--samples", str(samples)])
    assert capsys.readouterr().out.splitlines() == [
        "b.txt: 0.00% of 1 long sentences copied",
        "samples.md: 100.00% of 2 long sentences copied",
    ]
