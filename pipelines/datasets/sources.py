"""Finds a data set by the one text that names it.

    emoji-scenes                        one that ships with the page
    owner/name                          one of the Hub, also as owner/name/folder@revision, or
    https://huggingface.co/datasets/... its address there
    a file or folder of this machine    from the command line alone

A file is a ZIP of an imagefolder, or texts: ``.txt``, or ``.jsonl`` with a ``text`` in each
line. What a visitor types is never a path.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.datasets.archives import read_archive
from pipelines.datasets.download import data_folder, download, offline_listing
from pipelines.datasets.repository import (
    DataOutOfReach,
    Listing,
    check_size,
    choose,
    look_up,
    parse_data_reference,
)
from pipelines.datasets.samples import (
    EMBEDDED,
    DataSet,
    embedded,
    read_folder,
    read_pictures,
    read_texts,
)
from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress, Report
from pipelines.files.captions import ALLOWED
from pipelines.hub.references import Reference
from pipelines.settings import Settings

HELP = (
    f"{', '.join(EMBEDDED)}; a .txt file of lines or paragraphs, or a .jsonl file with a text in "
    f"each line; a ZIP or a folder of pictures with {ALLOWED}; or a data set of the Hub that "
    "holds texts or a list: owner/name, owner/name/folder@revision or its address"
)
_LONGEST = 2_000


def named(given: object, settings: Settings, report: Report = lambda progress: None) -> DataSet:
    """The data set that a visitor names: an embedded one, or one of the Hub.

    Args:
        report: gets a download's progress; what it raises ends it.

    Raises:
        StudioError: there is none of that name, or it cannot be used here.
    """
    text = given.strip() if isinstance(given, str) and len(given) <= _LONGEST else ""
    if text in EMBEDDED:
        return embedded(text)
    where = parse_data_reference(text)
    if where is None:
        raise InvalidValue(
            f"data is {abbreviated(given)}; choose one of: {', '.join(EMBEDDED)}, or a data set of "
            "the Hub as owner/name or owner/name@revision."
        )
    if not settings.hub_enabled:
        raise InvalidValue(
            f"{where.name} is on the Hub, and this page was started without it; choose one of: "
            f"{', '.join(EMBEDDED)}, or give a file."
        )
    return read_repository(where, settings, report)


def owned(given: str, settings: Settings, report: Report = lambda progress: None) -> DataSet:
    """The data set that the machine's owner names: a file or folder of that name comes first.

    Raises:
        StudioError: there is none of that name, or it cannot be used.
    """
    if given in EMBEDDED or not 0 < len(given.strip()) <= _LONGEST:
        return named(given, settings, report)
    path = Path(given).expanduser() if given.startswith("~/") else Path(given)
    try:
        if path.is_dir():
            return read_folder(path)
        if path.is_file():
            return in_file(path, settings, report)
    except OSError as error:  # such as a name that no disk takes
        raise InvalidValue(
            f"The data set {abbreviated(given)} cannot be opened ({error.strerror})."
        ) from error
    if parse_data_reference(given.strip()) is None:
        raise InvalidValue(f"There is no data set {abbreviated(given)}; give {HELP}.")
    return named(given, settings, report)


def in_file(path: Path, settings: Settings, report: Report = lambda progress: None) -> DataSet:
    """The data set in a file that was uploaded, or that the machine's owner chose.

    Raises:
        InvalidValue: neither texts nor a ZIP of an imagefolder, or it is too large.
    """
    if path.suffix.lower() == ".zip":
        return read_archive(path, path.stem, settings.temporary_dir, settings.limits, report)
    return read_texts(path, path.stem, settings.limits)


def read_repository(where: Reference, settings: Settings, report: Report) -> DataSet:
    """The data set of a reference, fetched where it has to be; called ``owner/name@commit``.

    Without the Hub, the one that was fetched last, with a note that says so.

    Raises:
        InvalidValue: it is not there, gated, too large, or nothing that is read here.
        ModelUnavailable: it does not fit the disk.
    """
    report(Progress(f"Asking the Hub for {where.name}"))
    listing = _listing(where, settings)
    chosen = choose(listing)
    check_size(listing, chosen, settings.limits)
    folder = download(listing, chosen, settings, report)
    if chosen.has_pictures:
        within = data_folder(where, settings)  # a snapshot is links to what was fetched
        data = read_pictures(folder / chosen.top, listing.name, settings.limits, within, report)
    else:
        texts = read_texts(folder / chosen.top, where.name, settings.limits)
        data = replace(texts, name=listing.name)
    return replace(data, notes=(*data.notes, listing.note)) if listing.note else data


def _listing(where: Reference, settings: Settings) -> Listing:
    try:
        return look_up(where, settings)
    except DataOutOfReach:
        listing = offline_listing(where, settings)
        if listing is None:
            raise
        return listing
