"""Checks of what a model wrote and of the right answers, and their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import ptb

Words = list[str]
Ngram = tuple[str, ...]


def check_pairs(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Whether each hypothesis has its references.

    Raises:
        InvalidValue: fewer than 2 hypotheses, another number of lists of references, one
            that is empty, or anything in them that is no text; a reference may not be blank.
    """
    for name, values in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise InvalidValue(f"{name} are {abbreviated(values)}; give a list.")
    if len(hypotheses) != len(references) or len(hypotheses) < 2:
        raise InvalidValue(
            f"There are {len(hypotheses)} hypotheses and {len(references)} lists of references; "
            "give one list for each of at least 2 hypotheses."
        )
    for number, (hypothesis, answers) in enumerate(
        zip(hypotheses, references, strict=True), start=1
    ):
        if not isinstance(hypothesis, str):
            raise InvalidValue(f"hypothesis {number} is {abbreviated(hypothesis)}; give a text.")
        if isinstance(answers, str) or not isinstance(answers, Sequence) or not answers:
            raise InvalidValue(
                f"references of sentence {number} are {abbreviated(answers)}; give a list of at "
                "least 1 text."
            )
        for answer in answers:
            if not isinstance(answer, str) or not answer.strip():
                raise InvalidValue(
                    f"a reference of sentence {number} is {abbreviated(answer)}; give a text that "
                    "is not blank. Leave out references that are missing."
                )


def caption_words(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> list[tuple[Words, list[Words]]]:
    """Each hypothesis and its references in the words of ``ptb``.

    Raises:
        InvalidValue: as ``check_pairs``, or a reference holds punctuation alone.
    """
    check_pairs(hypotheses, references)
    pairs = []
    for number, (hypothesis, answers) in enumerate(
        zip(hypotheses, references, strict=True), start=1
    ):
        cut = [ptb.words(answer) for answer in answers]
        for answer, words in zip(answers, cut, strict=True):
            if not words:
                raise InvalidValue(
                    f"a reference of sentence {number} is {abbreviated(answer)}, which holds no "
                    "word; give a text with words. Leave out references that are missing."
                )
        pairs.append((ptb.words(hypothesis), cut))
    return pairs


def ngrams(words: Sequence[str], shortest: int, longest: int) -> Counter[Ngram]:
    """The n-grams of a text with their counts, of n from ``shortest`` to ``longest``."""
    return Counter(
        tuple(words[start : start + n])
        for n in range(shortest, longest + 1)
        for start in range(len(words) - n + 1)
    )


def texts_of(texts: Sequence[str], least: int) -> list[str]:
    """``texts`` as a list, if they are at least so many.

    Raises:
        InvalidValue: fewer, or something that is no text.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence) or len(texts) < least:
        raise InvalidValue(f"texts are {abbreviated(texts)}; give a list of at least {least}.")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InvalidValue(f"text {number} is {abbreviated(text)}; give a text.")
    return list(texts)
