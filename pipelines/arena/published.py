"""Votes to keep and to publish: card, Markdown, one HTML file, figure, index sections, log."""

from __future__ import annotations

from pathlib import Path

from pipelines.arena.ballot import to_lines
from pipelines.arena.card import Card, ballots_of
from pipelines.arena.leaderboard import FEWEST_PAIRS, leaderboard
from pipelines.arena.report import BOARD_HEADERS, board_rows
from pipelines.datasets.samples import plain_name
from pipelines.sharing.documents import (
    CARD,
    REPORT,
    Document,
    Items,
    Measured,
    Note,
    Part,
    Picture,
    Section,
    Table,
    as_html,
    as_markdown,
    model_index,
    publish,
)
from pipelines.sharing.figures import COLOURS, as_png, fields, plain
from pipelines.sharing.reading import with_commits
from pipelines.tasks import TASKS

MARKDOWN, LOG, FIGURE = "card.md", "votes.jsonl", "ratings.png"
_HOW_TO_READ = (
    "Bradley-Terry by maximum likelihood with ties as in Davidson (1970); 1000 points are the "
    "mean, and 400 more win ten times as often as they lose. Intervals are of 95%, by profile "
    "likelihood; models that no votes connect are rated apart. A model is "
    f"called better only where intervals of at least {FEWEST_PAIRS} votes each do not meet. "
    "Voters saw outputs in random places and no names."
)


def document(found: Card) -> Document:
    """The votes as they are read: leaderboard, figure, and how to work it out again."""
    ballots = ballots_of(found)
    board = leaderboard(ballots, found["task"])
    log, figure = found["log"], _figure(found)
    parts: list[Part] = [Table(BOARD_HEADERS, board_rows(board)), Note(_HOW_TO_READ)]
    if figure is not None:
        parts.insert(1, Picture(FIGURE, figure, "Ratings with their intervals"))
    if board.warning is not None:
        parts.append(board.warning)
    return Document(
        f"Blind votes on {TASKS[found['task']].title.lower()}",
        f"{log['votes']} votes on as many duels between {len(found['models'])} models, with "
        f"{log['inputs']} different inputs; {found['ties']} ties, {found['all_bad']} all bad.",
        [
            Section("Leaderboard", parts),
            Section("How it was made", [Items(_made(found))]),
        ],
    )


def write(found: Card, folder: Path) -> list[Path]:
    """Writes ``card.json``, ``card.md``, ``report.html``, the figure, for each rated model a
    ``model-index`` section as YAML, and ``votes.jsonl``, whose hash the card has; their paths."""
    told = document(found)
    texts = {
        MARKDOWN: as_markdown(told),
        REPORT: as_html(told),
        LOG: to_lines(ballots_of(found)),
    }
    indexes = {
        f"model-index-{number}-{plain_name(model['name'])}.yaml": index_of(found, model["name"])
        for number, model in enumerate(found["models"], start=1)
        if model["rating"] is not None
    }
    return publish(folder, found, {**texts, **indexes, **told.pictures})


def index_of(found: Card, name: str) -> str:
    """The ``model-index`` section of a rated model: its points, which mean nothing alone."""
    rating = next(model["rating"] for model in found["models"] if model["name"] == name)
    others = [
        model["name"]
        for model in found["models"]
        if model["name"] != name
        and (model["rating"] or rating).get("group", 0) == rating.get("group", 0)
    ]
    label = (
        f"Bradley-Terry rating beside {', '.join(others)}, 95% interval {rating['low']:.0f} to "
        f"{rating['high']:.0f}, n = {rating['wins'] + rating['losses'] + rating['ties']}"
    )
    measured = Measured("bradley_terry", label, rating["points"], found["signature"])
    return model_index(name, found["task"], ("blind votes", found["log"]["sha256"]), [measured])


def _made(found: Card) -> list[str]:
    """What another needs to work out the same ratings."""
    log = found["log"]
    lines = [f"votes from {log['first']} to {log['last']}", f"{LOG}, sha256 {log['sha256']}"]
    lines += [f"{model['name']}: {with_commits(model)}" for model in found["models"]]
    if found.get("link") is not None:  # cards of earlier versions have none
        lines.append(f"to open its task and models, add to the page's address: {found['link']}")
    return [
        *lines,
        *([found["signature"]] if found["signature"] else []),
        f"machine {found['device']['machine']}",
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "seed and hash of the input of each duel stand beside its vote in the card",
        f"to work it out again: python -m pipelines.model_comparison replay {CARD}",
    ]


def _figure(found: Card) -> bytes | None:
    """Ratings with their intervals as a PNG's content, the best on top; None without any."""
    rated = [model for model in found["models"] if model["rating"] is not None][::-1]
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
