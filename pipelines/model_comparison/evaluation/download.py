"""Fetches a data set of the Hub into the data directory, several files at a time.

What is whole stays; what is not is fetched again. Progress is told at each piece that comes,
and whoever is told may raise, which ends the download. It stands in the same directory, and
falls under the same budget, as the models of the Hub.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pipelines.device import mebibytes
from pipelines.errors import Cancelled
from pipelines.events import Progress
from pipelines.hub.disk import make_room
from pipelines.hub.download import check_room
from pipelines.hub.references import Reference
from pipelines.imagefolder import Report
from pipelines.model_comparison.evaluation.repository import Chosen, Listing, data_errors
from pipelines.settings import Settings

_AT_ONCE = 8  # pictures are small, and of each the Hub is asked twice
_STALE_SECONDS = 600


def download(listing: Listing, chosen: Chosen, settings: Settings, report: Report) -> Path:
    """The folder that holds the chosen files, by their paths, once all of them are there.

    Raises:
        InvalidValue: the connection was lost, or access is refused.
        ModelUnavailable: it does not fit the disk.
    """
    folder = repository_folder(listing.where, settings) / "snapshots" / listing.commit
    missing = {n: size for n, size in chosen.files.items() if _size_of(folder / n) != size}
    size = sum(missing.values())
    check_room(listing.where.name, size, settings)
    _prune(listing.where, settings)
    make_room(size, settings, {listing.commit})
    transfer = _Transfer(listing.where.name, size, report)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        fetching = [pool.submit(_fetch, listing, n, settings, transfer) for n in missing]
        try:
            for done in as_completed(fetching):
                done.result()
        except BaseException:
            transfer.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    os.utime(folder)  # it is used now: see ``pipelines.hub.disk``
    return folder


def repository_folder(where: Reference, settings: Settings) -> Path:
    """Where the Hub's client keeps a data set; its name is vetted and holds no step upwards."""
    return settings.data_dir / "hub" / f"datasets--{where.repo.replace('/', '--')}"


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _fetch(listing: Listing, name: str, settings: Settings, transfer: _Transfer) -> None:
    from huggingface_hub import hf_hub_download

    folder = repository_folder(listing.where, settings) / "snapshots" / listing.commit
    with data_errors(listing.where):
        hf_hub_download(
            listing.where.repo,
            name,
            repo_type="dataset",
            revision=listing.commit,
            cache_dir=settings.data_dir / "hub",
            token=listing.token,
            tqdm_class=transfer.bar,
            force_download=(folder / name).exists(),
        )


def _prune(where: Reference, settings: Settings) -> None:
    """Deletes what downloads left behind that were killed with their process."""
    for file in (repository_folder(where, settings) / "blobs").glob("*.incomplete"):
        if time.time() - file.stat().st_mtime > _STALE_SECONDS:
            file.unlink(missing_ok=True)


class _Transfer:
    """Counts the bytes that come in several threads, and tells of them."""

    def __init__(self, name: str, size: int, report: Report) -> None:
        self._name = name
        self._size = size
        self._report = report
        self._began = time.monotonic()
        self._done = 0
        self._has_ended = False
        self._lock = threading.Lock()
        self.bar = self._bar_class()

    def add(self, count: float) -> None:
        """Bytes that came; fewer than none where the client begins a file again."""
        with self._lock:
            if self._has_ended:
                raise Cancelled
            self._done = min(self._size, max(0, self._done + int(count)))
            self._report(self._progress())

    def end(self) -> None:
        """Stops what is still being fetched at its next piece."""
        self._has_ended = True

    def _progress(self) -> Progress:
        seconds = time.monotonic() - self._began
        message = f"Downloading {self._name} · {mebibytes(self._done)} of {mebibytes(self._size)}"
        left = (self._size - self._done) * seconds / self._done if self._done else None
        return Progress(message, self._done / self._size if self._size else 1.0, left)

    def _bar_class(self) -> Any:
        transfer = self

        class Bar:
            """As much of a tqdm bar as the Hub's client asks for; it is never drawn."""

            def __init__(self, *_: Any, total: int | None = None, **__: Any) -> None:
                self.total = total

            def update(self, n: float = 1) -> None:
                transfer.add(n)

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *exception: object) -> None:
                pass

        return Bar
