"""Fetches the selected files of a repository into the data directory.

A complete file stays; an incomplete one is fetched again from its beginning, for the Hub's client
gives each attempt a file of its own. Progress is reported at each chunk, and the report may raise,
which ends the download. ``snapshot_download`` is not used: it ends only when all files that it has
queued have ended, and takes the Hub's refusals for a missing connection.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

from pipelines.device import mebibytes
from pipelines.errors import ModelUnavailable
from pipelines.events import Report
from pipelines.hub.disk import make_room, mark_used, missing, repository_folder, snapshot_folder
from pipelines.hub.offline import record
from pipelines.hub.remote import Repository, hub_errors, is_of_transport
from pipelines.hub.selection import select
from pipelines.hub.sources import Folder
from pipelines.hub.transfer import Transfer
from pipelines.settings import Settings

_STALE_SECONDS = 600


def found_on_disk(
    source: Folder | Repository, half: bool, settings: Settings
) -> Folder | Repository:
    """The folder of a repository that is complete on disk, which needs no more of the Hub.

    Args:
        half: whether a copy of the weights in half precision is preferred.
    """
    if isinstance(source, Folder):
        return source
    folder = snapshot_folder(source.where, source.commit, settings)
    if missing(folder, select(source, half).all):
        return source
    record(source, settings)
    return _opened(source, settings)


def fetched(
    source: Folder | Repository,
    half: bool,
    settings: Settings,
    report: Report,
    in_use: Collection[str] = (),
) -> Folder:
    """The folder that holds the selected files, once all of them are there.

    Args:
        half: whether a copy of the weights in half precision is preferred.
        in_use: commits that must stay on disk when room is made.

    Raises:
        ModelUnavailable: too large for the limits or the disk, or the connection was lost.
    """
    if isinstance(source, Folder):
        return source
    folder = snapshot_folder(source.where, source.commit, settings)
    needed = missing(folder, select(source, half).all)
    size = sum(needed.values())
    check_room(source.reference, size, settings)
    prune(repository_folder(source.where.repo, settings))
    make_room(size, settings, {*in_use, source.commit})
    record(source, settings)
    transfer = Transfer(source.reference, size, report)
    for name in needed:
        _fetch(source, name, settings, transfer)
    return _opened(source, settings)


def _opened(source: Repository, settings: Settings) -> Folder:
    mark_used(source.where.repo, source.commit, settings)
    folder = snapshot_folder(source.where, source.commit, settings)
    return Folder(source.reference, folder, source.commit)


def check_room(name: str, size: int, settings: Settings) -> None:
    """Refuses a download that is larger than the limits or the disk allow.

    Args:
        size: in bytes.

    Raises:
        ModelUnavailable: naming the size and the limit.
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
                force_download=(
                    snapshot_folder(source.where, source.commit, settings) / name
                ).exists(),
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
    """Deletes the incomplete files of downloads that were killed with their process."""
    for file in (repository / "blobs").glob("*.incomplete"):
        if time.time() - file.stat().st_mtime > _STALE_SECONDS:
            file.unlink(missing_ok=True)
