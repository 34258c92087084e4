"""How much of a text was copied: long sentences that the training books have, word for word.

    python -m pipelines.recipes.gpt.originality --data books

Prints the share for the held-out books, which is what chance and common sources give, and
with ``--samples`` for a file of a model's own texts. Nothing that serves imports this module.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from pipelines.recipes.gpt.data import HELD_OUT, read_texts

LONGER_THAN = 8
"""Words of a sentence that anyone might have written again by chance."""

_SENTENCE = re.compile(
    r"""\S.*?(?:(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?]+["'”’»)\]]*(?=\s+[^\sa-z]|\s*$)|\s*$)""",
    re.DOTALL,
)
_WITHOUT_QUOTES = str.maketrans("", "", "\"'`´“”„‘’‚«»‹›")


def sentences(text: str) -> list[str]:
    """The sentences as they stand, a paragraph's unfinished last one included.

    A sentence ends with its paragraph, or with a full stop, exclamation or question mark
    and closing quotes that no lower-case letter follows: ``"Who?" asked he.`` is one.
    """
    paragraphs = re.split(r"\n\s*\n", text)
    return [m[0].rstrip() for paragraph in paragraphs for m in _SENTENCE.finditer(paragraph)]


def long_sentences(text: str) -> list[str]:
    """The sentences of more than eight words."""
    return [sentence for sentence in sentences(text) if len(_words(sentence)) > LONGER_THAN]


def copied_sentences(text: str, training_text: str) -> list[str]:
    """The long sentences whose words follow one another in the training text too.

    Words are compared with their punctuation, but without quotes, apostrophes, case and
    what space is between them. In the training text they may be part of a sentence.
    """
    long = [(sentence, _words(sentence)) for sentence in long_sentences(text)]
    count = LONGER_THAN + 1
    beginnings = {tuple(words[:count]) for _, words in long}
    training = _words(training_text)
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    shifted = (islice(training, start, None) for start in range(count))
    for place, stretch in enumerate(zip(*shifted, strict=False)):
        if stretch in beginnings:
            places[stretch].append(place)
    return [
        sentence
        for sentence, words in long
        if any(
            training[place : place + len(words)] == words
            for place in places.get(tuple(words[:count]), ())
        )
    ]


def copied_share(text: str, training_text: str) -> float:
    """Of the sentences of more than eight words, those that were copied: from 0 to 1.

    Raises:
        ValueError: the text has no sentence of more than eight words.
    """
    long = long_sentences(text)
    if not long:
        raise ValueError(f"the text has no sentence of more than {LONGER_THAN} words")
    return len(copied_sentences(text, training_text)) / len(long)


def _words(text: str) -> list[str]:
    return text.translate(_WITHOUT_QUOTES).casefold().split()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="files not trained on")
    parser.add_argument("--samples", type=Path, help="a file of a model's texts")
    parsed = parser.parse_args(arguments)
    texts, held_out_texts = read_texts(parsed.data, parsed.held_out)
    judged = dict(zip(parsed.held_out, held_out_texts, strict=True))
    if parsed.samples is not None:
        judged[parsed.samples.name] = parsed.samples.read_text(encoding="utf-8")
    training_text = "\n\n".join(texts)
    for name, text in judged.items():
        share = copied_share(text, training_text)
        print(f"{name}: {share:.2%} of {len(long_sentences(text))} long sentences copied")


if __name__ == "__main__":
    main()
