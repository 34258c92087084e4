"""What a painter of a small world knows, and what to say of a prompt that asks for more.

A checkpoint may carry a ``world.json`` with the names of all things it was trained on.
Words outside of it are named to the visitor, with the nearest names inside: first by meaning,
for which ``world.json`` may list further words of each thing, then by spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import LoadFailed
from pipelines.small_world import with_article

_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_PLAIN = frozenset(
    """a an the and of two on in with to at by next beside above over top below under left right
    background against small little tiny big large huge""".split()
)


_RUN_OF_SYMBOLS = re.compile(r"(?:[^\w\s.,:;!?'\"()“”‘’–—-]\ufe0f?\s*)+")
_BEFORE_A_NAME = frozenset("a an the two small little tiny big large huge".split())
_OUTLINES = frozenset({"black", "white"})
"""In names of Unicode they say how a sign is drawn."""
_LONGEST = 8
"""Words in a name, at most."""
_NUMBERS = "two three four five six seven eight nine ten".split()
_COUNTS = {word: count for count, word in enumerate(_NUMBERS, start=2)}


def as_one(name: str) -> str:
    """``an onion``, ``a dog face``; ``cherries``, which are many."""
    return name if name.endswith("s") and not name.endswith("ss") else with_article(name)


def _words(text: str) -> list[str]:
    """Words in lower case and symbols, each once, in order."""
    found = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return [word for word in found if word[0].isalnum() or _is_symbol(word)]


def _is_symbol(word: str) -> bool:
    return len(word) == 1 and unicodedata.category(word) == "So"


def _one_of(word: str) -> Iterator[str]:
    """The word, then what it may be the plural of."""
    yield word
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending):
            yield word.removesuffix(ending) + instead


_TWICE = re.compile(r"(.)\1")


def _is_slip(word: str, known: str) -> bool:
    """Whether a word was meant for this known one: by one slip in five letters, two in eight, or
    by letters struck twice.

    ``appel`` is an apple, ``elefant`` an elephant, ``catt`` a cat; ``tax`` is no taxi, ``that``
    no hat.
    """
    if _TWICE.sub(r"\1", word) == known:
        return True
    shorter, longer = sorted((len(word), len(known)))
    slips = 2 if longer >= 8 else 1 if longer >= 5 else 0
    if longer - shorter > slips or word[0] != known[:1]:
        return False
    return _slips_between(word, known) <= slips


def _slips_between(a: str, b: str) -> int:
    """Letters left out, added or wrong, and neighbours in the other order: the distance of optimal
    string alignment."""
    before, last = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        row = [i]
        for j, other in enumerate(b, start=1):
            fewest = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                fewest = min(fewest, before[j - 2] + 1)
            row.append(fewest)
        before, last = last, row
    return last[-1]


def _by_word(texts: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """The names for each word of the texts beside them, each once, in order."""
    found: dict[str, dict[str, None]] = {}
    for text, name in texts:
        for word in text.split():
            found.setdefault(word, {})[name] = None
    return {word: list(names) for word, names in found.items()}


@dataclass(frozen=True)
class World:
    """Names by every word or phrase that means them: ``{"dog": "dog face", ...}``.

    ``near`` has words that no caption has, and the names that come nearest in meaning, best
    first: ``{"lamb": ["sheep"], ...}``.
    """

    names: tuple[str, ...]
    meanings: dict[str, str]
    colours: tuple[str, ...]
    near: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> World:
        """Reads a checkpoint's ``world.json``.

        Raises:
            LoadFailed: a part is missing or of another kind.
        """
        try:
            names = tuple(str(name) for name in value["names"])
            aliases = {**value["aliases"], **value["plurals"]}
            meanings = {name: name for name in names} | {str(k): str(v) for k, v in aliases.items()}
            near = ((str(w), str(name)) for name, ws in value.get("near", {}).items() for w in ws)
            return cls(names, meanings, tuple(map(str, value["colours"])), _by_word(near))
        except (KeyError, TypeError, AttributeError) as error:
            raise LoadFailed(f"world.json is not as expected: {error!r}.") from error

    def unknown_words(self, prompt: str) -> list[str]:
        """The prompt's words that no caption of this world has, each once, in order.

        An emoji or another symbol is a word, too; signs between words are none.
        """
        known = self._things() | _PLAIN | set(self.colours)
        return [word for word in _words(prompt) if word not in known]

    def _things(self) -> set[str]:
        return {word for phrase in self.meanings for word in phrase.split()}

    def nearest(self, word: str, count: int = 3) -> list[str]:
        """Names of things that mean what this word does or nearly so, else of those whose words
        are spelled like it, best first; a symbol goes by what Unicode calls it."""
        if _is_symbol(word):
            called = unicodedata.name(word, "").lower()
            if called in self.meanings:
                return [self.meanings[called]]
            parts = [part for part in called.split() if part not in _PLAIN]
            near = dict.fromkeys(name for part in parts for name in self.nearest(part))
            return list(near)[:count]
        named = _by_word(iter(self.meanings.items()))
        if word in _COUNTS:
            return []
        for one in _one_of(word):
            if found := self.near.get(one) or named.get(one):
                return found[:count]
        meant = (name for known, name in self.meanings.items() if _is_slip(word, known))
        return list(dict.fromkeys(meant))[:count]

    def read(self, text: str) -> str:
        """The text with known emoji in words, which alone this world's captions have.

        ``🐱🌹 on white`` becomes ``a cat face and a rose on white``.
        """
        return _RUN_OF_SYMBOLS.sub(lambda found: self._in_words(found, text), text)

    def _in_words(self, found: re.Match[str], text: str) -> str:
        symbols = [symbol for symbol in found[0] if _is_symbol(symbol)]
        names = [self._name_of(symbol) for symbol in symbols]
        if not any(names):
            return found[0]
        before = _WORD.findall(text[: found.start()].lower())
        is_begun = bool(before) and before[-1] in _BEFORE_A_NAME
        things = [
            symbol if name is None else name if is_begun and not place else as_one(name)
            for place, (symbol, name) in enumerate(zip(symbols, names, strict=True))
        ]
        return f" {' and '.join(things)} "

    def _name_of(self, symbol: str) -> str | None:
        """By its Unicode name or a part of it: HEAVY BLACK HEART is a heart, GREEN HEART none."""
        words = unicodedata.name(symbol, "").lower().replace("-", " ").split()
        if " ".join(words) not in self.meanings and {*words} & {*self.colours} - _OUTLINES:
            return None
        parts = (
            " ".join(words[start : start + length])
            for length in range(len(words), 0, -1)
            for start in range(len(words) - length + 1)
        )
        return next((self.meanings[part] for part in parts if part in self.meanings), None)

    def known_part(self, text: str) -> str:
        """The text without the words that no caption of this world has."""
        unknown = set(self.unknown_words(text))
        return _WORD.sub(lambda found: "" if found[0].lower() in unknown else found[0], text)

    def mentions(self, text: str) -> list[tuple[str, str]]:
        """Each thing that the text names, in order, with the word before it; longest name first."""
        words = [word.lower() for word in _WORD.findall(text)]
        found = []
        place = 0
        while place < len(words):
            length = next((n for n in range(_LONGEST, 0, -1) if self._is_named(words, place, n)), 0)
            if length:
                name = self.meanings[" ".join(words[place : place + length])]
                found.append((name, words[place - 1] if place else ""))
            place += length or 1
        return found

    def _is_named(self, words: list[str], place: int, length: int) -> bool:
        part = words[place : place + length]
        return len(part) == length and " ".join(part) in self.meanings

    def beyond(self, prompt: str) -> list[str]:
        """A sentence on each thing that the prompt asks for and no scene of this world has."""
        mentions = self.mentions(prompt)
        sentences = []
        count = sum(_COUNTS.get(before, 1) for _, before in mentions)
        if count > 2:
            sentences.append(
                f"This painter was trained on one or two things in a picture; the prompt names "
                f"{count}, and some of them may be missing or mixed."
            )
        for name, before in dict.fromkeys(mentions):
            if before in self.colours:
                sentences.append(
                    f"This painter knows “{name}” in its own colours alone; “{before}” before it "
                    "may colour the background."
                )
        return sentences

    def notes(self, name: str, prompt: str) -> list[str]:
        """A sentence on each emoji that is read as words, on each unknown word of the prompt
        called ``name``, three words at most, and on what no scene has."""
        symbols = [word for word in _words(prompt) if _is_symbol(word) and self._name_of(word)]
        sentences = [f"{word} is read as “{self._name_of(word)}”." for word in symbols[:3]]
        text = self.read(prompt)
        sentences += self._on_unknown(name, text)
        return sentences + (self.beyond(text) if name == "prompt" else [])

    def _on_unknown(self, name: str, prompt: str) -> list[str]:
        unknown = self.unknown_words(prompt)
        if name == "prompt" and not unknown and not self._things() & set(_words(prompt)):
            return [
                "The prompt names no thing, so this painter chooses one. It knows "
                f"{len(self.names)}, such as “{self.names[0]}”."
            ]
        sentences = []
        for word in unknown[:3]:
            near = self.nearest(word)
            hint = f" Nearest that it knows: {', '.join(near)}." if near else ""
            dropped = "" if name == "prompt" else " It is left out."
            sentences.append(f"This painter has never seen “{word[:40]}” ({name}).{dropped}{hint}")
        if len(unknown) > 3:
            rest = ", ".join(f"“{word[:40]}”" for word in unknown[3:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            sentences.append(f"Nor these words: {rest}{more}.")
        return sentences
