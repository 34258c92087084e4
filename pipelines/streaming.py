"""A blocking library call as a generator that can be closed.

The libraries call back; a slice wants to yield. ``stream`` runs the call in a thread of
its own and hands over what it emits. When the iterator is closed, the next ``emit``
raises ``Cancelled`` inside the call, so it ends within one token or one step.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from pipelines.errors import Cancelled

Emit = Callable[[Any], None]
Result = TypeVar("Result")
_HEARTBEAT_SECONDS = 0.25


def stream(work: Callable[[Emit], Result], may_go_on: bool = False) -> Generator[Any, None, Result]:
    """Yields what ``work`` emits and returns what it returns.

    Closing the generator waits until the work has stopped, so that what it borrowed is
    free again; work that ``may_go_on`` alone, such as a download, is left to itself, and its
    last event is repeated while it is silent. An exception of the work is raised here.
    """
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    is_closed = threading.Event()

    def emit(event: Any) -> None:
        if is_closed.is_set():
            raise Cancelled
        events.put(("event", event))

    def run() -> None:
        try:
            events.put(("result", work(emit)))
        except BaseException as error:
            events.put(("error", error))

    thread = threading.Thread(target=run, name="triptych-run", daemon=True)
    thread.start()
    last: Any = None
    try:
        while True:
            try:
                kind, value = events.get(timeout=_HEARTBEAT_SECONDS if may_go_on else None)
            except queue.Empty:
                kind, value = "event", last  # who reads gets a chance to leave
            if kind == "event" and value is not None:
                last = value
                yield value
            elif kind == "event":
                continue
            elif kind == "error":
                raise value
            else:
                result: Result = value
                return result
    finally:
        is_closed.set()
        if not may_go_on:
            thread.join()
