"""Originality: sentences, and which of them the training text has word for word."""

from __future__ import annotations

import pytest

from pipelines.recipes.gpt.originality import copied_sentences, long_sentences, sentences

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
    part = "Ran into the forest because the hunter had a gun,"
    assert copied_sentences(part, TRAINING) == [part]


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
    assert copied_sentences(f"{begun} eleven.", training)
    assert not copied_sentences(f"{begun} twelve.", training)


def test_only_sentences_of_more_than_eight_words_count() -> None:
    eight = "The wolf ran into the forest because the."
    nine = "The wolf ran into the forest because the hunter"
    own = "Nobody has ever written these nine words like this."
    assert len(eight.split()) == 8
    assert len(nine.split()) == len(own.split()) == 9
    text = f"{eight}\n\n{nine}\n\n{own}"
    assert long_sentences(text) == [nine, own]
    assert copied_sentences(text, TRAINING) == [nine]


def test_an_empty_training_text_has_nothing_to_copy() -> None:
    assert copied_sentences(TRAINING, "") == []
