"""What can go wrong in a visitor's hands, in words that the visitor can act on.

Every message says what, what was given, what is allowed and what to do. It is raised
low and shown as it is; the page turns it into ``gr.Error`` in one place (``ui.py``).
Anything that is not a ``StudioError`` is a fault of ours and is logged with its traceback.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class StudioError(Exception):
    """The base: its text may be shown to anybody."""


class InvalidValue(StudioError):
    """A field of a request is of the wrong kind or out of its range."""


class ModelUnavailable(StudioError):
    """A model reference that cannot be turned into a checkpoint on disk."""


class WrongTask(StudioError):
    """A checkpoint that does something else than was asked of it."""


class LoadFailed(StudioError):
    """A checkpoint that is on disk and cannot be loaded."""


class OutOfBudget(StudioError):
    """A model that does not fit beside those in use."""


class NotFinite(StudioError):
    """A model whose numbers became infinite or none at all (NaN)."""


class DiskFull(StudioError):
    """Something could not be written, for there is no room left."""


class Cancelled(Exception):
    """A run was stopped from outside. It is not shown to anybody."""


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_IN_WORDS = ("No space left on device", "Disk quota exceeded")
"""What libraries say that write files in C or Rust, in errors of their own."""


def full_disk(error: BaseException) -> DiskFull | None:
    """The error in words where it, or what led to it, is that the disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        is_full = isinstance(cause, OSError) and cause.errno in _FULL
        if is_full or any(words in str(cause) for words in _FULL_IN_WORDS):
            return DiskFull(
                "The disk of this page is full, so what was made could not be written; nothing "
                "else is affected. Make room (the Models tab deletes downloads), or have whoever "
                "runs the page do so or give it another --data-dir; then run it again."
            )
        cause = cause.__cause__
    return None


@contextmanager
def naming(who: str) -> Iterator[None]:
    """Puts a name before the message of an error, and keeps the error's class."""
    try:
        yield
    except StudioError as error:
        raise type(error)(f"{who}: {error}") from error


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def abbreviated(value: object, limit: int = 60) -> str:
    """``repr`` of what was given, short enough for a message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
