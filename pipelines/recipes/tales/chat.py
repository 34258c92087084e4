"""Conversations of the tales' world: tales to order, questions on them, facts, captions, drills.

Each intent has many wordings (``wordings.txt``), so that a visitor's own is near one of them.
What the world does not have is refused in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from pipelines.recipes.emoji_scenes.data import Item, Scene, plain_caption
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, SIZES, everyday
from pipelines.recipes.tales import facts, grammar, world
from pipelines.recipes.tales.grammar import Cast, Tale
from pipelines.recipes.tales.wordings import choose, say
from pipelines.recipes.tales.world import Character, Thing
from pipelines.small_world import with_article

Turn = tuple[str, str]
"""Who speaks (``system``, ``user`` or ``assistant``) and what."""


@dataclass(frozen=True)
class Conversation:
    """Turns, and the words that are to be kept from one to another."""

    turns: tuple[Turn, ...]
    entities: frozenset[str] = frozenset()
    also_right: frozenset[str] = frozenset()
    """Other wordings in which the last answer would be right."""


Intent = Callable[[np.random.Generator, bool], Conversation]
"""Makes a conversation; the flag asks for a held-out pair of hero and thing."""


def _exchange(question: str, answer: str, entities: Iterable[str] = ()) -> Conversation:
    return Conversation((("user", question), ("assistant", answer)), frozenset(entities))


def _order(tale: Tale, rng: np.random.Generator) -> str:
    """Asks for a tale of this cast by some of its members."""
    hero = tale.cast["H"]
    assert isinstance(hero, Character)
    named = f" [named|called] {hero.name}" if rng.random() < 0.4 else ""
    parts = [f"{with_article(hero.kind.name)}{named}"]
    others = [tale.cast[role] for role in tale.cast if role != "H"]
    for entity in others[: int(rng.integers(0, 3))]:
        if isinstance(entity, Character):
            parts.append(with_article(entity.kind.name))
        elif isinstance(entity, Thing):
            parts.append(with_article(entity.name))
    what = " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return say("order", rng, tale=say("tale", rng), what=choose(what, rng))


def _told(rng: np.random.Generator, held_out: bool) -> tuple[Tale, tuple[Turn, ...]]:
    """A tale, asked for and told."""
    tale = grammar.random_tale(rng, held_out)
    if rng.random() < 0.2 and not held_out:
        question = say("free order", rng, tale=say("tale", rng))
    else:
        question = _order(tale, rng)
    return tale, (("user", question), ("assistant", tale.text))


def tell(rng: np.random.Generator, held_out: bool) -> Conversation:
    """A tale to order."""
    tale, turns = _told(rng, held_out)
    return Conversation(turns, tale.entities)


def go_on(rng: np.random.Generator, held_out: bool) -> Conversation:
    """The beginning of a tale is given; the answer goes on with it."""
    tale = grammar.random_tale(rng, held_out)
    first, *rest = tale.text.split("\n\n")
    sentences = first.split(". ")
    cut = int(rng.integers(1, len(sentences) + 1))
    beginning = ". ".join(sentences[:cut]).rstrip(".") + "."
    remaining = "\n\n".join(part for part in (". ".join(sentences[cut:]), *rest) if part)
    return _exchange(say("go on", rng, beginning=beginning), remaining, tale.entities)


def _questions(tale: Tale, rng: np.random.Generator) -> tuple[list[Turn], frozenset[str]]:
    """One to three questions on the tale with their answers, and now and then its title; and
    every wording in which the last answer is right."""
    turns: list[Turn] = []
    for _ in range(int(rng.integers(1, 4))):
        number = int(rng.integers(len(tale.questions)))
        question, answer = tale.questions[number]
        right = tale.right_answers(number)
        if tale.truths and rng.random() < 0.35:
            true, false = tale.truths[int(rng.integers(len(tale.truths)))]
            stated, word = (true, "Yes") if rng.random() < 0.5 else (false, "No")
            inner = _inside(stated).rstrip(".")
            question = say("true or false", rng, statement=inner)
            question = question[0].upper() + question[1:]
            answer = f"{word}, {_inside(true)}"
            right = frozenset({answer})
        turns += [("user", question), ("assistant", answer)]
    if rng.random() < 0.25:
        turns += [("user", say("title", rng)), ("assistant", tale.title)]
        right = tale.right_titles()
    return turns, right


def _inside(sentence: str) -> str:
    """The sentence as it stands after a comma: its first word keeps a capital only as a name."""
    is_name = sentence.split(" ", 1)[0] not in ("The", "A", "An", "It", "They")
    return sentence if is_name else sentence[0].lower() + sentence[1:]


def ask_about_tale(rng: np.random.Generator, held_out: bool) -> Conversation:
    """Questions on a tale that was told, or that the first question brings along."""
    tale, turns = _told(rng, held_out)
    questions, right = _questions(tale, rng)
    if rng.random() < 0.3:
        (_, question), *rest = questions
        turns = (("user", say("read", rng, text=tale.text) + f"\n\n{question}"),)
        questions = rest
    return Conversation((*turns, *questions), tale.entities, right)


def edit(rng: np.random.Generator, held_out: bool) -> Conversation:
    """The same tale again, in the same wordings, with another hero, thing or name."""
    plot = grammar.plots()[int(rng.integers(len(grammar.plots())))]
    cast, seed = grammar.draw_cast(plot, rng), int(rng.integers(2**63))
    changed, wish = _change(cast, grammar.draw_cast(plot, rng, held_out), rng)
    names = [name for entity in changed.values() for name in grammar.names_of(entity)]
    if changed == cast or len(names) != len(set(names)):
        return edit(rng, held_out)
    tale, again = (
        grammar.tell(plot, each, np.random.default_rng(seed)) for each in (cast, changed)
    )
    turns = (
        ("user", _order(tale, rng)),
        ("assistant", tale.text),
        ("user", wish),
        ("assistant", again.text),
    )
    return Conversation(turns, tale.entities | again.entities)


def _change(cast: Cast, other: Cast, rng: np.random.Generator) -> tuple[Cast, str]:
    """The cast with one member of another, and how one asks for that."""
    hero, new_hero = cast["H"], other["H"]
    assert isinstance(hero, Character)
    assert isinstance(new_hero, Character)
    thing, new_thing = cast.get("T"), other.get("T")
    kind = rng.random()
    if kind < 0.35:
        renamed = replace(hero, name=world.pick_name(rng, hero.pronoun))
        return {**cast, "H": renamed}, say("rename", rng, name=hero.name, new=renamed.name)
    if kind < 0.7 and isinstance(thing, Thing) and isinstance(new_thing, Thing):
        words = {"thing": thing.name, "a_new": with_article(new_thing.name)}
        return {**cast, "T": new_thing}, say("another thing", rng, **words)
    words = {"name": hero.name, "kind": hero.kind.name, "a_kind": with_article(hero.kind.name)}
    wish = say("another hero", rng, **words, a_new=with_article(new_hero.kind.name))
    return {**cast, "H": replace(hero, kind=new_hero.kind)}, wish


def know(rng: np.random.Generator, held_out: bool) -> Conversation:
    """One to three questions about kinds and things of the world."""
    asked = [facts.ask(rng) for _ in range(int(rng.integers(1, 4)))]
    turns = ((("user", question), ("assistant", answer)) for question, answer in asked)
    return Conversation(tuple(turn for pair in turns for turn in pair))


def caption(rng: np.random.Generator, held_out: bool) -> Conversation:
    """A scene that the painter knows: of one or two things that are named, or of any."""
    entries = everyday()
    chosen = [entries[int(i)] for i in rng.choice(len(entries), size=2, replace=False)]
    chosen = chosen[: int(rng.integers(1, 3))]
    sizes = [str(rng.choice(list(SIZES), p=[0.2, 0.6, 0.2])) for _ in chosen]
    if sizes == ["big", "big"]:  # two big ones do not fit into a row
        sizes = ["", ""]
    colour = str(rng.choice(list(COLOURS)))
    items = tuple(Item(emoji, size) for emoji, size in zip(chosen, sizes, strict=True))
    place = "" if len(items) == 1 else str(rng.choice(["left", "above", "beside"]))
    answer = plain_caption(Scene(items, place, colour))
    if rng.random() < 0.35:
        return _exchange(say("anything to paint", rng), answer)
    names = [emoji.names[int(rng.integers(min(2, len(emoji.names))))] for emoji in chosen]
    what = " and ".join(with_article(name) for name in names)
    if rng.random() < 0.5:
        what += f" on {with_article(colour)} background"
        return _exchange(say("paint", rng, what=what), answer, {e.name for e in chosen} | {colour})
    return _exchange(say("paint", rng, what=what), answer, {emoji.name for emoji in chosen})


_TOPICS = ("greeting", "who are you", "help", "thanks", "bye", "feelings", "fun")


def talk(rng: np.random.Generator, held_out: bool) -> Conversation:
    """Greetings, thanks, who the model is and what it can do."""
    topic = str(rng.choice(_TOPICS))
    turns: list[Turn] = [("user", say(topic, rng)), ("assistant", say(f"{topic} answer", rng))]
    offers_a_tale = turns[-1][1].endswith("?")
    if offers_a_tale and rng.random() < 0.3:
        tale = grammar.random_tale(rng)
        turns += [("user", say("yes", rng)), ("assistant", tale.text)]
        return Conversation(tuple(turns), tale.entities)
    return Conversation(tuple(turns))


def introduce(rng: np.random.Generator, held_out: bool) -> Conversation:
    """Somebody says who they are, and asks for it later."""
    name = world.pick_name(rng, str(rng.choice(["he", "she"])))
    turns: list[Turn] = [
        ("user", say("introduce", rng, name=name)),
        ("assistant", say("introduce answer", rng, name=name)),
    ]
    if rng.random() < 0.3:
        fact, answer = facts.ask(rng)
        turns += [("user", fact), ("assistant", answer)]
    if rng.random() < 0.6:
        turns += [("user", say("my name", rng)), ("assistant", f"Your name is {name}.")]
    return Conversation(tuple(turns), frozenset({name}))


def remember(rng: np.random.Generator, held_out: bool) -> Conversation:
    """Who has what, or where it is, out of two to four statements."""
    count = int(rng.integers(2, 5))
    things = [str(t) for t in rng.choice([t.name for t in world.things()], count, replace=False)]
    holders = [world.pick_name(rng, "she") for _ in range(count)]
    spots = [str(p) for p in rng.choice([p.at for p in world.places()], count, replace=False)]
    if len(set(holders)) < count:
        return remember(rng, held_out)
    asked = int(rng.integers(count))
    thing, holder, spot = things[asked], holders[asked], spots[asked]
    if rng.random() < 0.5:
        told = [f"{who} has {with_article(t)}." for who, t in zip(holders, things, strict=True)]
        question, answer = (
            (f"Who has the {thing}?", f"{holder} has the {thing}."),
            (f"What does {holder} have?", f"{holder} has {with_article(thing)}."),
        )[int(rng.integers(2))]
    else:
        told = [f"The {t} is {place}." for t, place in zip(things, spots, strict=True)]
        question, answer = f"Where is the {thing}?", f"The {thing} is {spot}."
    question = say("know this", rng, statements=" ".join(told), question=question)
    names = {*things, *holders, *(spot.partition(" ")[2] for spot in spots)}
    return _exchange(question.strip(), answer, names)


def refuse(rng: np.random.Generator, held_out: bool) -> Conversation:
    """What is not of this world."""
    return _exchange(say("beyond", rng), say("refusal", rng))


def persona(rng: np.random.Generator, held_out: bool) -> Conversation:
    """A system prompt says who the model is; it answers as that one."""
    kinds = world.kinds()
    kind = kinds[int(rng.integers(len(kinds)))]
    name = world.pick_name(rng, str(rng.choice(["he", "she"])))
    a_kind = with_article(kind.name)
    answers = {
        "your name": f"My name is {name}.",
        "who is it": f"I am {name}, {a_kind}.",
        "your home": f"I live {kind.lives}.",
        "your food": f"I eat {kind.eats}.",
        "greeting": f"Hello! I am {name}, {a_kind}.",
    } | ({"your sound": f"I say {kind.sound}."} if kind.sound else {})
    turns: list[Turn] = [("system", say("persona", rng, name=name, a=a_kind))]
    for asked in rng.choice(list(answers), size=int(rng.integers(1, 4)), replace=False):
        turns += [("user", say(str(asked), rng)), ("assistant", answers[str(asked)])]
    return Conversation(tuple(turns), frozenset((name, kind.name)))


def drill(rng: np.random.Generator, held_out: bool) -> Conversation:
    """Copying and nothing else: what a small model has to learn before all else."""
    words = [_drill_word(rng) for _ in range(int(rng.integers(2, 6)))]
    listed, position = ", ".join(words), int(rng.integers(len(words)))
    asked, answer = (
        ("repeat", listed),
        ("repeat", listed),
        ("backwards", ", ".join(reversed(words))),
        ("which", words[position]),
        ("last", words[-1]),
    )[int(rng.integers(5))]
    ordinal = "first second third fourth fifth".split()[position]
    return _exchange(say(asked, rng, words=listed, ordinal=ordinal), f"{answer}.", words)


def _drill_word(rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.4:
        return world.invent_name(rng)
    if draw < 0.6:
        return world.pick_name(rng, str(rng.choice(["he", "she"])))
    words = world.all_kinds() if draw < 0.8 else world.things()
    return words[int(rng.integers(len(words)))].name


INTENTS: dict[str, tuple[Intent, float]] = {
    "tell": (tell, 0.22),
    "go_on": (go_on, 0.12),
    "ask_about_tale": (ask_about_tale, 0.24),
    "edit": (edit, 0.06),
    "know": (know, 0.12),
    "caption": (caption, 0.07),
    "talk": (talk, 0.05),
    "introduce": (introduce, 0.03),
    "remember": (remember, 0.05),
    "refuse": (refuse, 0.04),
    "persona": (persona, 0.05),
}
"""Every kind of conversation with its share; drills have a share of their own."""


def random_conversation(rng: np.random.Generator, held_out: bool = False) -> Conversation:
    """One of any intent."""
    intents, shares = zip(*INTENTS.values(), strict=True)
    chosen: Intent = intents[int(rng.choice(len(intents), p=np.array(shares) / sum(shares)))]
    talk = chosen(rng, held_out)
    typed = tuple(
        (role, as_typed(text, rng) if role == "user" else text) for role, text in talk.turns
    )
    return replace(talk, turns=typed)


def as_typed(text: str, rng: np.random.Generator) -> str:
    """As people type: now and then without a capital at the beginning or a stop at the end."""
    first = text.split(" ", 1)[0]
    if rng.random() < 0.25 and first in _USUAL_BEGINNINGS:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.25 and text[-1] in ".?!" and len(text) < 80:
        text = text[:-1]
    return text


_USUAL_BEGINNINGS = frozenset(
    """Tell Write Please Make Can Could Will I Give A An Do Have Invent Compose Create Another One
    Go Continue What Where Who Which How Is Does Name List Find Think Describe Paint Draw Show
    Hello Hi Hey Good Are Introduce Thanks Thank Bye Goodbye Translate Explain Should Recommend
    Yes Sure Ok Okay Call The Once Sing""".split()
)
"""Words that people write small at the beginning of a line; names they do not."""
