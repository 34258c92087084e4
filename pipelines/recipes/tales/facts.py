"""Questions about the world's kinds and things, each with its one right answer.

Yes and no are equally frequent for every question that takes them: a model that always says
yes would otherwise be right most of the time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.recipes.emoji_scenes.data import plural
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS
from pipelines.recipes.tales import world
from pipelines.recipes.tales.wordings import say
from pipelines.recipes.tales.world import Kind
from pipelines.small_world import with_article

Fact = tuple[str, str]
"""A question and its answer."""

NUMBERS = "no one two three four five six seven eight nine ten".split()


def ask(rng: np.random.Generator) -> Fact:
    """A random question about the world."""
    return _FACTS[int(rng.integers(len(_FACTS)))](rng)


def _kind(rng: np.random.Generator, known: str = "name") -> Kind:
    """A kind of which this is known."""
    kinds = [kind for kind in world.all_kinds() if getattr(kind, known) != ""]
    return kinds[int(rng.integers(len(kinds)))]


def _of(kind: Kind) -> dict[str, str]:
    """The kind in the forms that questions need."""
    return {"a": with_article(kind.name), "kind": kind.name, "plural": plural(kind.name)}


def _sentence(name: str, rest: str) -> str:
    words = f"{with_article(name)} {rest}."
    return words[0].upper() + words[1:]


def _sound(rng: np.random.Generator) -> Fact:
    kind = _kind(rng, "sound")
    return say("sound", rng, **_of(kind)), _sentence(kind.name, f"says {kind.sound}")


def _who_says(rng: np.random.Generator) -> Fact:
    sounds = [kind.sound for kind in world.all_kinds()]
    while sounds.count((kind := _kind(rng, "sound")).sound) > 1:
        pass
    return say("who says", rng, sound=kind.sound), _sentence(kind.name, f"says {kind.sound}")


def _home(rng: np.random.Generator) -> Fact:
    kind = _kind(rng)
    return say("home", rng, **_of(kind)), _sentence(kind.name, f"lives {kind.lives}")


def _food(rng: np.random.Generator) -> Fact:
    kind = _kind(rng)
    return say("food", rng, **_of(kind)), _sentence(kind.name, f"eats {kind.eats}")


def _legs(rng: np.random.Generator) -> Fact:
    kind = _kind(rng)
    return say("legs", rng, **_of(kind)), _sentence(kind.name, f"has {NUMBERS[kind.legs]} legs")


def _colour(rng: np.random.Generator) -> Fact:
    kind = _kind(rng, "colour")
    return say("color", rng, **_of(kind)), _sentence(kind.name, f"is {kind.colour}")


def _more_legs(rng: np.random.Generator) -> Fact:
    first = second = _kind(rng)
    while first.legs == second.legs:
        second = _kind(rng)
    more = max(first, second, key=lambda kind: kind.legs)
    names = {"a": with_article(first.name), "b": with_article(second.name)}
    return say("more legs", rng, **names), _sentence(more.name, "has more legs")


def _about(rng: np.random.Generator) -> Fact:
    """All that is known of a kind, in sentences."""
    kind = _kind(rng)
    label = "a person of the tales" if "person" in kind.classes else "an animal"
    article = with_article(kind.name)
    told = [f"{article} is {label}.", f"It lives {kind.lives} and eats {kind.eats}."]
    if kind.sound:
        told.append(f"It says {kind.sound}.")
    answer = " ".join(told)
    return say("about", rng, **_of(kind)), answer[0].upper() + answer[1:]


def _flies(rng: np.random.Generator) -> Fact:
    wanted = rng.random() < 0.5
    while ("flies" in (kind := _kind(rng)).classes) != wanted:
        pass
    answer = f"Yes, {with_article(kind.name)} can fly."
    if not wanted:
        answer = f"No, {with_article(kind.name)} cannot fly."
    return say("flies", rng, **_of(kind)), answer


def _lives_there(rng: np.random.Generator) -> Fact:
    kind = other = _kind(rng)
    if rng.random() < 0.5:
        while other.lives == kind.lives:
            other = _kind(rng)
    word = "Yes" if other is kind else "No"
    question = f"Does {with_article(kind.name)} live {other.lives}?"
    return question, f"{word}, {with_article(kind.name)} lives {kind.lives}."


_LABELS = {
    "an animal": ("animal", "sea"),
    "a bird": ("bird",),
    "something to eat": ("food",),
    "a toy": ("toy",),
    "a tool": ("tool",),
    "something to wear": ("wear",),
}
"""What one may ask whether it is so, and the classes of which one makes it so."""


def _belongs(rng: np.random.Generator) -> Fact:
    label = list(_LABELS)[int(rng.integers(len(_LABELS)))]
    entries = [(kind.name, kind.classes) for kind in world.all_kinds()]
    if label != "a bird":  # of a thing, nobody would ask
        entries += [(thing.name, thing.classes) for thing in world.things()]
    wanted = rng.random() < 0.5
    names = [name for name, of in entries if of.isdisjoint(_LABELS[label]) != wanted]
    subject = with_article(names[int(rng.integers(len(names)))])
    asked = "edible" if label == "something to eat" and rng.random() < 0.5 else "belongs"
    answer = f"Yes, {subject} is {label}." if wanted else f"No, {subject} is not {label}."
    return say(asked, rng, a=subject, label=label), answer


def _list(rng: np.random.Generator) -> Fact:
    kinds, things = world.all_kinds(), world.things()
    pools = {
        "animals": [kind.name for kind in kinds if "person" not in kind.classes],
        "birds": [kind.name for kind in kinds if "bird" in kind.classes],
        "things to eat": [thing.name for thing in things if "food" in thing.classes],
        "toys": [thing.name for thing in things if "toy" in thing.classes],
        "names": [name for names in world.usual_names().values() for name in names],
        "colors": list(COLOURS),
    }
    label = list(pools)[int(rng.integers(len(pools)))]
    count = int(rng.integers(2, 6))
    chosen = [str(name) for name in rng.choice(pools[label], size=count, replace=False)]
    if label not in ("names", "colors"):
        chosen = [with_article(name) for name in chosen]
    answer = f"{', '.join(chosen[:-1])} and {chosen[-1]}."
    question = say("list", rng, word=NUMBERS[count], count=count, label=label)
    return question, answer[0].upper() + answer[1:]


_FACTS: tuple[Callable[[np.random.Generator], Fact], ...] = (
    _sound,
    _sound,
    _who_says,
    _home,
    _home,
    _food,
    _about,
    _about,
    _legs,
    _colour,
    _more_legs,
    _belongs,
    _belongs,
    _belongs,
    _flies,
    _lives_there,
    _list,
)
