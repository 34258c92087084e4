"""Steps and guidance of one checkpoint: from its card, its configuration and its name.

What is said nearer to the checkpoint counts: the example of its card, then its configuration,
then whole words of its name, then what is usual for its class (``FAMILIES``). The name of a LoRA
that makes fewer steps enough counts before all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.errors import ModelUnavailable
from pipelines.hub import read_json
from pipelines.hub.adapters import is_adapter, named_base
from pipelines.hub.model_cards import CARD
from pipelines.hub.offline import models_here
from pipelines.hub.references import Part, parse_composition
from pipelines.hub.sources import Folder
from pipelines.settings import Settings
from pipelines.text_to_image.families import FAMILIES, SMALL_WORLD, Family, counted_steps

_LONGEST_CARD = 256 * 1024
_MOST_STEPS, _MOST_GUIDANCE = 150, 30.0


@dataclass(frozen=True)
class _Named:
    """What words of a name say: models of this kind were distilled to so few steps.

    ``words`` is a regular expression for the name's words in lower case, one blank between them;
    ``kind`` the only pipeline class that it is true of, None for any.
    """

    words: str
    steps: int
    guidance_scale: float
    kind: str | None = None


_NAMED = (
    _Named("turbo", 9, 0.0, kind="ZImagePipeline"),
    _Named("turbo", 4, 0.0),
    _Named("lightning", 4, 0.0),
    _Named("schnell", 4, 0.0),
    _Named("lcm", 4, 1.0),
    _Named("tcd", 4, 0.0),
    _Named("dmd2?", 4, 0.0),
    _Named(r"hyper (?=sd|flux|xl|\d+ ?steps?)", 8, 0.0),
)
"""From the models' cards; the first that fits counts. "Hyper" alone is a word of taste."""
_COUNTED = re.compile(r"\b(\d{1,2}) ?steps?\b")
_DENIED = r"(?<!\bnon )(?<!\bnot )(?<!\bno )"


@dataclass(frozen=True)
class _Said:
    """Steps and guidance, None where nothing is said of them, and where it is said."""

    steps: int | None
    guidance_scale: float | None
    why: str
    changes: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Choice:
    """What a picker's choice names: its base, the base's folder where it is on this disk, and
    its LoRAs, each with its weight."""

    base: str
    folder: Path | None
    loras: tuple[tuple[str, float], ...] = ()


def on_disk(settings: Settings, model: object) -> Choice:
    """Of a LoRA alone the base is the one that its files name."""
    here = models_here(settings)
    text = model.strip() if isinstance(model, str) else ""
    try:
        parts = [Part(text)] if text in here else parse_composition(text)
        first, *rest = parts
        path = here.get(first.text)
        lora = Folder(first.text, path) if path is not None else None
        if lora is not None and is_adapter(lora):
            first, rest = Part(named_base(lora) or ""), parts
    except ModelUnavailable:  # half typed, or broken: opening it says what is wrong
        return Choice("", None)
    loras = tuple((part.text, 1.0 if part.weight is None else part.weight) for part in rest)
    return Choice(first.text, here.get(first.text), loras)


def own_family(folder: Path, kind: str, reference: str) -> Family:
    """The family of a checkpoint, with its own steps and guidance, and why it has these.

    Args:
        kind: the name of its diffusers class.
        reference: the name under which it was opened.

    Raises:
        KeyError: a class that is not in ``FAMILIES``.
        ModelUnavailable: a configuration is no JSON object.
    """
    if kind == "StableDiffusionPipeline" and (folder / "world.json").is_file():
        return SMALL_WORLD
    family = FAMILIES[kind]
    names = reference, str(read_json(folder / "model_index.json").get("_name_or_path") or "")
    named = [said for name in names if (said := _said_by_name(name, kind)) is not None]
    few = [*named[:1], *_said_by_configuration(folder, kind)]
    for said in (*few, _said_by_card(folder, family)):
        if said.steps is not None and said in few and said.steps >= FAMILIES[kind].steps:
            continue  # it was distilled already, to guidance of its own
        family = _as_said(family, said)
    return family


