"""The models in memory: loaded once, unloaded to make room, never unloaded in use.

A user holds a ``Lease``, which counts what the user puts into memory beside the model (adapters)
until it is released. A second lease on a model that is being loaded waits for that load; the load
goes on if all stop waiting. Loads run one after another, under ``libraries.alone``.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines import libraries
from pipelines.device import mebibytes
from pipelines.errors import LoadFailed, OutOfBudget, StudioError

logger = logging.getLogger(__name__)

Loader = Callable[[], Any]
_NOTHING: Mapping[Hashable, int] = {}


@dataclass(frozen=True)
class Resident:
    """One loaded model, as the page lists it; its size is with what its users put beside it."""

    key: str
    size_bytes: int
    load_seconds: float
    users: int


@dataclass
class _Entry:
    key: str
    expected_bytes: int
    is_done: threading.Event = field(default_factory=threading.Event)
    model: Any = None
    error: BaseException | None = None
    model_bytes: int = 0
    beside: dict[Lease, Mapping[Hashable, int]] = field(default_factory=dict)
    load_seconds: float = 0.0
    users: int = 0
    last_used: float = 0.0

    @property
    def size_bytes(self) -> int:
        """With what is beside it; what several users name is there once."""
        parts = {name: size for part in self.beside.values() for name, size in part.items()}
        return self.model_bytes + sum(parts.values())


class Lease:
    """The right to use a model until ``release``; a context manager that releases."""

    def __init__(self, residency: Residency, entry: _Entry, beside: Mapping[Hashable, int]) -> None:
        self._residency = residency
        self._entry = entry
        self._beside = beside
        self._is_released = False

    def wait(self, interval_seconds: float = 0.1) -> Iterator[float]:
        """Yields the seconds waited so far until the model is there, and room beside it.

        Raises:
            StudioError: the load failed, or there is no room for what comes beside it.
        """
        began = time.monotonic()
        while not self._entry.is_done.wait(interval_seconds):
            yield time.monotonic() - began
        error = self._entry.error
        if isinstance(error, StudioError):
            raise type(error)(*error.args) from error
        if error is not None:
            name = self._entry.key.partition("@")[0]
            raise LoadFailed(
                f"{name} could not be loaded ({type(error).__name__}). The files may be damaged "
                "or of a kind that these libraries do not know; the log has the details."
            ) from error
        self._residency._put_beside(self, self._entry, self._beside)

    @property
    def model(self) -> Any:
        """What the loader returned. Only after ``wait`` has ended."""
        assert self._entry.is_done.is_set() and self._entry.error is None
        return self._entry.model

    @property
    def load_seconds(self) -> float:
        return self._entry.load_seconds

    def release(self) -> None:
        """Gives the model back. A second call does nothing."""
        if not self._is_released:
            self._is_released = True
            self._residency._release(self, self._entry)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class Residency:
    """The models of one process, within a memory budget in bytes."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._entries: dict[str, _Entry] = {}
        self._kept: Counter[str] = Counter()
        self._guard = threading.Lock()

    def lease(
        self,
        key: str,
        load: Loader,
        size_of: Callable[[Any], int],
        expected_bytes: int = 0,
        beside: Mapping[Hashable, int] = _NOTHING,
    ) -> Lease:
        """A lease on the model called ``key``; starts to load it if it is not there.

        Args:
            load: makes the model, in a thread of its own; called once for all that ask.
            size_of: the loaded model's memory in bytes.
            expected_bytes: the memory it will take, as far as is known before.
            beside: what this user puts into memory beside it, in bytes, by what others who do
                the same would call it.

        Raises:
            OutOfBudget: it is larger than the whole budget.
        """
        needed_bytes = expected_bytes + sum(beside.values())
        if needed_bytes > self.budget_bytes:
            raise OutOfBudget(
                f"{key.partition('@')[0]} needs about {mebibytes(needed_bytes)} and the memory "
                f"budget is {mebibytes(self.budget_bytes)}. Choose a smaller model, or start "
                "with a larger budget."
            )
        with self._guard:
            entry = self._entries.get(key)
            is_new = entry is None
            if entry is None:
                entry = _Entry(key, expected_bytes)
                self._entries[key] = entry
            entry.users += 1
            entry.last_used = time.monotonic()
        if is_new:
            threading.Thread(
                target=self._load, args=(entry, load, size_of), name="triptych-load", daemon=True
            ).start()
        return Lease(self, entry, beside)

    def residents(self) -> list[Resident]:
        """The loaded models, most recently used first."""
        with self._guard:
            ready = [e for e in self._entries.values() if e.is_done.is_set() and e.error is None]
            ready.sort(key=lambda e: e.last_used, reverse=True)
            return [Resident(e.key, e.size_bytes, e.load_seconds, e.users) for e in ready]

    def commits(self) -> set[str]:
        """The commits that must stay on disk: of models loaded or loading, and in ``keep``."""
        with self._guard:
            return {key.rpartition("@")[2] for key in self._entries} | set(self._kept)

    @contextmanager
    def keep(self, commits: Collection[str]) -> Iterator[None]:
        """These commits stay on disk inside the ``with`` block, though nothing loads them yet."""
        with self._guard:
            self._kept.update(commits)
        try:
            yield
        finally:
            with self._guard:
                self._kept -= Counter(commits)

    def unload(self, key: str) -> bool:
        """Unloads a model that is not in use; True if it was unloaded."""
        with self._guard:
            entry = self._entries.get(key)
            if entry is None or entry.users > 0 or not entry.is_done.is_set():
                return False
            del self._entries[key]
        _free(entry)
        return True

    def _load(self, entry: _Entry, load: Loader, size_of: Callable[[Any], int]) -> None:
        with libraries.alone:
            try:
                self._make_room(entry.expected_bytes, keep=entry)
                began = time.monotonic()
                model = load()
                entry.load_seconds = time.monotonic() - began
                entry.model_bytes = size_of(model)
                entry.model = model
                logger.debug("loaded %s in %.3f s", entry.key, entry.load_seconds)
                self._make_room(entry.model_bytes, keep=entry)
            except BaseException as error:
                if not isinstance(error, StudioError):  # those are answers, not faults
                    logger.exception("loading %s failed", entry.key)
                model = None
                self._forget(entry, error.with_traceback(None))
            finally:
                entry.is_done.set()

    def _forget(self, entry: _Entry, error: BaseException) -> None:
        """Removes a failed load; its error stays for those who wait for it."""
        with self._guard:
            entry.error = error
            self._entries.pop(entry.key, None)
        _free(entry)

    def _make_room(self, needed_bytes: int, keep: _Entry) -> None:
        """Unloads idle models, least recently used first, until so many bytes fit.

        Raises:
            OutOfBudget: the models in use leave too little.
        """
        while True:
            with self._guard:
                others = [e for e in self._entries.values() if e is not keep and e.is_done.is_set()]
                held = sum(e.size_bytes for e in others)
                if held + needed_bytes <= self.budget_bytes:
                    return
                idle = [e for e in others if e.users == 0]
                if not idle:
                    raise OutOfBudget(
                        f"{keep.key.partition('@')[0]} needs {mebibytes(needed_bytes)}; models in "
                        f"use hold {mebibytes(held)} of the {mebibytes(self.budget_bytes)} budget. "
                        "Wait until a run has ended, or start with a larger budget."
                    )
                oldest = min(idle, key=lambda e: e.last_used)
                del self._entries[oldest.key]
            _free(oldest)

    def _put_beside(self, lease: Lease, entry: _Entry, beside: Mapping[Hashable, int]) -> None:
        """Counts what a user puts beside a loaded model, after making room for it.

        Raises:
            OutOfBudget: the models in use leave too little; nothing is counted then.
        """
        if not beside:
            return
        with self._guard:
            entry.beside[lease] = beside
            needed_bytes = entry.size_bytes
        try:
            self._make_room(needed_bytes, keep=entry)
        except OutOfBudget:
            with self._guard:
                del entry.beside[lease]
            raise

    def _release(self, lease: Lease, entry: _Entry) -> None:
        with self._guard:
            entry.beside.pop(lease, None)
            entry.users -= 1
            entry.last_used = time.monotonic()


def _free(entry: _Entry) -> None:
    """Gives a model's memory back to the system, as far as the allocators release it."""
    entry.model = None
    gc.collect()
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
