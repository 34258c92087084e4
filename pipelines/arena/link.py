"""A duel as a link: the panel's fields in the page's query string, ``/?vote=...``.

It is coded and bounded as a comparison's link is, and is a stranger's input as well. It names
models in the order in which they are listed, and says nothing of whose an output is. A picture
does not fit into it.
"""

from __future__ import annotations

from pipelines.arena.setup import Setup, checked
from pipelines.model_comparison.link import check_fields, packed, unpacked
from pipelines.settings import Limits

PARAMETER = "vote"
"""The name in the query string."""

_FIELDS = ("task", "models", "prompt", "seed")


def encode(setup: Setup) -> str:
    """The value of the query's parameter, in letters that need no escaping.

    Raises:
        InvalidValue: it would be too long.
    """
    content = {name: getattr(setup, name) for name in _FIELDS}
    return packed(content, "Shorten the prompt, or hand on the models' names.")


def decode(text: object, limits: Limits) -> Setup:
    """The fields that a link's parameter holds.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    content = unpacked(text)
    check_fields("The link", content, _FIELDS)
    return checked(Setup(**content), limits)
