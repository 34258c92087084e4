"""How many tokens a writer reads in one piece while it is trained.

Importing this module loads no transformers.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import InvalidValue
from pipelines.runtime.loading import OFFLINE

LONGEST = 1024
"""Tokens in a window where nobody chooses, unless the base's context is shorter."""


def window_of(base: Path, wanted: int | None) -> int:
    """Tokens in a window of a base in this folder: as many as wanted, or by default ``LONGEST``.

    Raises:
        InvalidValue: the base's context is shorter than the window that is wanted.
    """
    from transformers import AutoConfig

    context = getattr(AutoConfig.from_pretrained(base, **OFFLINE), "max_position_embeddings", None)
    if wanted is None:
        return LONGEST if context is None else min(LONGEST, context)
    if context is not None and wanted > context:
        raise InvalidValue(
            f"window is {wanted:,} tokens; the base reads at most {context:,}. Give fewer."
        )
    return wanted
