"""Tales out of plots: a cast is drawn, wordings are chosen, and what happened stays known.

The idea is that of TinyStories (Eldan and Li, 2023, arXiv:2305.07759): a world so small that
a small model can be coherent in it. Here a grammar writes the tales, so that every question
about one has a known answer. ``plots.txt`` holds the plots and explains their notation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from pipelines.recipes.tales import world
from pipelines.recipes.tales.wordings import choose, every
from pipelines.recipes.tales.world import Character, Place, Thing
from pipelines.small_world import with_article

Entity = Character | Thing | Place
Cast = dict[str, Entity]

_PLOTS = Path(__file__).with_name("plots.txt")
_SLOT = re.compile(r"\{([A-Za-z]+)((?:\.[A-Za-z]+)*)((?: [A-Z])*)\}")

_SOMEBODY = "a [little|young|brave|shy|clever|kind|cheerful|curious|gentle|merry] {X.kind}"
_PHRASES = {
    "begin": (
        "[Once upon a time|Long ago] there [lived|was] SOMEBODY named {X}. "
        "[{X.He} lived {X.lives}.|{X.Possessive} home was {X.home}.||]",
        "There [once was|was once] SOMEBODY [called|named] {X}. [{X.He} lived {X.lives}.||]",
        "{X} was SOMEBODY and lived {X.lives}.",
        "{X} the {X.kind} lived {X.lives}.",
        "{X.Lives} there lived SOMEBODY named {X}.",
    ),
    "sad": (
        "{X} was [very|so] [sad|unhappy].",
        "{X} began to cry.",
        "Tears ran down {X.possessive} face.",
        "{X} did not know what to do.",
    ),
    "happy": (
        "{X} was [very|so] happy.",
        "{X} [laughed|jumped] for joy.",
        "{X} had never been so happy.",
        "How [happy|glad] {X} was!",
    ),
    "end": (
        "[From that day on|From then on], {X} and {Y} were [best|good] friends.",
        "And {X} and {Y} [stayed|remained] friends for ever.",
        "{X} and {Y} [laughed|talked] about it for many years.",
        "That night, {X} and {Y} [slept well|went to bed happy].",
        "",
    ),
    "they": ("{X}, {Y} and {Z}",),
}
"""What many plots say: ``{sad H}`` is one of these with H for X."""

GENERAL_QUESTIONS = (
    (
        "[Who is the tale about?|Who is the hero?|What is the hero called?]",
        "[It is about|The hero is] {H} the {H.kind}.",
    ),
    ("[What kind of creature is {H}?|What is {H}?|Who is {H}?]", "{H} is {H.a}."),
    ("[What kind of creature is {F}?|What is {F}?|Who is {F}?]", "{F} is {F.a}."),
)


@dataclass(frozen=True)
class Plot:
    """One plot as it stands in the file."""

    name: str
    roles: dict[str, str]
    """Each role of the cast with the class that it must be of, or ``""``."""
    lines: tuple[str, ...]
    choices: dict[str, str] = field(default_factory=dict)
    titles: tuple[str, ...] = ()
    questions: tuple[tuple[str, str], ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tale:
    """A tale with what can be asked of it."""

    title: str
    text: str
    cast: Cast
    questions: tuple[tuple[str, str], ...]
    """Questions with their answers."""
    truths: tuple[tuple[str, str], ...]
    """Statements: what is true, and the same with another thing or place, which is false."""
    plot: Plot
    choices: Mapping[str, str]
    """What was chosen for the whole tale, by the names that the plot gives it."""

    def right_answers(self, number: int) -> frozenset[str]:
        """Every wording of the answer to the question of this number, from 0."""
        _, answer = _all_questions(self.plot)[number]
        return self._wordings(answer)

    def right_titles(self) -> frozenset[str]:
        """Every title that the plot has for this cast."""
        titles = (title for template in self.plot.titles for title in self._wordings(template))
        return frozenset(title[0].upper() + title[1:] for title in titles)

    def _wordings(self, template: str) -> frozenset[str]:
        rng = np.random.default_rng(0)  # which nothing draws from: answers and titles are plain
        filled = (fill(each, self.cast, self.choices, rng) for each in every(template))
        return frozenset(map(_tidy, filled))

    @property
    def entities(self) -> frozenset[str]:
        """The words that have to be kept: names, kinds, things and places."""
        return frozenset(name for entity in self.cast.values() for name in names_of(entity))


def names_of(entity: Entity) -> tuple[str, ...]:
    """The words by which a tale calls somebody or something."""
    if isinstance(entity, Character):
        return entity.name, entity.kind.name
    return (entity.name,)


@cache
def plots() -> tuple[Plot, ...]:
    """The plots of the file, in its order.

    Raises:
        ValueError: a plot has no cast, no title or no question.
    """
    text = _PLOTS.read_text(encoding="utf-8")
    return tuple(_parse(part) for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:])


def _parse(text: str) -> Plot:
    name, cast, *rest = text.strip().split("\n")
    roles = {role: wanted for role, _, wanted in (entry.partition(":") for entry in cast.split())}
    lines, choices, titles, questions, statements = [], {}, [], [], []
    for line in rest:
        if line.startswith("# "):
            titles.append(line[2:])
        elif line.startswith("? "):
            question, _, answer = line[2:].rpartition(" | ")
            questions.append((question, answer))
        elif line.startswith("~ "):
            statements.append(line[2:])
        elif match := re.fullmatch(r"(\w+) = (.*)", line):
            choices[match[1]] = match[2]
        else:
            lines.append(line)
    if not (roles and titles and questions):
        raise ValueError(f"the plot {name!r} lacks its cast, a title or a question")
    return Plot(
        name, roles, tuple(lines), choices, tuple(titles), tuple(questions), tuple(statements)
    )


def draw_cast(
    plot: Plot, rng: np.random.Generator, held_out: bool = False, given: Cast | None = None
) -> Cast:
    """A cast for the plot, nobody and nothing twice.

    Args:
        held_out: whether the hero and the first thing are a pair that training never shows.
        given: roles that are settled already, as when somebody asks for a fox and a key.
    """
    while True:
        cast: Cast = dict(given or {})
        for role, wanted in plot.roles.items():
            if role not in cast:
                cast[role] = _draw(role, wanted, cast, rng)
        hero, thing = cast["H"], cast.get("T")
        assert isinstance(hero, Character)
        pair = isinstance(thing, Thing) and world.is_held_out(hero.kind.name, thing.name)
        if pair == held_out or thing is None:
            return {role: cast[role] for role in plot.roles}


def _draw(role: str, wanted: str, cast: Cast, rng: np.random.Generator) -> Entity:
    taken = {name for entity in cast.values() for name in names_of(entity)}
    if role in "HFG":
        choice = [kind for kind in world.kinds() if _fits(kind.classes, wanted)]
        choice = [kind for kind in choice if kind.name not in taken]
        pronoun = str(rng.choice(["he", "she"]))
        kind = choice[int(rng.integers(len(choice)))]
        if kind.name in ("princess", "fairy", "hen", "cow"):
            pronoun = "she"
        if kind.name in ("wizard", "cowboy", "rooster"):
            pronoun = "he"
        while (name := world.pick_name(rng, pronoun)) in taken:
            pass
        return Character(name, kind, pronoun)
    options: Sequence[Thing | Place] = world.places()
    if role in "TUV":
        options = [thing for thing in world.things() if _fits(thing.classes, wanted)]
    options = [option for option in options if option.name not in taken]
    return options[int(rng.integers(len(options)))]


def _fits(classes: frozenset[str], wanted: str) -> bool:
    """Whether these are of all wanted classes, and of none with an exclamation mark."""
    return all(
        part[1:] not in classes if part[0] == "!" else part in classes
        for part in wanted.split(",")
        if part
    )


def tell(plot: Plot, cast: Cast, rng: np.random.Generator) -> Tale:
    """The plot with this cast, in wordings chosen by ``rng``: the same generator state chooses
    the same wordings for another cast."""
    rest = np.random.default_rng(rng.integers(2**63))
    chosen = {name: choose(options, rng) for name, options in plot.choices.items()}

    def write(template: str, generator: np.random.Generator = rng) -> str:
        return fill(choose(template, generator), cast, chosen, generator)

    paragraphs = "\n".join(write(line) for line in plot.lines).strip().split("\n\n")
    text = "\n\n".join(_tidy(paragraph) for paragraph in paragraphs)
    title = _tidy(write(str(rest.choice(plot.titles)), rest))
    title = title[0].upper() + title[1:]
    questions = tuple(
        (_tidy(write(question, rest)), _tidy(write(answer, rest)))
        for question, answer in _all_questions(plot)
    )
    return Tale(title, text, cast, questions, _truths(plot, cast, chosen, rest), plot, chosen)


def _all_questions(plot: Plot) -> tuple[tuple[str, str], ...]:
    """Templates of the plot's own questions and answers, then of those on any tale."""
    general = GENERAL_QUESTIONS if "F" in plot.roles else GENERAL_QUESTIONS[:2]
    return (*plot.questions, *general)


