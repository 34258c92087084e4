"""What to say of votes: rows of tables, and what to do where there is nothing to vote on.

Names are quoted as they are, so all of it is for tables and plain text, never for markup.
"""

from __future__ import annotations

from pipelines.arena.ballot import FEWEST_MODELS, PLACES, Ballot
from pipelines.arena.leaderboard import Leaderboard
from pipelines.hub import local_names
from pipelines.settings import Settings
from pipelines.tasks import Task

BOARD_HEADERS = (
    "model", "rating", "95% interval", "duels", "best", "ties", "all bad", "difference",
)  # fmt: skip
NAMES_HEADERS = ("output", "model", "commit", "best in")
_SHORT_COMMIT = 12


def board_rows(board: Leaderboard) -> list[list[str]]:
    """The standings, a row each, in the columns of ``BOARD_HEADERS``."""
    rows = []
    for standing in board.standings:
        rating = standing.rating
        points, interval = "–", "–"
        if rating is not None:
            points, interval = f"{rating.points:.0f}", f"{rating.low:.0f} to {rating.high:.0f}"
        counts = (standing.duels, standing.best, standing.ties, standing.all_bad)
        rows.append([standing.model, points, interval, *map(str, counts), standing.verdict])
    return rows


def names_rows(ballot: Ballot, board: Leaderboard) -> list[list[str]]:
    """Whose each output was, and how often that model was best, as ``NAMES_HEADERS`` says."""
    standings = {standing.key: standing for standing in board.standings}
    rows = []
    for place, model in zip(PLACES, ballot.models, strict=False):
        own = standings[model.key]
        commits = [model.commit, *(adapter.commit for adapter in model.adapters)]
        short = " + ".join(commit[:_SHORT_COMMIT] for commit in commits)
        rows.append([place, model.name, short, f"{own.best} of {own.duels} duels"])
    return rows


def what_is_lacking(settings: Settings, task: Task) -> list[str]:
    """What to do where the page has not two models of its own for a task."""
    names = local_names(settings, task)
    if len(names) >= FEWEST_MODELS:
        return []
    here = f"only {names[0]}" if names else "none"
    typed = "Type a Hub reference as well, owner/repo, or put" if settings.hub_enabled else "Put"
    return [
        f"A duel takes two models, and of this page's own there is {here} for this task. "
        f"{typed} a checkpoint into the folder that --model-dir names, or make one in Fine-tune."
    ]
