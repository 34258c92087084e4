"""How many tokens texts have by their base's tokenizer, and how many windows these fill.

Neither the model nor transformers is loaded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.files.texts import cut

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SECONDS = 2.0
"""After which the rest of large data is estimated."""

_PIECE = 20_000
"""Characters that are encoded between two looks at the clock."""


def tokenizer_of(base: Path) -> Tokenizer | None:
    """The tokenizer in a base's folder; None where it is none of the ``tokenizers`` library."""
    from tokenizers import Tokenizer

    file = base / "tokenizer.json"
    return Tokenizer.from_file(str(file)) if file.is_file() else None


def counted(tokenizer: Tokenizer, texts: Sequence[str], seconds: float) -> tuple[int, bool]:
    """Tokens of the texts, and whether all were counted.

    What is not encoded within the time has as many tokens a character as random pieces that were.
    """
    pieces = [piece for text in texts for piece in cut(text, _PIECE)]
    random.Random(0).shuffle(pieces)
    total, tokens, characters = sum(map(len, pieces)), 0, 0
    deadline = time.monotonic() + seconds
    for piece in pieces:
        tokens += len(tokenizer.encode(piece, add_special_tokens=False))
        characters += len(piece)
        if time.monotonic() > deadline:
            break
    return round(tokens * total / max(1, characters)), characters == total


def in_words(tokens: int, is_whole: bool, trained_share: float, window: int) -> str:
    """What so many tokens mean for a window.

    Args:
        is_whole: whether they were counted, and not estimated.
        trained_share: the share of them that is not held out.
    """
    count = f"{'' if is_whole else 'about '}{tokens:,} tokens"
    trained = round(tokens * trained_share)
    if trained < window:
        return (
            f"{count}: those to train on do not fill one window of {window:,}, so every step sees "
            'the same. Give more text, or a smaller "Window".'
        )
    windows = trained // window
    return f"{count}: {windows:,} window{'s' if windows > 1 else ''} of {window:,} a pass."