def _truths(
    plot: Plot, cast: Cast, chosen: dict[str, str], rng: np.random.Generator
) -> tuple[tuple[str, str], ...]:
    """Each statement with its false twin, in which a thing or a place is another."""
    pairs = []
    for statement in plot.statements:
        role = [name for name, _, _ in _SLOT.findall(statement) if name in "TUVPQ"][-1]
        other = {**cast, role: _draw(role, plot.roles[role], cast, rng)}
        pairs.append(tuple(_tidy(fill(statement, each, chosen, rng)) for each in (cast, other)))
    return tuple((true, false) for true, false in pairs)


def fill(template: str, cast: Cast, chosen: Mapping[str, str], rng: np.random.Generator) -> str:
    """The template with its slots filled: ``{H.he}``, ``{T.a}``, ``{P.at}``, ``{sad H}``.

    Raises:
        KeyError: a slot that the plot does not have.
    """

    def replace(match: re.Match[str]) -> str:
        name, attributes, roles = match[1], match[2].split(".")[1:], match[3].split()
        if name in _PHRASES:
            renamed = dict(zip("XYZ", (cast[role] for role in roles), strict=False))
            options = _PHRASES[name]
            phrase = options[int(rng.random() * len(options))].replace("SOMEBODY", _SOMEBODY)
            return fill(choose(phrase, rng), renamed, {}, rng)
        if name in chosen:
            return _capitals(chosen[name]) if attributes else chosen[name]
        return _form(cast[name], attributes)

    return _SLOT.sub(replace, template)


