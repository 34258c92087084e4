"""Tables and a report of votes, and what to do where models are lacking.

Names are quoted as they are, so rows are for tables and plain text, never for markup.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.arena.ballot import FEWEST_MODELS, PLACES, Ballot, to_lines
from pipelines.arena.card import ballots_of
from pipelines.arena.leaderboard import FEWEST_PAIRS, Leaderboard, leaderboard
from pipelines.hub import local_names
from pipelines.settings import Settings
from pipelines.sharing import documents
from pipelines.sharing.cards import Card
from pipelines.sharing.figures import COLOURS, as_png, fields, plain
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS, Task

BOARD_HEADERS = (
    "model", "rating", "95% interval", "duels", "best", "ties", "all bad", "difference",
)  # fmt: skip
NAMES_HEADERS = ("output", "model", "commit", "best in")
_SHORT_COMMIT = 12
LOG, FIGURE = "votes.jsonl", "ratings.png"
_HOW_TO_READ = (
    "Bradley-Terry by maximum likelihood with ties as in Davidson (1970); 1000 points are the "
    "mean, and 400 more win ten times as often as they lose. Intervals are of 95%, by profile "
    "likelihood; models that no votes connect are rated apart. A model is "
    f"called better only where intervals of at least {FEWEST_PAIRS} votes each do not meet. "
    "Voters saw outputs in random places and no names."
)


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


def document(made: Card) -> documents.Document:
    """The votes as they are read: leaderboard, figure, and how to compute it again."""
    ballots = ballots_of(made)
    board = leaderboard(ballots, made["task"])
    log, figure = made["log"], _figure(made)
    parts: list[documents.Part] = [
        documents.Table(BOARD_HEADERS, board_rows(board)),
        documents.Note(_HOW_TO_READ),
    ]
    if figure is not None:
        parts.insert(1, documents.Picture(FIGURE, figure, "Ratings with their intervals"))
    if board.warning is not None:
        parts.append(board.warning)
    return documents.Document(
        f"Blind votes on {TASKS[made['task']].title.lower()}",
        f"{log['votes']} votes on as many duels between {len(made['models'])} models, with "
        f"{log['inputs']} different inputs; {made['ties']} ties, {made['all_bad']} all bad.",
        [
            documents.Section("Leaderboard", parts),
            documents.Section("How it was made", [documents.Items(_made(made))]),
        ],
    )


def write(made: Card, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``card.md``, ``report.html``, the figure, for each rated model a
    ``model-index`` section as YAML, and ``votes.jsonl``, whose hash the card has; their paths."""
    indexes = {
        documents.index_name(number, model["name"]): index_of(made, model["name"])
        for number, model in enumerate(made["models"], start=1)
        if model["rating"] is not None
    }
    texts = {**documents.texts_of(document(made), "card.md"), LOG: to_lines(ballots_of(made))}
    return documents.publish(folder, made, {**texts, **indexes})


def index_of(made: Card, name: str) -> str:
    """The ``model-index`` section of a rated model: its points, which mean nothing alone."""
    rating = next(model["rating"] for model in made["models"] if model["name"] == name)
    others = [
        model["name"]
        for model in made["models"]
        if model["name"] != name
        and (model["rating"] or rating).get("group", 0) == rating.get("group", 0)
    ]
    label = (
        f"Bradley-Terry rating beside {', '.join(others)}, 95% interval {rating['low']:.0f} to "
        f"{rating['high']:.0f}, n = {rating['wins'] + rating['losses'] + rating['ties']}"
    )
    measured = documents.Measured("bradley_terry", label, rating["points"], made["signature"])
    return documents.model_index(
        name, made["task"], ("blind votes", made["log"]["sha256"]), [measured]
    )


def _made(made: Card) -> list[str]:
    """What another needs to compute the same ratings."""
    log = made["log"]
    lines = [f"votes from {log['first']} to {log['last']}", f"{LOG}, sha256 {log['sha256']}"]
    lines += [f"{model['name']}: {with_commits(model)}" for model in made["models"]]
    lines += [made["signature"]] if made["signature"] else []
    lines.append("seed and hash of the input of each duel stand beside its vote in the card")
    return lines + documents.how_to_repeat(made, made.get("link"))  # older cards have no link


def _figure(made: Card) -> bytes | None:
    """Ratings with their intervals as a PNG's content, the best on top; None without any."""
    rated = [model for model in made["models"] if model["rating"] is not None][::-1]
    if not rated:
        return None
    figure, (field,) = fields(height=1.2 + 0.35 * len(rated), left=0.35)
    for place, model in enumerate(rated):
        rating = model["rating"]
        reach = [[rating["points"] - rating["low"]], [rating["high"] - rating["points"]]]
        field.errorbar(rating["points"], place, xerr=reach, fmt="o", color=COLOURS[0], capsize=3)
    field.set_yticks(range(len(rated)), [plain(model["name"]) for model in rated], fontsize=8)
    field.set_ylim(-0.6, len(rated) - 0.4)
    field.set_xlabel("points, with the 95% interval")
    return as_png(figure)
