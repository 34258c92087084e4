"""Fetches the chosen files of a repository into the data directory.

What is whole stays; what is not is fetched again from its beginning, for the Hub's client
gives each attempt a file of its own. Progress is told at each chunk, and whoever is told may
raise, which ends the download.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from pipelines.device import mebibytes
from pipelines.errors import ModelUnavailable
from pipelines.events import Progress
from pipelines.hub.disk import make_room, missing_files, repository_folder, snapshot_folder
from pipelines.hub.kept import note
from pipelines.hub.remote import Repository, hub_errors, is_of_transport
from pipelines.hub.selection import Selection
from pipelines.settings import Settings

Report = Callable[[Progress], None]
_STALE_SECONDS = 600


def download(
    source: Repository,
    selection: Selection,
    settings: Settings,
    report: Report,
    in_use: Collection[str] = (),
) -> Path:
    """The folder that holds the selected files, once all of them are there.

    Raises:
        ModelUnavailable: too large for the limits or the disk, or the connection was lost.
    """
    missing = missing_files(source, selection, settings)
    size = sum(source.files[name] for name in missing)
    check_room(source.reference, size, settings)
    _prune(source, settings)
    make_room(size, settings, {*in_use, source.commit})
    note(source, settings)
    transfer = _Transfer(source.reference, size, report)
    for name in missing:
        _fetch(source, name, settings, transfer)
    return snapshot_folder(source, settings)


def check_room(name: str, size: int, settings: Settings) -> None:
    """Refuses a download that is not allowed or does not fit the disk.

    Raises:
        ModelUnavailable: with the sizes of both.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data_dir).free
    for allowed, what in (
        (settings.limits.download_bytes, "a download may have"),
        (settings.disk_budget_bytes, "all downloads together may take"),
        (int(0.9 * free), "of this disk are free"),
    ):
        if size > allowed:
            raise ModelUnavailable(
                f"{name} has {mebibytes(size)} of files to fetch; {mebibytes(allowed)} {what}. "
                "Choose a smaller model, or make room."
            )


def _fetch(source: Repository, name: str, settings: Settings, transfer: _Transfer) -> None:
    from huggingface_hub import hf_hub_download

    transfer.begin()
    try:
        with hub_errors(source.where):
            hf_hub_download(
                source.where.repo,
                source.path_of(name),
                revision=source.commit,
                cache_dir=settings.data_dir / "hub",
                token=source.token,
                tqdm_class=transfer.bar,
                force_download=(snapshot_folder(source, settings) / name).exists(),
            )
    except ModelUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, Exception) and (is_of_transport(cause) or type(cause) is OSError):
            raise ModelUnavailable(
                f"The connection to the Hub was lost after {mebibytes(transfer.done)} of "
                f"{mebibytes(transfer.size)} of {source.reference}. Try again: files that are "
                "whole are kept, and only the rest is fetched."
            ) from error
        raise
    transfer.end(source.files[name])


class _Transfer:
    """Counts the bytes of a download and tells of them."""

    def __init__(self, name: str, size: int, report: Report) -> None:
        self._name = name
        self._report = report
        self._began = time.monotonic()
        self._whole = 0
        self._part = 0
        self.size = size
        self.bar = self._bar_class()

    @property
    def done(self) -> int:
        return min(self.size, self._whole + self._part)

    def begin(self) -> None:
        self._part = 0
        self._tell()

    def end(self, size: int) -> None:
        self._whole += size
        self._part = 0
        self._tell()

    def add(self, count: float) -> None:
        """Bytes that came; fewer than none where the client begins a file again."""
        self._part = max(0, self._part + int(count))
        self._tell()

    def _tell(self) -> None:
        seconds = time.monotonic() - self._began
        speed = self.done / seconds if seconds > 0 else 0.0
        message = f"Downloading {self._name} · {mebibytes(self.done)} of {mebibytes(self.size)}"
        if self.done > 0:
            message += f" · {mebibytes(int(speed))}/s"
        left = (self.size - self.done) / speed if speed > 0 else None
        self._report(Progress(message, self.done / self.size if self.size else 1.0, left))

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


def _prune(source: Repository, settings: Settings) -> None:
    """Deletes what downloads left behind that were killed with their process."""
    for file in (repository_folder(source.where.repo, settings) / "blobs").glob("*.incomplete"):
        if time.time() - file.stat().st_mtime > _STALE_SECONDS:
            file.unlink(missing_ok=True)
