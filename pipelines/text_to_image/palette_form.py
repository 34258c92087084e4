"""What a painter of a small world knows: things to click that build the prompt, and a line that
says while one types which words it has never seen."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any, NamedTuple

import gradio as gr

from pipelines.hub import read_json
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.text_to_image.own_settings import on_disk
from pipelines.text_to_image.world import World, as_one

_BACKGROUND = re.compile(r"\s+(?:on|against) (?:an? )?\w+ background\s*$")
_USUAL_BACKGROUND = " on a white background"
_ASTRONOMICAL = frozenset({"sun", "earth"})
"""Unicode gives these names to ☉ and ♁, which are no emoji."""
_LONGEST_PROMPT = 300
"""Characters that are looked at while one types; a longer prompt is no scene of a small world."""


class Palette(NamedTuple):
    """The panel, what stands in it, and the line under the prompt."""

    panel: gr.Accordion
    things: gr.Dataset
    hint: gr.Markdown


def world_of(settings: Settings, model: object) -> World | None:
    """The world of a model on this disk, or of the one under its adapters; None without one."""
    folder = on_disk(settings, model).folder
    known = {} if folder is None else read_json(folder / "world.json")
    return World.from_json(known) if known else None


def build_hint() -> gr.Markdown:
    """The line under the prompt."""
    return gr.Markdown(visible=False, elem_classes="facts", elem_id="paint-hint")


def build(hint: gr.Markdown, world: World | None) -> Palette:
    """Adds the closed panel with the things of a world."""
    with gr.Accordion(
        "What it can paint", open=False, visible=world is not None, elem_id="paint-palette"
    ) as panel:
        gr.Markdown("A click puts a thing into the prompt; the second stands next to the first.")
        things = gr.Dataset(
            components=[gr.Textbox(visible=False)], samples=_samples(world), type="index",
            samples_per_page=len(_samples(world)) or 1, label="Things", show_label=False,
            elem_id="paint-things",
        )  # fmt: skip
    return Palette(panel, things, hint)


def wire(settings: Settings, palette: Palette, model: gr.Dropdown, prompt: gr.Textbox) -> None:
    """Clicks build the prompt; typing and another model change the line under it."""

    @ui.shows_errors
    def add(chosen: int, model: object, prompt: object) -> str:
        world = world_of(settings, model)
        text = prompt if isinstance(prompt, str) else ""
        return text if world is None else with_thing(world, text, world.names[chosen])

    @ui.shows_errors
    def look(model: object, prompt: object) -> Any:
        said = hint_on(world_of(settings, model), prompt)
        return gr.update(value=said, visible=bool(said))

    @ui.shows_errors
    def show(model: object) -> tuple[Any, Any]:
        world = world_of(settings, model)
        samples = _samples(world)
        return gr.update(visible=world is not None), gr.Dataset(
            samples=samples, samples_per_page=len(samples) or 1
        )

    quiet = {**ui.PRIVATE, "show_progress": "hidden", "trigger_mode": "always_last"}
    palette.things.click(add, [palette.things, model, prompt], [prompt], **ui.PRIVATE)
    gr.on([prompt.change, model.change], look, [model, prompt], [palette.hint], **quiet)
    model.change(show, [model], [palette.panel, palette.things], **ui.PRIVATE)


def hint_on(world: World | None, prompt: object) -> str:
    """What to know of a prompt before it is painted; empty where there is nothing to say.

    It is Markdown, in which a visitor's words mean nothing but themselves.
    """
    if world is None or not isinstance(prompt, str) or len(prompt) > _LONGEST_PROMPT:
        return ""
    words = world.unknown_words(world.read(prompt))[:3]
    said = []
    for word in words:
        near = world.nearest(word)
        if near:
            said.append(
                f"This painter has never seen “{_plain(word)}”; near it: {', '.join(near)}."
            )
    return " ".join([*said, *map(_plain, world.beyond(world.read(prompt)))])


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()#+!<>|~$&-])", r"\\\1", text[:200])


def with_thing(world: World, prompt: str, name: str) -> str:
    """The prompt with one thing more: behind the first, or anew where two stand there already."""
    found = _BACKGROUND.search(prompt)
    background = found[0] if found else _USUAL_BACKGROUND
    things = prompt[: found.start()] if found else prompt
    if len(world.mentions(things)) == 1:
        return f"{things.strip()} next to {as_one(name)}{background}"
    return f"{as_one(name)}{background}"


def _samples(world: World | None) -> list[list[str]]:
    return [] if world is None else [[f"{symbol} {name}".strip()] for name, symbol in _drawn(world)]


def _drawn(world: World) -> list[tuple[str, str]]:
    """Each name with the emoji that Unicode calls by the longest of its names, if any: ``fish``
    is also called ``tropical fish``, which is the one that is meant."""
    called: dict[str, list[str]] = {name: [] for name in world.names}
    for phrase, name in world.meanings.items():
        if not phrase.endswith("s") or phrase[:-1] not in world.meanings:  # no plural
            called.setdefault(name, []).append(phrase)
    longest_first = {
        name: sorted(phrases, key=len, reverse=True) for name, phrases in called.items()
    }
    return [
        (name, next(filter(None, map(_symbol, longest_first[name])), "")) for name in world.names
    ]


def _symbol(phrase: str) -> str:
    return "" if phrase in _ASTRONOMICAL else _symbols().get(phrase, "")


@cache
def _symbols() -> dict[str, str]:
    """The symbols that may be emoji, by their Unicode names in words: ``jack o lantern``."""
    characters = map(chr, (*range(0x2190, 0x2C00), *range(0x1F000, 0x1FC00)))
    named = ((unicodedata.name(each, ""), each) for each in characters)
    return {name.lower().replace("-", " "): each for name, each in named if name}
