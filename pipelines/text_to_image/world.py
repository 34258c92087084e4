"""What a painter of a small world knows, and what to say of a prompt that asks for more.

A checkpoint may carry a ``world.json`` with the names of all things it was trained on.
Words outside of it are named to the visitor, with the nearest names inside.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
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


def as_one(name: str) -> str:
    """``an onion``, ``a dog face``; ``cherries``, which are many."""
    return name if name.endswith("s") and not name.endswith("ss") else with_article(name)


def _words(text: str) -> list[str]:
    """Words in lower case and symbols, each once, in order."""
    found = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return [word for word in found if word[0].isalnum() or _is_symbol(word)]


def _is_symbol(word: str) -> bool:
    return len(word) == 1 and unicodedata.category(word) == "So"


@dataclass(frozen=True)
class World:
    """Names by every word or phrase that means them: ``{"dog": "dog face", ...}``."""

    names: tuple[str, ...]
    meanings: dict[str, str]
    colours: tuple[str, ...]

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
            return cls(names, meanings, tuple(str(colour) for colour in value["colours"]))
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
        """Names of things whose words look most like this one, best first; a symbol goes by
        what Unicode calls it."""
        if _is_symbol(word):
            called = unicodedata.name(word, "").lower()
            if called in self.meanings:
                return [self.meanings[called]]
            parts = [part for part in called.split() if part not in _PLAIN]
            near = dict.fromkeys(name for part in parts for name in self.nearest(part))
            return list(near)[:count]
        by_word: dict[str, list[str]] = {}
        for phrase, name in self.meanings.items():
            for part in phrase.split():
                by_word.setdefault(part, []).append(name)
        similar = difflib.get_close_matches(word, by_word, n=count, cutoff=0.6)
        similar += [
            part
            for part in by_word
            if len(word) > 3 and (part in word or word in part) and len(part) > 3
        ]
        found = dict.fromkeys(name for part in similar for name in by_word[part])
        return list(found)[:count]

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
        count = sum(2 if before == "two" else 1 for _, before in mentions)
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
