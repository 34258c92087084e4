"""Counts and reports the bytes of a download of one or several files at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pipelines.device import mebibytes
from pipelines.errors import Cancelled
from pipelines.events import Progress, Report


class Transfer:
    """The files of one download. The report may raise; all its files then end with that error."""

    def __init__(self, name: str, size: int, report: Report) -> None:
        self._name = name
        self._report = report
        self._began = time.monotonic()
        self._whole = 0
        self._parts: dict[str, int] = {}
        self._ended_by: BaseException | None = None
        self._lock = threading.RLock()
        self.size = size

    @property
    def done(self) -> int:
        """The bytes received so far."""
        with self._lock:
            return min(self.size, self._whole + sum(self._parts.values()))

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[Any]:
        """One file: gives the maker of the bar with which the Hub's client counts its bytes."""
        self._add(name, 0)
        yield partial(_Bar, partial(self._add, name))
        with self._lock:
            del self._parts[name]
            self._whole += size
            self._tell()

    def end(self) -> None:
        """Stops what is still being fetched at its next piece."""
        with self._lock:
            self._ended_by = self._ended_by or Cancelled()

    def _add(self, name: str, count: float) -> None:
        """Counts received bytes; below 0 where the client begins a file again."""
        with self._lock:
            self._parts[name] = max(0, self._parts.get(name, 0) + int(count))
            self._tell()

    def _tell(self) -> None:
        if self._ended_by is not None:
            raise self._ended_by
        try:
            self._report(self._progress())
        except BaseException as error:
            self._ended_by = error
            raise

    def _progress(self) -> Progress:
        done, seconds = self.done, time.monotonic() - self._began
        speed = done / seconds if seconds > 0 else 0.0
        message = f"Downloading {self._name} · {mebibytes(done)} of {mebibytes(self.size)}"
        if done > 0:
            message += f" · {mebibytes(int(speed))}/s"
        left = (self.size - done) / speed if speed > 0 else None
        return Progress(message, done / self.size if self.size else 1.0, left)


class _Bar:
    """The part of a tqdm bar that the Hub's client uses; it is never drawn."""

    def __init__(self, add: Callable[[float], None], *_: Any, **options: Any) -> None:
        self.update = add
        self.total = options.get("total")

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
