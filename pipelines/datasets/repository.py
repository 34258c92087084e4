"""A data set of the Hub, by its list of files: what of it is to be fetched, and what is refused.

A reference is ``owner/name``, where wanted with a folder or file of it and ``@revision``, or
its address on the Hub. Pictures with a list of their texts are fetched, or one file of texts;
nothing of a repository is ever run, and no request carries a token that nobody gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from pipelines.datasets.samples import (
    JSON_LINES,
    MOST_SAMPLES,
    check_text_size,
)
from pipelines.device import mebibytes
from pipelines.errors import InvalidValue, ModelUnavailable
from pipelines.files.images import ENDINGS
from pipelines.files.metadata import LISTS, named
from pipelines.hub import parse_reference
from pipelines.hub.references import Reference
from pipelines.hub.remote import TIMEOUT_SECONDS, OutOfReach, hub_errors, token_for
from pipelines.settings import Limits, Settings

_ON_THE_HUB = re.compile(r"(?P<host>https?://(?:www\.)?(?:huggingface\.co|hf\.co)/)?datasets/")
_TEXTS = (".txt", JSON_LINES)
_NO_TEXTS = frozenset({"licence", "license", "notice", "readme", "requirements"})
ALLOWED = (
    "Give one in imagefolder form (pictures, and beside them a metadata.jsonl or metadata.csv with "
    "file_name and text), or one of texts (a .txt file, or a .jsonl file with a text in each line)."
)


class DataOutOfReach(InvalidValue):
    """The Hub gives no answer on a data set, or none but that it cannot answer now."""


@dataclass(frozen=True)
class Listing:
    """One commit of a repository of data: its files by path, with their sizes in bytes.

    ``note`` is a remark for the visitor on how it came to be this one.
    """

    where: Reference
    commit: str
    files: Mapping[str, int]
    needs_token: bool = False
    token: str | Literal[False] = field(default=False, repr=False)
    note: str = ""

    @property
    def name(self) -> str:
        """What finds it again: ``owner/name@commit``."""
        return f"{self.where.name}@{self.commit}"


@dataclass(frozen=True)
class Chosen:
    """What of a repository is the data set: the files of a folder, or one file of texts."""

    top: str
    files: Mapping[str, int]
    has_pictures: bool

    @property
    def size(self) -> int:
        return sum(self.files.values())


def parse_data_reference(text: str) -> Reference | None:
    """What a text names, or None where it is none; ``folder`` may be a file of texts, too."""
    match = _ON_THE_HUB.match(text)
    if match is None:
        return None if "://" in text else parse_reference(text)
    rest = text[match.end() :]
    if match["host"] is None:
        return parse_reference(rest)
    return parse_reference(match["host"] + rest.replace("/blob/", "/tree/", 1))


def look_up(where: Reference, settings: Settings) -> Listing:
    """What the Hub tells of a repository of data: one request, and nothing is fetched.

    Raises:
        DataOutOfReach: there is no Hub.
        InvalidValue: there is no such data set or revision, or it is gated.
    """
    from huggingface_hub import HfApi

    token = token_for(settings)
    with data_errors(where):
        info = HfApi(token=token).dataset_info(
            where.repo, revision=where.revision, timeout=TIMEOUT_SECONDS, files_metadata=True
        )
    if info.gated and token is False:
        raise InvalidValue(_gated(where.repo))
    files = {
        file.rfilename: int(file.size or 0)
        for file in info.siblings or []
        if ".." not in PurePosixPath(file.rfilename).parts
    }
    return Listing(where, str(info.sha), files, bool(info.gated or info.private), token)


def choose(listing: Listing) -> Chosen:
    """The one data set in what a reference names.

    Raises:
        InvalidValue: there is none, or there are several.
    """
    where, files = listing.where, listing.files
    inside = files
    if where.folder:
        begin = f"{where.folder}/"
        inside = {n: s for n, s in files.items() if n == where.folder or n.startswith(begin)}
    if not inside:
        missing = f"has no folder or file {where.folder}" if where.folder else "is empty"
        raise InvalidValue(f"{where.repo} {missing}. Check the spelling.")
    if where.folder in inside and _is_texts(where.folder):
        return Chosen(where.folder, {where.folder: inside[where.folder]}, False)
    tops = sorted({_folder_of(name) for name in inside if PurePosixPath(name).name in LISTS})
    if where.folder in tops:
        tops = [where.folder]
    if len(tops) == 1:
        return _pictures(listing, tops[0])
    texts = [name for name in sorted(inside) if not tops and _is_texts(name)]
    if len(texts) == 1:
        return Chosen(texts[0], {texts[0]: inside[texts[0]]}, False)
    several = tops or texts
    if several:
        raise InvalidValue(
            f"{where.name} has {len(several)} sets of data: {named(tuple(several))}. Name one of "
            f"them, as in {where.repo}/{several[0]}."
        )
    endings = sorted({PurePosixPath(name).suffix or "other" for name in inside})
    raise InvalidValue(
        f"{where.name} has {named(tuple(endings))} files, which are not read here; its own code is "
        f"not run either. {ALLOWED}"
    )


def _pictures(listing: Listing, top: str) -> Chosen:
    begin = f"{top}/" if top else ""
    files = {
        name: size
        for name, size in listing.files.items()
        if name.startswith(begin)
        and (name.removeprefix(begin) in LISTS or PurePosixPath(name).suffix.lower() in ENDINGS)
    }
    return Chosen(top, files, True)


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _is_texts(name: str) -> bool:
    path = PurePosixPath(name)
    is_other = path.name in LISTS or path.stem.lower() in _NO_TEXTS or path.name.startswith(".")
    return path.suffix.lower() in _TEXTS and not is_other


def check_size(listing: Listing, chosen: Chosen, limits: Limits) -> None:
    """Refuses a data set by its list of files, before one of them is fetched.

    Raises:
        InvalidValue: too many files, or too many bytes.
    """
    name, count = listing.where.name, len(chosen.files)
    if count > MOST_SAMPLES + len(LISTS):
        raise InvalidValue(
            f"{name} has {count:,} pictures; at most {MOST_SAMPLES:,} are allowed. Name a folder "
            "of it that has fewer."
        )
    if chosen.size > limits.data_bytes:
        raise InvalidValue(
            f"{name} has {mebibytes(chosen.size)}; a data set may have at most "
            f"{mebibytes(limits.data_bytes)}. Name a folder of it that has less, or another one."
        )
    if not chosen.has_pictures:
        check_text_size(chosen.size)


@contextmanager
def data_errors(where: Reference) -> Iterator[None]:
    """Turns the errors of the Hub's client into ours, in words for a data set.

    Raises:
        DataOutOfReach: there was no answer.
        InvalidValue: saying which of the other things that can go wrong has.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        with hub_errors(where):
            yield
    except OutOfReach as error:
        raise DataOutOfReach(
            f"The Hub could not be reached for {where.name}. Check the connection and try again: "
            "files that are whole are kept, and only the rest is fetched."
        ) from error
    except ModelUnavailable as error:
        text = str(error)
        if isinstance(error.__cause__, GatedRepoError):
            text = _gated(where.repo)
        elif isinstance(error.__cause__, RepositoryNotFoundError):
            text = (
                f"The Hub has no public data set {where.repo}. Check the spelling; a private one "
                "can be opened by its owner alone, on a machine where they are logged in."
            )
        raise InvalidValue(text) from error


def _gated(repo: str) -> str:
    return (
        f"{repo} is gated: its owner has to grant access first. Ask for it on "
        f"https://huggingface.co/datasets/{repo}, or choose another data set."
    )
