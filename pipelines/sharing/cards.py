"""Reads a card of any kind, and runs again what it is of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.arena import card as votes_card
from pipelines.arena.ballot import Ballot, from_lines
from pipelines.arena.log import VoteLog
from pipelines.arena.replay import replay as replay_votes
from pipelines.datasets.samples import DataSet, embedded, read_bounded
from pipelines.datasets.sources import in_file, named
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation import card as evaluation_card
from pipelines.evaluation.replay import Replayed
from pipelines.evaluation.replay import replay as replay_evaluation
from pipelines.evaluation.setup import unread_data
from pipelines.model_comparison import card as comparison_card
from pipelines.model_comparison.replay import replay as replay_comparison
from pipelines.runtime.events import Report
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.replay import read_object

if TYPE_CHECKING:
    from PIL import Image

COMPARISON, EVALUATION, VOTES = comparison_card.KIND, evaluation_card.KIND, votes_card.KIND
_SCHEMAS = {
    COMPARISON: comparison_card.SCHEMA,
    EVALUATION: evaluation_card.SCHEMA,
    VOTES: votes_card.SCHEMA,
}

Card = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """What cards name and do not hold.

    ``data`` gives an evaluation's data set by its name, one that ships with the page where
    nothing else is said; ``picture`` is what a comparison described, and ``votes`` are to take
    the place of those in a card.
    """

    data: Callable[[str], DataSet] = embedded
    picture: Image.Image | None = None
    votes: Sequence[Ballot] | None = None


def read(text: str) -> Card:
    """A card from the text of its file.

    Raises:
        InvalidValue: no card of a comparison, an evaluation or votes, or one of another schema.
    """
    return checked(read_object(text))


def checked(found: Card) -> Card:
    """What was read, if it is a card of a kind and schema that can be run again.

    Raises:
        InvalidValue: it is not.
    """
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in _SCHEMAS:
        raise InvalidValue(
            f"This is no card: its kind is {abbreviated(kind)}, and {', '.join(_SCHEMAS)} can be "
            "read."
        )
    if isinstance(found.get("schema"), bool) or found.get("schema") != _SCHEMAS[kind]:
        raise InvalidValue(
            f"The card has schema {abbreviated(found.get('schema'))}; here {_SCHEMAS[kind]} is "
            "read. Update this program, or make the card again."
        )
    return found


def data_of(old: Card, file: Path | None, settings: Settings, report: Report) -> DataSet:
    """The data set of an evaluation's card: found by its name, or read from a visitor's file.

    Args:
        file: is read only where the card's data set was a file; of an upload.
        report: is told how far it is; what it raises ends the reading.

    Raises:
        StudioError: no whole card, its data set cannot be used, or was a file and none is given.
    """
    data, to_upload = unread_data(old)
    if to_upload is None:
        return named(data.name, settings, report)
    if file is None:
        raise InvalidValue(to_upload)
    return in_file(file, settings, report)


def read_votes(path: Path) -> list[Ballot]:
    """All votes of a ``votes.jsonl``, or of the log itself, ``votes.sqlite3``.

    Raises:
        StudioError: there is no such file, or it holds no votes.
    """
    if not path.is_file():
        raise InvalidValue(f"There is no file {path.name!r}. Give a votes.jsonl or votes.sqlite3.")
    if path.suffix == ".sqlite3":
        return VoteLog(path).ballots()
    try:
        return from_lines(read_bounded(path).decode())
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8 text. Export the votes again.") from error


def replay(studio: Studio, old: Card, sources: Sources) -> Generator[Any, None, Replayed]:
    """Yields the run's events; returns what is equal and what differs because of what.

    Raises:
        StudioError: no whole card, what it names is not there, or the run fails here.
    """
    if old["kind"] == VOTES:
        return replay_votes(old, sources.votes)
    if old["kind"] == COMPARISON:
        return (yield from replay_comparison(studio, old, sources.picture))
    data = old.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    return (yield from replay_evaluation(studio, old, sources.data(str(name))))