def with_loras(family: Family, kind: str, loras: Iterable[tuple[str, float]]) -> Family:
    """The family of a base under LoRAs: one whose name says so makes fewer steps enough.

    Args:
        kind: the name of the base's diffusers class.
        loras: references and weights; a weight of 0 or less distils nothing.
    """
    for reference, weight in loras:
        said = _said_by_name(reference, kind) if weight > 0 and family != SMALL_WORLD else None
        if said is not None and (said.steps or family.steps) < family.steps:
            return _as_said(family, replace(said, why=f"{said.why} ({reference})"))
    return family


def _as_said(family: Family, said: _Said) -> Family:
    family = replace(family, **dict(said.changes))
    if said.steps is not None:
        family = replace(family, steps=said.steps, steps_from=said.why)
    if said.guidance_scale is not None:
        family = replace(family, guidance_scale=said.guidance_scale, guidance_from=said.why)
    return family


def _said_by_name(reference: str, kind: str) -> _Said | None:
    """Only of the repository's or folder's own name, not of its owner's or a revision's."""
    name = re.split(r"[/\\]", reference.partition("@")[0].rstrip("/\\"))[-1]
    words = " ".join(re.findall(r"[a-z0-9]+", name.lower()))
    for row in _NAMED:
        found = re.search(rf"{_DENIED}\b{row.words}\b", words)
        if found and row.kind in (None, kind):
            counted = _COUNTED.search(words)
            steps = int(counted[1]) if counted and int(counted[1]) else row.steps
            said = f"{found[0].strip()}, {counted_steps(steps)}" if counted else found[0].strip()
            return _Said(steps, row.guidance_scale, f"the name says {said}")
    return None


def _said_by_configuration(folder: Path, kind: str) -> Iterator[_Said]:
    index = read_json(folder / "model_index.json")
    scheduler = read_json(folder / "scheduler/scheduler_config.json").get("_class_name")
    family = FAMILIES[kind]
    if kind == "Flux2KleinPipeline" and index.get("is_distilled") is True:
        yield _Said(4, 1.0, "its configuration says is_distilled")
    transformer = read_json(folder / "transformer/config.json")
    if kind == "FluxPipeline" and transformer.get("guidance_embeds") is False:
        why = "its transformer reads no guidance (guidance_embeds)"
        yield _Said(4, 0.0, why, (("guided_by", None),))
    if scheduler in ("LCMScheduler", "TCDScheduler") and family.takes_schedulers:
        embeds = read_json(folder / "unet/config.json").get("time_cond_proj_dim") is not None
        changes = (("takes_schedulers", False),) if scheduler == "LCMScheduler" else ()
        guidance_scale = 8.5 if embeds else 1.0
        yield _Said(4, guidance_scale, f"its scheduler is {scheduler}", changes)


def _said_by_card(folder: Path, family: Family) -> _Said:
    """Numbers in a card's example; where it has several for one setting, none counts."""
    card = folder / CARD
    text = ""
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST_CARD)
    steps = _only_number(text, "num_inference_steps")
    guidance_scale = _only_number(text, family.guided_by) if family.guided_by else None
    is_count = steps is not None and steps == int(steps) and 1 <= steps <= _MOST_STEPS
    is_scale = guidance_scale is not None and guidance_scale <= _MOST_GUIDANCE
    return _Said(
        int(steps) if steps is not None and is_count else None,
        guidance_scale if is_scale else None,
        "the example of its card",
    )


def _only_number(text: str, name: str) -> float | None:
    found = set(map(float, re.findall(rf"\b{name}\s*=\s*(\d{{1,4}}(?:\.\d{{1,4}})?)\b", text)))
    return found.pop() if len(found) == 1 else None
