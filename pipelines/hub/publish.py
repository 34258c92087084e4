"""Publishes a fine-tune's folder on the Hub, and gives the reference that opens it again.

Only what a page may show leaves this machine: safetensors, a model card, plain files. No
pickle, no link, no path of this machine; and no token but the one that is handed in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.hub import model_cards
from pipelines.hub.model_cards import CARD
from pipelines.hub.references import Reference, parse_reference
from pipelines.hub.remote import is_of_transport

ALLOWED = (".safetensors", ".json", ".jsonl", ".md", ".txt", ".png", ".jinja", ".model")
"""Ends of the files that are uploaded; with any other nothing is."""

_PATH_KEYS = ("_name_or_path", "name_or_path", "base_model_name_or_path")
_LOCAL_PATH = re.compile(r"[/~.\\]|[A-Za-z]:[\\/]")
_LONGEST_TEXT = 16 * 1024**2


class PublishFailed(StudioError):
    """The Hub refused an upload, or could not be reached."""


def publish(
    folder: Path,
    repo: str,
    token: str,
    private: bool = True,
    message: str = "Upload of a fine-tune by Triptych",
) -> str:
    """Uploads a checked folder to ``repo``, which is made if it is not there.

    Args:
        folder: what a fine-tune has left.
        repo: ``owner/name``.
        token: of an account that may write there; never one that lies on this machine.
        private: whether only its owner sees it.

    Returns:
        ``owner/name@commit``, the reference that opens it again.

    Raises:
        InvalidValue: the folder, the name or the token is not fit to publish.
        PublishFailed: the Hub said no, or nothing.
    """
    if not isinstance(repo, str) or parse_reference(repo) != Reference(repo):
        raise InvalidValue(
            f"The repository is {abbreviated(repo)}; give owner/name, such as ada/my-painter."
        )
    if not isinstance(token, str) or not token.strip():
        raise InvalidValue(
            "There is no token to publish with. Make one with write access at "
            "huggingface.co/settings/tokens and give it in HF_TOKEN."
        )
    check_folder(folder)
    return f"{repo}@{_upload(folder, repo, token.strip(), private, message)}"


def check_folder(folder: Path) -> None:
    """Refuses a folder that is not fit to be seen by others.

    Raises:
        InvalidValue: no weights in safetensors, no model card, a link, a pickle or another
            file that has no place there, or a path of this machine.
    """
    if not folder.is_dir():
        raise InvalidValue(f"There is no folder {folder.name!r}. Give what a fine-tune has left.")
    paths = sorted(folder.rglob("*"))
    for path in (folder, *paths):
        if path.is_symlink():
            raise InvalidValue(f"{path.name} is a link. Put the file itself into the folder.")
    files = [path for path in paths if not path.is_dir()]
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.suffix not in ALLOWED or name.startswith("."):
            raise InvalidValue(
                f"{abbreviated(name)} is not published: allowed are {', '.join(ALLOWED)}. Other "
                "formats can run code when they are opened. Take it out of the folder."
            )
    if not any(path.suffix == ".safetensors" for path in files):
        raise InvalidValue("The folder has no safetensors weights. Save the model as safetensors.")
    if not (folder / CARD).is_file() or not model_cards.front_matter(_text(folder / CARD)):
        raise InvalidValue(
            f"The folder has no {CARD} that begins with front matter (---). Add a model card that "
            "names base and licence."
        )
    for path in files:
        _check_paths(path, folder)


def _check_paths(path: Path, folder: Path) -> None:
    """Refuses a text file that names a folder of this machine."""
    if path.suffix not in (".json", ".jsonl", ".md", ".txt"):
        return
    text = _text(path)
    homes = [place for place in (Path.home(), folder.resolve().parent) if len(place.parts) > 1]
    named = next((f"{home}/" for home in homes if f"{home}/" in text), None)
    if path.suffix == ".json":
        named = named or _local_path(_json(path, text))
    if path.name == CARD:
        base = model_cards.entry(text, "base_model")
        if base is not None and _LOCAL_PATH.match(base):
            named = base
    if named is not None:
        raise InvalidValue(
            f"{path.name} names {abbreviated(named)}, a path of this machine that others do "
            "not have. Write the base's reference there, such as owner/repo."
        )


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > _LONGEST_TEXT:
        raise InvalidValue(f"{path.name} has {size:,} bytes; a text has {_LONGEST_TEXT:,} at most.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from error


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path.name} is not valid JSON. Export the model again.") from error


def _local_path(value: Any) -> str | None:
    """The local path that a configuration names as a model's place, if it has one."""
    if not isinstance(value, dict):
        return None
    places = (place for key in _PATH_KEYS if isinstance(place := value.get(key), str))
    return next((place for place in places if _LOCAL_PATH.match(place)), None)


def _upload(folder: Path, repo: str, token: str, private: bool, message: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    try:
        _make(api, repo, private)
        commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    except HfHubHTTPError as error:
        raise PublishFailed(_refused(repo, error)) from error
    except Exception as error:
        if isinstance(error, OSError) or is_of_transport(error):
            raise PublishFailed(
                f"The Hub could not be reached for {repo}. Nothing is lost; try again later."
            ) from error
        raise
    return str(commit.oid)


def _make(api: Any, repo: str, private: bool) -> None:
    """Makes the repository, private or public.

    Raises:
        InvalidValue: it exists and is public, and ``private`` is True.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, private=private)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise
        if private and not api.model_info(repo).private:
            raise InvalidValue(
                f"{repo} is there already and is public, so the upload would be seen by all. "
                "Choose another name, or publish it as public."
            ) from error


def _refused(repo: str, error: Any) -> str:
    status = None if error.response is None else error.response.status_code
    if status == 401:
        return "The Hub does not know the token. Make a new one with write access."
    if status == 403:
        return f"The token may not write to {repo}. Use one with write access to that account."
    return f"The Hub refused {repo} ({error.server_message or status}). Nothing may be complete."
