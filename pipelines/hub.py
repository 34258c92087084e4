"""Turns a model reference into a vetted local snapshot. Nothing else does.

A reference is the name of a model that ships with the page, the name of a folder in the
owner's model directory, ``owner/repo``, ``owner/repo@revision`` or a Hub URL. What a
visitor types is matched against names or against the Hub's own grammar; it is never
joined to a path, and no ``from_pretrained`` sees it. Pickled weights and remote code
are refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any, Literal

from pipelines.device import mebibytes
from pipelines.errors import ModelUnavailable, WrongTask, abbreviated
from pipelines.settings import Settings

Task = Literal["write", "paint", "describe"]
Report = Callable[[str], None]

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REFERENCE = re.compile(
    rf"(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,127}}))?"
)
_URL = re.compile(
    rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>{_NAME}/{_NAME})"
    r"(?:/(?:tree|blob)/(?P<revision>[A-Za-z0-9][A-Za-z0-9._-]{0,127})(?:/.*)?)?/?"
)
_LONGEST_HEADER = 100 * 1024**2  # the format's own limit
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_CAPTIONERS = frozenset({"vision-encoder-decoder"})
_PAINTERS = frozenset({"StableDiffusionPipeline", "StableDiffusionXLPipeline"})
_DOES = {"write": "writes text", "paint": "paints pictures", "describe": "describes pictures"}


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint on disk that may be loaded.

    ``commit`` is the Hub's commit, or the hash of the files' contents where there is none.
    ``parameters`` counts the numbers in the weights, whatever their precision.
    """

    reference: str
    path: Path
    commit: str
    task: Task
    weight_bytes: int
    parameters: int


def local_models(settings: Settings) -> dict[str, Path]:
    """Names and folders of what is on this machine: the embedded models, then the owner's."""
    found: dict[str, Path] = {}
    for directory in (settings.models_dir, settings.extra_models_dir):
        if directory is None or not directory.is_dir():
            continue
        for path in sorted(directory.iterdir()):
            if (path / "config.json").is_file() or (path / "model_index.json").is_file():
                found.setdefault(path.name, path)
    return found


def local_names(settings: Settings, task: Task) -> list[str]:
    """The local models of one task, in the order that a picker shows.

    A broken one is not shown; who asks for it by name is told what is wrong with it.
    """
    return [name for name, path in local_models(settings).items() if _shown_task(path) == task]


def _shown_task(path: Path) -> Task | None:
    try:
        return task_of(path)
    except ModelUnavailable:
        return None


def resolve(
    reference: object, task: Task, settings: Settings, report: Report | None = None
) -> Snapshot:
    """The vetted snapshot of a reference, downloaded where it has to be.

    Args:
        reference: what the visitor chose or typed.
        task: what it is wanted for.
        report: gets a line on a download's progress now and then.

    Raises:
        ModelUnavailable: unknown, malformed, unreachable or unsafe.
        WrongTask: the checkpoint does something else.
    """
    if not isinstance(reference, str) or not reference.strip():
        raise ModelUnavailable(
            f"The model is {abbreviated(reference)}; {_what_is_allowed(task, settings)}"
        )
    name = reference.strip()
    path = local_models(settings).get(name)
    if path is not None:
        return _vetted(name, path, _content_hash(path), task)
    repo, revision = parse_reference(name, task, settings)
    if not settings.hub_enabled:
        raise ModelUnavailable(
            f"{name} is on the Hub, and this page was started without it; "
            f"{_what_is_allowed(task, settings)}"
        )
    path, commit = _download(repo, revision, settings, report or (lambda line: None))
    return _vetted(repo, path, commit, task)


def parse_reference(name: str, task: Task, settings: Settings) -> tuple[str, str | None]:
    """``owner/repo`` and the revision, if one is given.

    Raises:
        ModelUnavailable: the text is no reference; the message lists what is.
    """
    match = _URL.fullmatch(name) or _REFERENCE.fullmatch(name)
    if match is None or ".." in name or "--" in match["repo"]:
        raise ModelUnavailable(
            f"There is no model {abbreviated(name)}; {_what_is_allowed(task, settings)}"
        )
    return match["repo"], match["revision"]


def task_of(path: Path) -> Task | None:
    """What the checkpoint in this folder does, read from its configuration."""
    if (path / "model_index.json").is_file():
        pipeline = read_json(path / "model_index.json").get("_class_name")
        return "paint" if str(pipeline) in _PAINTERS else None
    config = read_json(path / "config.json")
    if str(config.get("model_type")) in _CAPTIONERS:
        return "describe"
    match config.get("architectures"):
        case [str(name), *_] if name.endswith(("ForCausalLM", "LMHeadModel")):
            return None if name == "GitForCausalLM" else "write"  # GIT describes pictures
    return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is no such file.

    Raises:
        ModelUnavailable: the file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(
            f"{path.name} of {path.parent.name} is not valid JSON: {error}"
        ) from error
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path.name} of {path.parent.name} holds no JSON object.")
    return value


