"""Links: the fields of a panel in the page's query string, ``/?compare=...``.

A link fills fields in and runs nothing. It comes from a stranger, so it is checked like any
visitor's input: of bounded length, with just the fields of its kind, each in its range, and
models by name or Hub reference, never by path. A picture does not fit into it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.settings import Limits
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


def unpacked(text: object, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The fields by name that a link's text holds, their values yet to be checked.

    Args:
        names: those that it must have, and no others; not checked where it is None.

    Raises:
        InvalidValue: it holds none, has others, is too long, or damaged.
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
    if names is not None:
        check_names("The link", fields, names)
    return fields


def check_names(what: str, fields: object, names: Iterable[str]) -> None:
    """Raises InvalidValue where ``fields`` has other names than these."""
    if not isinstance(fields, dict) or set(fields) != set(names):
        raise InvalidValue(f"{what} must have just the fields {', '.join(names)}. Copy it whole.")


def checked(
    fields: Any, rules: Rules, limits: Limits, what: str = "The link", side: str = ""
) -> dict[str, Any]:
    """Just the fields of ``rules``, each as its rule gives it, as the page shows it.

    What is left to the model is None in a request and ``OWN`` on the page.

    Raises:
        InvalidValue: a field is missing, unknown, or may not hold its value.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    check_names(what, fields, rules)
    values = {}
    for name, rule in rules.items():
        if isinstance(rule, Rule):
            value = rule.check(f"{name}{side}", fields[name], limits)
            values[name] = OWN if value is None else value
        else:
            within = checked(fields[name], rule, limits, f"{name} of the link", f" of {name}")
            values[name] = within
    return values
