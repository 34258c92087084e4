"""Which long sentences of a text stand word for word in the training books."""

from __future__ import annotations

import re

LONGER_THAN = 8
"""A sentence of at most so many words may be the same by chance."""

_SENTENCE = re.compile(
    r"""\S.*?(?:(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?]+["'”’»)\]]*(?=\s+[^\sa-z]|\s*$)|\s*$)""",
    re.DOTALL,
)
_WITHOUT_QUOTES = str.maketrans("", "", "\"'`´“”„‘’‚«»‹›")


def sentences(text: str) -> list[str]:
    """The sentences of a text, including a paragraph's unfinished last one.

    A sentence ends with its paragraph, or with a full stop, exclamation or question mark
    and closing quotes that no lower-case letter follows: ``"Who?" asked he.`` is one.
    """
    paragraphs = re.split(r"\n\s*\n", text)
    return [m[0].rstrip() for paragraph in paragraphs for m in _SENTENCE.finditer(paragraph)]


def long_sentences(text: str) -> list[str]:
    """The sentences of more than eight words."""
    return [sentence for sentence in sentences(text) if len(_words(sentence).split()) > LONGER_THAN]


def copied_sentences(text: str, training_text: str) -> list[str]:
    """The long sentences whose words stand in the same order in the training text.

    Words are compared with their punctuation, but without quotes, apostrophes, case and
    white space. In the training text they may be part of a longer sentence.
    """
    training_words = _words(training_text)
    return [each for each in long_sentences(text) if _words(each) in training_words]


def _words(text: str) -> str:
    """The words, each between two spaces."""
    return f" {' '.join(text.translate(_WITHOUT_QUOTES).casefold().split())} "
