"""How many tokens a writer reads in one piece while it is trained."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import InvalidValue
from pipelines.hub import read_json

LONGEST = 1024
"""Tokens in a window where nobody chooses, unless the base's context is shorter."""

_CONTEXT = ("max_position_embeddings", "n_positions")
"""What configurations call the number of tokens that a model has places for."""


def window_of(base: Path, wanted: int | None) -> int:
    """Tokens in a window of a base in this folder: as many as wanted, or by default ``LONGEST``.

    Raises:
        InvalidValue: the base's context is shorter than the window that is wanted.
    """
    config = read_json(base / "config.json")
    context = min((int(config[name]) for name in _CONTEXT if config.get(name)), default=None)
    if wanted is None:
        return LONGEST if context is None else min(LONGEST, context)
    if context is not None and wanted > context:
        raise InvalidValue(
            f"window is {wanted:,} tokens; the base reads at most {context:,}. Give fewer."
        )
    return wanted
