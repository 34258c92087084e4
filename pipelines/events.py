"""The events of a run, the same for every slice."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``fraction`` is in [0, 1]; None where it is unknown."""

    message: str
    fraction: float | None = None
    seconds_left: float | None = None


Report = Callable[[Progress], None]
"""Receives the progress of a run; an exception that it raises ends the run."""


def translated(
    run: Generator[Any, None, Any], translate: Callable[[Any], Any]
) -> Generator[Any, None, Any]:
    """A run with other events in place of its own, one for each; its result stays."""
    with closing(run):
        while True:
            try:
                event = next(run)
            except StopIteration as end:
                return end.value
            yield translate(event)


def with_result(run: Generator[Any, None, Any]) -> Generator[Any, None, None]:
    """The run's events, then its result as the last item, for a plain ``for`` loop."""
    result = yield from run
    yield result
