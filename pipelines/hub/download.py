"""Fetches the chosen files of a repository into the data directory.

What is whole stays; what is not is fetched again from its beginning, for the Hub's client
gives each attempt a file of its own. Progress is told at each chunk, and whoever is told may
raise, which ends the download.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

from pipelines.device import mebibytes
from pipelines.errors import ModelUnavailable
from pipelines.events import Report
from pipelines.hub.disk import make_room, missing_files, repository_folder, snapshot_folder
from pipelines.hub.offline import record
from pipelines.hub.remote import Repository, hub_errors, is_of_transport
from pipelines.hub.selection import Selection
from pipelines.hub.transfer import Transfer
from pipelines.settings import Settings

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
    prune(repository_folder(source.where.repo, settings))
    make_room(size, settings, {*in_use, source.commit})
    record(source, settings)
    transfer = Transfer(source.reference, size, report)
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
                "Choose something smaller, or make room."
            )


def _fetch(source: Repository, name: str, settings: Settings, transfer: Transfer) -> None:
    from huggingface_hub import hf_hub_download

    try:
        with hub_errors(source.where), transfer.file(name, source.files[name]) as bar:
            hf_hub_download(
                source.where.repo,
                source.path_of(name),
                revision=source.commit,
                cache_dir=settings.data_dir / "hub",
                token=source.token,
                tqdm_class=bar,
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


def prune(repository: Path) -> None:
    """Deletes what downloads left behind that were killed with their process."""
    for file in (repository / "blobs").glob("*.incomplete"):
        if time.time() - file.stat().st_mtime > _STALE_SECONDS:
            file.unlink(missing_ok=True)