_SMALL_WORDS = frozenset("a an the of in on at by under behind".split())
_PRONOUNS = {"he": ("he", "his", "him"), "she": ("she", "her", "her")}


def _form(entity: Entity, attributes: Sequence[str]) -> str:
    """A word for the entity: its name, or the form that the attributes ask for."""
    if not attributes:
        return entity.name
    first, *rest = attributes
    lower = first.lower()
    if lower == "title":
        return _capitals(entity.name.removeprefix("the "))
    if isinstance(entity, Character):
        subject, possessive, objective = _PRONOUNS[entity.pronoun]
        forms = {
            "he": subject,
            "his": possessive,
            "him": objective,
            "possessive": f"{entity.name}'s",
            "kind": entity.kind.name,
            "a": with_article(entity.kind.name),
            "home": entity.kind.home,
            "lives": entity.kind.lives,
            "sound": entity.kind.sound,
        }
    elif isinstance(entity, Thing):
        forms = {"a": with_article(entity.name), "the": f"the {entity.name}"}
    else:
        forms = {"at": entity.at}
    words = forms[lower]
    if rest:
        return _capitals(words)
    return words[0].upper() + words[1:] if first != lower else words


def _capitals(words: str) -> str:
    """As titles are written: ``a Bag of Money``."""
    return " ".join(w if w in _SMALL_WORDS else w[0].upper() + w[1:] for w in words.split())


def _tidy(text: str) -> str:
    """One space between words, and none doubled where an alternative was empty."""
    return " ".join(text.split())


def random_tale(rng: np.random.Generator, held_out: bool = False) -> Tale:
    """Any plot with any cast."""
    plot = plots()[int(rng.integers(len(plots())))]
    if held_out:
        while "T" not in plot.roles:
            plot = plots()[int(rng.integers(len(plots())))]
    return tell(plot, draw_cast(plot, rng, held_out), rng)


def tale_texts(count: int) -> Iterator[str]:
    """The same tales at every call, for a tokenizer to be trained on."""
    rng = np.random.default_rng(5)
    return (random_tale(rng).text for _ in range(count))
