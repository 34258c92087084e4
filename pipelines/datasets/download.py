"""Fetches a data set of the Hub into the data directory, several files at a time.

What is whole stays, and opens without the Hub; what is not is fetched again. Progress is
reported for each piece, and the reporter may raise, which ends the download. It stands in
the same directory, and falls under the same budget, as the models of the Hub.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pipelines.datasets.repository import Chosen, Listing, data_errors
from pipelines.events import Report
from pipelines.hub.disk import make_room, missing, repository_folder
from pipelines.hub.download import check_room, prune
from pipelines.hub.offline_index import entry_of, newest_first, record_commit, remark, revision_of
from pipelines.hub.references import Reference
from pipelines.hub.transfer import Transfer
from pipelines.settings import Settings

_AT_ONCE = 8  # pictures are small, and each takes two requests


def download(listing: Listing, chosen: Chosen, settings: Settings, report: Report) -> Path:
    """The folder that holds the chosen files, by their paths, once all of them are there.

    Raises:
        InvalidValue: the connection was lost, or access is refused.
        ModelUnavailable: it does not fit the disk.
    """
    repository = data_folder(listing.where, settings)
    folder = repository / "snapshots" / listing.commit
    needed = missing(folder, chosen.files)
    size = sum(needed.values())
    check_room(listing.where.name, size, settings)
    prune(repository)
    make_room(size, settings, {listing.commit})
    record_commit(repository, listing.where, listing.commit, chosen.files, listing.needs_token)
    transfer = Transfer(listing.where.name, size, report)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        fetching = [pool.submit(_fetch, listing, n, settings, transfer) for n in needed]
        try:
            for done in as_completed(fetching):
                done.result()
        except BaseException:
            transfer.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    os.utime(folder)  # it is used now: see ``pipelines.hub.disk``
    return folder


def offline_listing(where: Reference, settings: Settings) -> Listing | None:
    """A data set at the last commit that is whole on this disk, or None."""
    repository = data_folder(where, settings)
    entry = entry_of(repository, where, settings)
    if entry is None:
        return None
    for commit in newest_first(revision_of(where), entry):
        files = entry["files"][commit]
        if not missing(repository / "snapshots" / commit, files):
            needs_token = entry["needs_token"]
            return Listing(where, commit, files, needs_token, note=remark(where, commit))
    return None


def data_folder(where: Reference, settings: Settings) -> Path:
    """Where the Hub's client keeps a data set."""
    return repository_folder(where.repo, settings, "data set")


def _fetch(listing: Listing, name: str, settings: Settings, transfer: Transfer) -> None:
    from huggingface_hub import hf_hub_download

    folder = data_folder(listing.where, settings) / "snapshots" / listing.commit
    with data_errors(listing.where), transfer.file(name, listing.files[name]) as bar:
        hf_hub_download(
            listing.where.repo,
            name,
            repo_type="dataset",
            revision=listing.commit,
            cache_dir=settings.data_dir / "hub",
            token=listing.token,
            tqdm_class=bar,
            force_download=(folder / name).exists(),
        )
