"""Open duels, under unguessable tokens, each good for one vote.

Which output is whose never leaves this process before the vote is cast. What is open is
bounded in number and in age; a duel that is forgotten has cost nothing but its outputs.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pipelines import validation
from pipelines.arena.ballot import SCHEMA, Ballot, choices
from pipelines.arena.duel import Duel, DuelRequest, Output, Played, checked, generate
from pipelines.arena.log import VoteLog
from pipelines.arena.seating import shuffled
from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress
from pipelines.runtime.studio import Studio
from pipelines.tasks import Task

MOST_OPEN = 256
LONGEST_OPEN_SECONDS = 2 * 3600.0
_TOKEN_BYTES = 24


@dataclass(frozen=True)
class Shown:
    """All that a voter gets: a token, and the outputs from place A on."""

    token: str
    task: Task
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Cast:
    """A vote that was counted, and the receipt of the duel, which names the models."""

    ballot: Ballot
    receipt: dict[str, Any]


class OpenDuels:
    """The open duels of one process, over the log of the votes that were cast.

    Args:
        rng: for all orders; one that is seeded makes them foreseeable, for tests.
    """

    def __init__(
        self,
        log: VoteLog,
        rng: random.Random | None = None,
        most_open: int = MOST_OPEN,
        longest_open_seconds: float = LONGEST_OPEN_SECONDS,
    ) -> None:
        self.log = log
        self._rng = secrets.SystemRandom() if rng is None else rng
        self._most_open = most_open
        self._longest_open_seconds = longest_open_seconds
        self._open: dict[str, tuple[Duel, float]] = {}
        """By token, in the order shown, and since when."""
        self._guard = threading.Lock()

    def duel(self, studio: Studio, request: DuelRequest) -> Generator[Progress, None, Shown]:
        """Yields progress; returns the outputs in random, balanced places, when all are there.

        Raises:
            StudioError: a field or a model is at fault, or the log cannot be read.
        """
        request = checked(request, studio.settings.limits)
        # A model's speed may show, so models run in a random order.
        models = tuple(self._rng.sample(request.models, len(request.models)))
        duel = yield from generate(studio, replace(request, models=models))
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._guard:
            self._forget_old()
            duel = replace(duel, played=self._placed(duel))
            while len(self._open) >= self._most_open:
                del self._open[next(iter(self._open))]
            self._open[token] = duel, time.monotonic()
        return Shown(token, duel.task, tuple(each.output for each in duel.played))

    def vote(self, token: object, choice: object) -> Cast:
        """Counts a vote: the letter of the best output, ``tie`` or ``all bad``.

        Raises:
            InvalidValue: no open duel has this token, or the choice is none of its own.
            LogUnavailable: the vote could not be written, and may be cast again.
        """
        with self._guard:
            self._forget_old()
            found = self._open.get(str(token))
            if found is None:
                hours = self._longest_open_seconds / 3600
                raise InvalidValue(
                    f"There is no open duel {abbreviated(token)}: it was voted on, is older than "
                    f"{hours:g} hours, or has made room for newer ones. Start another."
                )
            opened, _ = found
            ballot = Ballot(
                time=datetime.now(UTC).isoformat(timespec="seconds"),
                task=opened.task,
                input_sha256=opened.input_sha256,
                seed=opened.seed,
                models=opened.models,
                choice=validation.choice("choice", choice, choices(len(opened.played))),
            )
            self.log.append(ballot)
            del self._open[str(token)]
        receipts = [each.receipt for each in opened.played]
        receipt = {"schema": SCHEMA, "task": "duel", "choice": ballot.choice, "outputs": receipts}
        return Cast(ballot, receipt)

    def _placed(self, duel: Duel) -> tuple[Played, ...]:
        """What was played, shuffled; duels that are still open count for the balance, too."""
        played = {each.contender.key: each for each in duel.played}
        lineups = [ballot.models for ballot in self.log.ballots(duel.task)]
        lineups += [each.models for each, _ in self._open.values() if each.task == duel.task]
        orders = [[contender.key for contender in lineup] for lineup in lineups]
        earlier = [order for order in orders if set(order) == set(played)]
        return tuple(played[key] for key in shuffled(list(played), earlier, self._rng))

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._longest_open_seconds
        self._open = {token: each for token, each in self._open.items() if each[1] > oldest}
