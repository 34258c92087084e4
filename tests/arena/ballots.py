"""Votes made up for tests."""

from __future__ import annotations

from pipelines.arena.ballot import PLACES, TIE, Ballot, Contender


def contender(name: str, commit: str = "0" * 40) -> Contender:
    return Contender(name, commit)


def ballot(models: str, choice: str, task: str = "write", second: int = 0) -> Ballot:
    """A vote between models that are called by one letter each, in the order shown.

    Args:
        choice: the winner's letter, or a choice that is none.
    """
    return Ballot(
        time=f"2026-01-31T12:{second // 60 % 60:02}:{second % 60:02}+00:00",
        task=task,
        input_sha256="a" * 64,
        seed=second,
        models=tuple(contender(name) for name in models),
        choice=PLACES[models.index(choice)] if choice in models else choice,
    )


def duels(first: int, second: int, ties: int = 0, task: str = "write") -> list[Ballot]:
    """Votes between x and y: so many for x, for y and for neither."""
    outcomes = ["x"] * first + ["y"] * second + [TIE] * ties
    return [
        ballot("xy" if index % 2 else "yx", outcome, task, index)
        for index, outcome in enumerate(outcomes)
    ]