def _vetted(name: str, path: Path, commit: str, task: Task) -> Snapshot:
    does = task_of(path)
    if does is None:
        raise WrongTask(f"{name} is of no kind that this page knows: it neither {_does_list()}.")
    if does != task:
        raise WrongTask(f"{name} {_DOES[does]}; here a model is needed that {_DOES[task]}.")
    if (path / "adapter_config.json").is_file():
        raise ModelUnavailable(
            f"{name} is an adapter (LoRA), which names a base model to load under it. "
            "Adapters cannot be opened yet; give a whole checkpoint."
        )
    _check_parts(name, path)
    weights = [f for f in path.rglob("*.safetensors") if f.is_file()]
    if not weights:
        raise ModelUnavailable(
            f"{name} has no safetensors weights. Other formats can run code when they are opened "
            "and are not loaded; convert the checkpoint and try again."
        )
    stats = [f.stat() for f in weights]
    parameters = sum(
        _parameters_in(f, stat.st_size, stat.st_mtime_ns)
        for f, stat in zip(weights, stats, strict=True)
    )
    return Snapshot(name, path, commit, task, sum(stat.st_size for stat in stats), parameters)


@lru_cache(maxsize=256)
def _parameters_in(path: Path, _size: int, _modified: int) -> int:
    """How many numbers a safetensors file's header declares; 0 where it cannot be read.

    The format: 8 bytes with the header's length, then the header as JSON
    (https://huggingface.co/docs/safetensors).
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            return 0
        try:
            header = json.loads(file.read(length))
            shapes = [v["shape"] for name, v in header.items() if name != "__metadata__"]
            return sum(prod(shape) for shape in shapes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return 0  # the loader will say what is wrong with the file


def _check_parts(name: str, path: Path) -> None:
    """Refuses a pipeline whose parts come from anywhere but diffusers and transformers.

    diffusers imports whatever module a ``model_index.json`` names.
    """
    for part, source in read_json(path / "model_index.json").items():
        if part.startswith("_") or not isinstance(source, list):
            continue
        library = source[0] if source else None
        if library not in (None, "diffusers", "transformers", *_diffusers_pipelines()):
            raise ModelUnavailable(
                f"{name}: its part {abbreviated(part)} comes from {abbreviated(library)}, which is "
                "code of its own. Only diffusers and transformers are used."
            )


@cache
def _diffusers_pipelines() -> frozenset[str]:
    """The folders of ``diffusers.pipelines``, found without importing it."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "pipelines"
    return frozenset(child.name for child in folder.iterdir() if child.is_dir())


def _does_list() -> str:
    return " nor ".join(_DOES.values())


def _what_is_allowed(task: Task, settings: Settings) -> str:
    names = ", ".join(local_names(settings, task)) or "none"
    hub = (
        ", or a model of the Hub as owner/repo or owner/repo@revision"
        if settings.hub_enabled
        else ""
    )
    return f"choose one that is here ({names}){hub}."


def _content_hash(path: Path) -> str:
    files = sorted(f for f in path.rglob("*") if f.is_file() and f.suffix != ".md")
    stamps = tuple(
        (str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files
    )
    return _hash_files(path, stamps)


@lru_cache(maxsize=64)
def _hash_files(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 over names and contents; read again only when a size or time has changed."""
    digest = hashlib.sha256()
    for name, size, _ in stamps:
        digest.update(f"{name}\0{size}\0".encode())
        digest.update((path / name).read_bytes())
    return digest.hexdigest()[:40]


def _download(
    repo: str, revision: str | None, settings: Settings, report: Report
) -> tuple[Path, str]:
    """The repository's safe files in the data directory, and the commit they belong to."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    report(f"Asking the Hub for {repo}")
    try:
        info = HfApi(token=False).model_info(
            repo, revision=revision, timeout=15, files_metadata=True
        )
        commit = info.sha
        size = _check_size(repo, info.siblings or [], settings)
        report(f"Downloading {repo} · {mebibytes(size)}")
        folder = snapshot_download(
            repo,
            revision=commit,
            cache_dir=settings.data_dir / "hub",
            allow_patterns=_WANTED,
            token=False,
        )
    except GatedRepoError as error:
        raise ModelUnavailable(f"{repo} is gated: its owner has to grant access first.") from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"The Hub has no public model {repo}. Check the spelling."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(
            f"{repo} has no revision {revision}. Give a branch, a tag or a commit of it."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelUnavailable(_unreachable(repo)) from error
    except Exception as error:  # the Hub's client raises its transport's own errors
        if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore"):
            raise ModelUnavailable(_unreachable(repo)) from error
        raise
    return Path(folder), str(commit)


def _check_size(repo: str, files: Sequence[Any], settings: Settings) -> int:
    """The bytes that will be fetched, if they are allowed and fit the disk."""
    wanted = [f for f in files if any(fnmatch(f.rfilename, pattern) for pattern in _WANTED)]
    size = sum(f.size or 0 for f in wanted)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data_dir).free
    allowed = min(settings.limits.download_bytes, int(0.9 * free))
    if size > allowed:
        raise ModelUnavailable(
            f"{repo} has {mebibytes(size)} of files to fetch; {mebibytes(allowed)} are allowed "
            "here. Choose a smaller model."
        )
    return size


def _unreachable(repo: str) -> str:
    return f"The Hub could not be reached for {repo}. The models on this machine work without it."
