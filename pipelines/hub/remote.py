"""Asks the Hub: what is in a repository, its small files, and its safetensors headers.

Requests carry a token only if the owner wants it and nobody else can reach the page; otherwise
the Hub's client gets ``token=False`` and sends none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from json import JSONDecodeError
from typing import Literal

from pipelines.errors import ModelUnavailable
from pipelines.hub.headers import LONGEST_HEADER, Tensor, damaged, parse_header
from pipelines.hub.references import Reference
from pipelines.settings import Settings

TIMEOUT_SECONDS = 15
_TOO_BUSY = (408, 429)
_FIRST_LOOK = 100_000  # most headers are shorter, so one request does
_LONGEST_FILE = 32 * 1024**2


class OutOfReach(ModelUnavailable):
    """The Hub gives no answer, or answers that it is too busy or broken."""


@dataclass(frozen=True)
class Repository:
    """One commit of a Hub repository, or of a folder in it. ``files`` are those of the folder."""

    where: Reference
    commit: str
    files: Mapping[str, int]
    licence: str | None
    is_gated: bool
    is_private: bool
    token: str | Literal[False] = field(default=False, repr=False)
    _contents: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _headers: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def reference(self) -> str:
        return self.where.name

    def path_of(self, name: str) -> str:
        """A file's path in the repository."""
        return f"{self.where.folder}/{name}" if self.where.folder else name

    def read(self, name: str) -> bytes:
        """A small file's content.

        Raises:
            ModelUnavailable: it cannot be had, or is not small.
        """
        if self.files[name] > _LONGEST_FILE:
            raise ModelUnavailable(f"{name} of {self.reference} is too large to be what it says.")
        if name not in self._contents:
            self._contents[name] = self._get(name, {})
        return self._contents[name]

    def header(self, name: str) -> dict[str, Tensor]:
        """The tensors that a safetensors file declares, from the range of its header alone.

        Raises:
            ModelUnavailable: the header cannot be had, or the file is damaged.
        """
        if name not in self._headers:
            self._headers[name] = self._read_header(name)
        return self._headers[name]

    def _read_header(self, name: str) -> dict[str, Tensor]:
        size, title = self.files[name], f"{name} of {self.reference}"
        start = self._get(name, {"Range": f"bytes=0-{min(_FIRST_LOOK, size) - 1}"})
        length = int.from_bytes(start[:8], "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            raise ModelUnavailable(damaged(title, "its header is longer than the file"))
        if len(start) < 8 + length:
            start += self._get(name, {"Range": f"bytes={len(start)}-{7 + length}"})
        return parse_header(start[8 : 8 + length], title, size)

    def _get(self, name: str, headers: dict[str, str]) -> bytes:
        """A file, or a range of it; reading ends at the requested length, whatever is sent."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            get_session,
            hf_raise_for_status,
        )

        url = hf_hub_url(self.where.repo, self.path_of(name), revision=self.commit)
        headers = {**build_hf_headers(token=self.token), "Accept-Encoding": "identity", **headers}
        content = bytearray()
        first, _, last = headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        with (
            hub_errors(self.where),
            get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response,
        ):
            hf_raise_for_status(response)
            skip = 0 if response.status_code == 206 else int(first)
            wanted = (int(last) + 1 - int(first) if last else self.files[name]) + skip
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) >= wanted:
                    break
        return bytes(content[skip:wanted])


def look_up(where: Reference, settings: Settings) -> Repository:
    """Looks a repository up on the Hub: one request, and no file is fetched.

    Raises:
        OutOfReach: there is no Hub.
        ModelUnavailable: there is no such repository or revision.
    """
    from huggingface_hub import HfApi

    token = token_for(settings)
    with hub_errors(where):
        info = HfApi(token=token).model_info(
            where.repo,
            revision=where.revision,
            timeout=TIMEOUT_SECONDS,
            files_metadata=True,
        )
    begin = f"{where.folder}/" if where.folder else ""
    files = {
        file.rfilename.removeprefix(begin): int(file.size or 0)
        for file in info.siblings or []
        if file.rfilename.startswith(begin) and ".." not in file.rfilename.split("/")
    }
    if not files:
        raise ModelUnavailable(f"{where.repo} has no folder {where.folder} with files in it.")
    card = info.card_data
    licence = card.get("license") if card is not None else None
    return Repository(
        where,
        str(info.sha),
        files,
        licence if isinstance(licence, str) else None,
        bool(info.gated),
        bool(info.private),
        token,
    )


def converted_revision(source: Repository) -> str | None:
    """An open pull request of a repository that has safetensors, as the Hub's converter makes.

    At most three requests; None where there is none, or the Hub does not say.
    """
    from huggingface_hub import HfApi

    api, repo = HfApi(token=source.token), source.where.repo
    try:
        with hub_errors(source.where):
            asked = api.get_repo_discussions(
                repo, discussion_type="pull_request", discussion_status="open"
            )
            titled = (each for each in asked if "safetensors" in each.title.lower())
            for each in islice(titled, 2):
                revision = f"refs/pr/{each.num}"
                info = api.model_info(repo, revision=revision, timeout=TIMEOUT_SECONDS)
                if any(f.rfilename.endswith(".safetensors") for f in info.siblings or []):
                    return revision
    except ModelUnavailable:  # it is asked for a hint alone
        return None
    return None


def token_for(settings: Settings) -> str | Literal[False]:
    """The token saved on this machine, if the owner allows it and nobody else can reach the page.

    False means none to the Hub's client; None would make it look for one.
    """
    if not (settings.use_own_token and settings.is_private):
        return False
    from huggingface_hub import get_token

    return get_token() or False


@contextmanager
def hub_errors(where: Reference) -> Iterator[None]:
    """Turns the Hub client's errors into ours.

    Raises:
        OutOfReach: there was no answer; HF_HUB_OFFLINE is no answer.
        ModelUnavailable: any other refusal, with its reason.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo = where.repo
    try:
        yield
    except GatedRepoError as error:
        raise ModelUnavailable(gated(repo)) from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"The Hub has no public model {repo}. Check the spelling; a private one can be opened "
            "by its owner alone, on a machine where they are logged in."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(
            f"{repo} has no revision {where.revision}. Give a branch, a tag or a commit of it."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status in _TOO_BUSY:
            raise OutOfReach(_unreachable(repo)) from error
        raise ModelUnavailable(
            f"The Hub does not give {repo} (it answered {status}). Choose another model."
        ) from error
    except HFValidationError as error:
        raise ModelUnavailable(
            f"{repo} is no name that a model of the Hub can have. Check the spelling."
        ) from error
    except (OSError, JSONDecodeError) as error:  # other pages answer where a network asks to log in
        raise OutOfReach(_unreachable(repo)) from error
    except Exception as error:
        if is_of_transport(error):
            raise OutOfReach(_unreachable(repo)) from error
        raise


def is_of_transport(error: Exception) -> bool:
    """The Hub's client raises its transport's own errors, and has changed its transport twice."""
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2")


def gated(repo: str) -> str:
    """The message on a repository whose owner has to grant access."""
    return (
        f"{repo} is gated: its owner has to grant access first. Ask for it on "
        f"https://huggingface.co/{repo}, or choose another model."
    )


def _unreachable(repo: str) -> str:
    return (
        f"The Hub could not be reached for {repo}. Check the connection and try again; the models "
        "on this machine work without it."
    )
