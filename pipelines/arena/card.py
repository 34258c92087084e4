"""The card of the votes of one task: the votes, and the ratings that follow from them.

It holds what the log holds, no output and no prompt, so it says of an input only its hash; and
of a duel nothing before its vote was cast.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.arena import link
from pipelines.arena.ballot import Ballot, ballot_of, to_lines
from pipelines.arena.leaderboard import Standing, leaderboard
from pipelines.arena.setup import setup_of
from pipelines.device import processor
from pipelines.errors import InvalidValue, abbreviated
from pipelines.runtime.receipts import hash_text
from pipelines.settings import Limits
from pipelines.sharing.cards import Card
from pipelines.sharing.links import address
from pipelines.validation import known_task

SCHEMA = 1
KIND = "votes"


def card(ballots: Sequence[Ballot], task: str) -> Card:
    """The card of a task's votes, the oldest first. Each duel is voted on once.

    ``link`` opens the page on its task and models, and is None where a link cannot hold them.

    Raises:
        InvalidValue: there are no votes for the task.
    """
    ballots = [ballot for ballot in ballots if ballot.task == task]
    if not ballots:
        raise InvalidValue("There are no votes for this task yet. Start a duel and cast one.")
    board = leaderboard(ballots, task)
    contenders = {model.key: model for ballot in ballots for model in ballot.models}
    models = [
        {**asdict(contenders[standing.key]), **_standing(standing)} for standing in board.standings
    ]
    of_models = {"task": task, "models": models}
    opened_by, _ = address(link.PARAMETER, lambda: link.encode(setup_of(of_models, Limits())))
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "task": task,
        "link": opened_by,
        "log": {
            "sha256": hash_text(to_lines(ballots)),
            "votes": len(ballots),
            "inputs": len({ballot.input_sha256 for ballot in ballots}),
            "first": min(ballot.time for ballot in ballots),
            "last": max(ballot.time for ballot in ballots),
        },
        "device": {"machine": platform.machine(), "hardware": processor()},
        "versions": _versions(),
        "models": models,
        **{name: getattr(board, name) for name in ("ties", "all_bad", "signature", "warning")},
        "ballots": [asdict(ballot) for ballot in ballots],
    }


def _versions() -> dict[str, str]:
    """Of what computes ratings; the models' own are in each duel's receipt."""
    import numpy

    return {"python": platform.python_version(), "numpy": numpy.__version__}


def _standing(standing: Standing) -> dict[str, Any]:
    counts = asdict(standing)
    return {
        "name": standing.model,
        **{name: counts[name] for name in ("rating", "duels", "best", "ties", "all_bad")},
        "verdict": standing.verdict,
    }


def ballots_of(old: Card) -> list[Ballot]:
    """The votes in a card, each checked.

    Raises:
        InvalidValue: naming the first vote that is none.
    """
    task, votes = known_task(old.get("task")).name, old.get("ballots")
    if not isinstance(votes, list):
        raise InvalidValue(f"The card's votes are {abbreviated(votes)}; a list is needed.")
    ballots = []
    for number, vote in enumerate(votes, start=1):
        try:
            ballots.append(ballot_of(vote))
        except InvalidValue as error:
            raise InvalidValue(f"Vote {number} of the card is none: {error}") from error
        if ballots[-1].task != task:
            raise InvalidValue(f"Vote {number} is of {ballots[-1].task}, the card of {task}.")
    return ballots
