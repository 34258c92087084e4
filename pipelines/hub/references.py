"""The grammar of model references: what a visitor may type, and what it is taken for.

    owner/repo            owner/repo/sub/folder     owner/repo/sub@revision
    https://huggingface.co/owner/repo[/tree/revision[/sub] | /blob/revision/sub/file]
    base + adapter:0.8 + other-adapter:-0.5

Text is matched, never joined to a path: what comes out holds no step upwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.errors import ModelUnavailable, abbreviated

MAX_ADAPTERS = 4
MAX_WEIGHT = 2.0
_LONGEST = 2_000

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REVISION = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_FOLDERS = rf"{_NAME}(?:/{_NAME}){{0,7}}"
_REFERENCE = re.compile(
    rf"(?P<repo>{_NAME}/{_NAME})(?:/(?P<folder>{_FOLDERS}))?"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,127}))?"
)
_URL = re.compile(
    rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>{_NAME}/{_NAME})"
    rf"(?:/(?P<kind>tree|blob)/(?P<revision>refs/pr/\d{{1,9}}|{_REVISION})"
    rf"(?:/(?P<folder>{_FOLDERS}))?)?/?(?:\?download=true)?"
)
_NO_MODELS = ("spaces/", "datasets/", "docs/", "papers/", "blog/", "collections/")
_WEIGHT = re.compile(r"-?(?:\d{1,3}(?:\.\d{0,6})?|\.\d{1,6})")


@dataclass(frozen=True)
class Reference:
    """A model of the Hub: its repository, and where in it. ``folder`` is empty for its top."""

    repo: str
    revision: str | None = None
    folder: str = ""

    @property
    def name(self) -> str:
        """The reference without its revision."""
        return f"{self.repo}/{self.folder}" if self.folder else self.repo


@dataclass(frozen=True)
class Part:
    """One model of a composed reference; ``weight`` is None where none was written."""

    text: str
    weight: float | None = None


def parse_reference(text: str) -> Reference | None:
    """What a reference names, or None where the text is none."""
    if len(text) > _LONGEST:
        return None
    match = _URL.fullmatch(text) or _REFERENCE.fullmatch(text)
    if match is None or ".." in text or "--" in match["repo"]:
        return None
    found = match.groupdict()
    folder = found["folder"] or ""
    if found.get("kind") is not None or "://" in text:
        if text.partition("://")[2].partition("/")[2].startswith(_NO_MODELS):
            return None
        if found["kind"] == "blob":
            folder = folder.rpartition("/")[0]
    return Reference(found["repo"], found["revision"], folder)


def parse_composition(text: str) -> list[Part]:
    """The parts of ``base + adapter:weight``, in their order; one for a plain reference.

    Raises:
        ModelUnavailable: a part is empty, a weight is no number in range, or there are
            too many of them.
    """
    if len(text) > _LONGEST:
        return [Part(text)]
    texts = [part.strip() for part in text.split("+")]
    if "" in texts:
        raise ModelUnavailable(
            f"There is no model {abbreviated(text)}: a name is missing beside a +. Write "
            "base + adapter:weight."
        )
    if len(texts) > MAX_ADAPTERS + 1:
        raise ModelUnavailable(
            f"{len(texts) - 1} adapters are given; at most {MAX_ADAPTERS} are allowed."
        )
    return [_part(part, is_alone=len(texts) == 1) for part in texts]


def _part(text: str, is_alone: bool) -> Part:
    head, colon, tail = text.rpartition(":")
    weight = float(tail) if _WEIGHT.fullmatch(tail.strip()) else None
    if not colon or tail.startswith("//") or (is_alone and weight is None):
        return Part(text)
    if weight is None or abs(weight) > MAX_WEIGHT:
        raise ModelUnavailable(
            f"The weight of {abbreviated(head.strip())} is {abbreviated(tail.strip())}; give a "
            f"number from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, as in base + adapter:0.8."
        )
    return Part(head.strip(), weight)


def composed_name(base: str, adapters: list[tuple[str, float]]) -> str:
    """The canonical form of a composition; a weight of 1 is left out."""
    parts = [base]
    for reference, weight in adapters:
        parts.append(reference if weight == 1 else f"{reference}:{weight:.10g}")
    return " + ".join(parts)
