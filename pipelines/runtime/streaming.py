"""A blocking library call as a generator that can be closed.

The libraries call back; a slice wants to yield. ``stream`` runs the call in another
thread and hands over what it emits. When the iterator is closed, the next ``emit``
raises ``Cancelled`` inside the call, so it ends within one token or one step.

The threads are kept and used again, the last one first, so that runs one after another
share a thread: OpenMP gives each thread that computes workers of its own, and where these
outnumber the cores, they sleep and are woken at every operation, which takes twice as long.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, ClassVar, TypeVar

from pipelines.errors import Cancelled

Emit = Callable[[Any], None]
Result = TypeVar("Result")
_HEARTBEAT_SECONDS = 0.25


class _Worker(threading.Thread):
    """A thread that makes one call after another and lies idle between them."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._calls: queue.SimpleQueue[Callable[[], Callable[[], None]]] = queue.SimpleQueue()
        self.start()

    @classmethod
    def make(cls, call: Callable[[], Callable[[], None]]) -> None:
        """Makes the call in an idle thread, or in a new one where none is idle.

        The function that the call returns is called when the thread is idle again: it reports the
        outcome, and a next call that is made immediately gets the same thread.
        """
        try:
            worker = cls.idle.pop()
        except IndexError:
            worker = cls()
        worker._calls.put(call)

    def run(self) -> None:
        while True:
            call = self._calls.get()
            self.name = "triptych-run"
            report = call()
            del call  # an idle thread holds on to nothing of its last call
            self.name = "triptych-idle"
            self.idle.append(self)
            report()
            del report


def stream(work: Callable[[Emit], Result], may_go_on: bool = False) -> Generator[Any, None, Result]:
    """Yields what ``work`` emits and returns what it returns. To emit None is to ask only whether
    the work has been cancelled.

    Closing the generator waits until the work has stopped, so that what it borrowed is
    free again; work that ``may_go_on`` alone, such as a download, is left to itself, and its
    last event is repeated while it is silent. An exception of the work is raised here.
    """
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    is_closed, has_ended = threading.Event(), threading.Event()

    def emit(event: Any) -> None:
        if is_closed.is_set():
            raise Cancelled
        if event is not None:
            events.put(("event", event))

    def run() -> Callable[[], None]:
        outcome: tuple[str, Any]
        try:
            outcome = "result", work(emit)
        except BaseException as error:
            outcome = "error", error

        def report() -> None:
            events.put(outcome)
            has_ended.set()

        return report

    _Worker.make(run)
    last: Any = None
    try:
        while True:
            try:
                kind, value = events.get(timeout=_HEARTBEAT_SECONDS if may_go_on else None)
            except queue.Empty:
                kind, value = "event", last  # the reader gets a chance to close the generator
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
            has_ended.wait()
