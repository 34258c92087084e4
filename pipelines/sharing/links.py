"""Links: the fields of a panel in the page's query string, ``/?compare=...``.

A link fills fields in and runs nothing. It comes from a stranger, so it is checked like any
visitor's input: of bounded length, with no other fields than those of its kind, each in its range,
and models by name or Hub reference, never by path. A picture does not fit into it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Union

from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.settings import Limits
from pipelines.sharing.reading import completed
from pipelines.validation import OWN, Rule

MOST_CHARACTERS = 4_000
"""So long a link at most: servers and messengers cut longer ones."""

Rules = Mapping[str, Union[Rule, "Rules"]]
"""The fields of a link by name: a rule for each, or the rules of the fields within it."""


def packed(fields: Mapping[str, Any], advice: str) -> str:
    """Fields by name as a link's text, in letters that need no escaping.

    Args:
        advice: what to do where it would be too long.

    Raises:
        InvalidValue: it would be longer than ``MOST_CHARACTERS``.
    """
    content = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    text = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    if len(text) > MOST_CHARACTERS:
        raise InvalidValue(
            f"A link to this comparison would have {len(text):,} characters; at most "
            f"{MOST_CHARACTERS:,} are allowed. {advice}"
        )
    return text


def address(parameter: str, encode: Callable[[], str]) -> tuple[str | None, str]:
    """The query that opens the page with a link's fields, ``?compare=...``; or None and the reason.

    Args:
        encode: gives the link's text, or raises StudioError.
    """
    try:
        return f"?{parameter}={encode()}", ""
    except StudioError as error:
        return None, str(error)


def unpacked(text: object) -> dict[str, Any]:
    """The fields by name that a link's text holds, names and values yet to be checked.

    Raises:
        InvalidValue: it holds none, is too long, or damaged.
    """
    if not isinstance(text, str) or re.fullmatch(r"[A-Za-z0-9_-]+", text) is None:
        raise InvalidValue(f"The link holds {abbreviated(text)}, no comparison. Copy it whole.")
    if len(text) > MOST_CHARACTERS:
        raise InvalidValue(
            f"The link has {len(text):,} characters; at most {MOST_CHARACTERS:,} are allowed."
        )
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        fields = json.loads(decoded.decode())
        json.dumps(fields, ensure_ascii=False).encode()  # half a character cannot be shown
    except (ValueError, RecursionError) as error:
        raise InvalidValue("The link is damaged or cut off. Copy it whole.") from error
    if not isinstance(fields, dict):
        raise InvalidValue("The link holds no comparison. Copy it whole.")
    return fields


def checked(
    fields: object, rules: Rules, defaults: Mapping[str, Any], limits: Limits,
    what: str = "The link", side: str = "",
) -> dict[str, Any]:  # fmt: skip
    """The fields of ``rules``, each as its rule gives it, as the page shows it.

    What is left to the model is None in a request and ``OWN`` on the page.

    Args:
        defaults: the values of fields that a link may lack, at any depth: older ones do.

    Raises:
        InvalidValue: a field is missing, unknown, or may not hold its value.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    fields = completed(what, fields, rules, defaults)
    values = {}
    for name, rule in rules.items():
        if isinstance(rule, Rule):
            value = rule.check(f"{name}{side}", fields[name], limits)
            values[name] = OWN if value is None else value
        else:
            about = f"{name} of the link", f" of {name}"
            values[name] = checked(fields[name], rule, defaults, limits, *about)
    return values
