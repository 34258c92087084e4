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

_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_PLAIN = frozenset(
    """a an the and of two on in with to at by next beside above over top below under left right
    background against small little tiny big large huge""".split()
)


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

    def notes(self, name: str, prompt: str) -> list[str]:
        """A sentence on each unknown word of the prompt called ``name``, three words at most."""
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
            sentences.append(f"This painter has never seen “{word[:40]}” ({name}).{hint}")
        if len(unknown) > 3:
            rest = ", ".join(f"“{word[:40]}”" for word in unknown[3:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            sentences.append(f"Nor these words: {rest}{more}.")
        return sentences
