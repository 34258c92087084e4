"""The panel for blind votes: widgets and their handlers. It formats; the booth decides.

Nothing of an open duel reaches the page but its token and its outputs, all at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import gradio as gr
from gradio.events import api

from pipelines import ui
from pipelines.events import with_result
from pipelines.hub import Task, names_here
from pipelines.images import open_picture
from pipelines.model_comparison.votes.ballot import (
    ALL_BAD,
    FEWEST_MODELS,
    PLACES,
    TIE,
    choices,
)
from pipelines.model_comparison.votes.booth import Booth, Cast, Shown
from pipelines.model_comparison.votes.card import card
from pipelines.model_comparison.votes.duel import DuelRequest
from pipelines.model_comparison.votes.leaderboard import Leaderboard, leaderboard
from pipelines.model_comparison.votes.log import VoteLog
from pipelines.model_comparison.votes.published import write
from pipelines.model_comparison.votes.report import (
    BOARD_HEADERS,
    NAMES_HEADERS,
    board_rows,
    names_rows,
    what_is_lacking,
)
from pipelines.settings import Settings
from pipelines.studio import Studio

_TALE = "The princess opened the little golden door, and"
_SCENE = "a small rocket above a big moon on a black background"


class _Given(NamedTuple):
    """What a duel is started with, in the order of the handler's parameters."""

    task: gr.Radio
    prompt: gr.Textbox
    models: gr.Dropdown
    seed: gr.Number
    picture: gr.Image


@dataclass(frozen=True)
class _Slot:
    """One place: text or picture is shown, as the task is."""

    column: gr.Column
    text: gr.Textbox
    picture: gr.Image
    best: gr.Button


@dataclass(frozen=True)
class _Page:
    """All widgets that a handler reads or writes."""

    given: _Given
    token: gr.Textbox
    status: gr.HTML
    notes: gr.Textbox
    slots: list[_Slot]
    tie: gr.Button
    all_bad: gr.Button
    names: gr.Dataframe
    receipt: gr.JSON
    standings: gr.Dataframe
    counts: gr.Markdown
    warning: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: token, texts from A on, pictures from A on; then the rest."""
        texts, pictures = [s.text for s in self.slots], [s.picture for s in self.slots]
        return [
            self.token, *texts, *pictures, self.status, self.names, self.receipt,
            *(slot.column for slot in self.slots), *self.buttons.values(),
        ]  # fmt: skip

    @property
    def buttons(self) -> dict[str, gr.Button]:
        """Choices, and what is clicked to make them."""
        best = {PLACES[index]: slot.best for index, slot in enumerate(self.slots)}
        return {**best, TIE: self.tie, ALL_BAD: self.all_bad}

    @property
    def board(self) -> list[Any]:
        """What tells of all votes of a task."""
        return [self.standings, self.counts, self.warning]


def build(studio: Studio, compute: dict[str, Any], opened: Callable[..., Any]) -> None:
    """Adds the panel's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
        opened: the event of the tab's opening, with which the standings are looked up.
    """
    booth = Booth(VoteLog(studio.settings.data_dir / "votes.sqlite3"))
    lead = "Several models, one input, no names: say which output is best, then see whose it was."
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            task, prompt, picture = _build_input()
        with gr.Column(scale=2, min_width=300):
            models = _build_picker(studio.settings)
            with gr.Row():
                start = gr.Button("Start a duel", variant="primary", elem_id="votes-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="votes-stop", scale=1)
            seed = ui.seed_box(elem_id="votes-seed")
    given = _Given(task, prompt, models, seed, picture)
    page = _build_outputs(given)
    run = gr.on(
        [start.click, prompt.submit], _duel_handler(studio, booth, page),
        list(given), page.outputs, api_name="duel",
        show_progress="minimal", show_progress_on=[page.status], **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [run], [page.status])
    _wire_votes(booth, page)
    _build_export(booth.log, studio.settings.data_dir, task)

    def switch(chosen: Task, prompt: str) -> dict[Any, Any]:
        return _switch(studio.settings, page, chosen, prompt)

    task.change(switch, [task, prompt], list(switch("write", "")), **ui.FREE)

    @ui.shows_errors
    def look(chosen: Task) -> dict[Any, Any]:
        board = leaderboard(booth.log.ballots(chosen), chosen)
        return {
            page.notes: ui.notes_text(what_is_lacking(studio.settings, chosen)),
            **_told(page, board),
        }

    gr.on([task.change, opened], look, [task], [page.notes, *page.board], **ui.FREE)


def _build_input() -> tuple[gr.Radio, gr.Textbox, gr.Image]:
    return (
        gr.Radio(ui.TASKS, value="write", label="Task", elem_id="votes-task"),
        ui.textbox(value=_TALE, label="Prompt", lines=3, elem_id="votes-prompt"),
        ui.picture(
            label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"],
            height=280, image_mode=None, elem_id="votes-picture", visible=False,
        ),
    )  # fmt: skip


def _build_picker(settings: Settings) -> gr.Dropdown:
    names = names_here(settings, "write")
    return gr.Dropdown(
        names, value=names[:FEWEST_MODELS], multiselect=True, max_choices=len(PLACES),
        label="Models", allow_custom_value=True, interactive=True, elem_id="votes-models",
        info=f"{FEWEST_MODELS} to {len(PLACES)}. A Hub reference can be typed as well.",
    )  # fmt: skip


def _build_outputs(given: _Given) -> _Page:
    status = ui.status_line()
    notes = ui.notes_box()
    token = ui.textbox(label="Token", visible=False)
    with gr.Row(equal_height=False):
        slots = [_build_slot(place) for place in PLACES]
    with gr.Row():
        tie = gr.Button("Tie", interactive=False, elem_id="votes-tie")
        all_bad = gr.Button("All bad", interactive=False, elem_id="votes-all-bad")
    names = gr.Dataframe(
        headers=list(NAMES_HEADERS), datatype="str", interactive=False,
        wrap=True, label="Who was who", visible=False, elem_id="votes-names",
    )  # fmt: skip
    receipt = ui.receipt_box("Receipt of the duel", elem_id="votes-receipt")
    standings = gr.Dataframe(
        headers=list(BOARD_HEADERS), datatype="str", interactive=False, wrap=True,
        label="Leaderboard", elem_id="votes-board",
    )  # fmt: skip
    counts = gr.Markdown(elem_classes="facts", elem_id="votes-counts")
    return _Page(
        given, token, status, notes, slots, tie, all_bad, names, receipt, standings, counts,
        warning=ui.notes_box(),
    )  # fmt: skip


def _build_slot(place: str) -> _Slot:
    slug = f"votes-{place.lower()}"
    with gr.Column(min_width=240, visible=False) as column:
        return _Slot(
            column,
            gr.Textbox(
                label=f"Text {place}", lines=6, max_lines=20, interactive=False,
                elem_id=f"{slug}-text",
            ),
            gr.Image(
                label=f"Picture {place}", interactive=False, format="png", visible=False,
                buttons=["fullscreen"], elem_id=f"{slug}-picture",
            ),
            gr.Button(f"{place} is best", interactive=False, elem_id=f"{slug}-best"),
        )  # fmt: skip


def _duel_handler(
    studio: Studio, booth: Booth, page: _Page
) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run(
        task: str, prompt: str, models: list[str], seed: int, picture: str | None = None
    ) -> Iterator[dict[Any, Any]]:
        """Runs all models on one input; gives a token to vote with, and outputs without names.

        Args:
            task: "write", "paint" or "describe".
            prompt: for write and paint.
            models: two to eight models of this page or Hub references, for the task.
            seed: for all of them; -1 for a random one.
            picture: for describe: an image file.
        """
        opened = None
        if task == "describe" and picture:
            opened = open_picture(Path(picture), studio.settings.limits)
        chosen: Any = models
        request = DuelRequest(task, chosen, prompt, opened, seed)  # type: ignore[arg-type]
        pace = ui.Pace(interval_seconds=1.0)  # slow enough to tell nothing of anybody's speed
        yield _cleared(page)
        with closing(with_result(booth.duel(studio, request))) as events:
            for item in events:
                if isinstance(item, Shown):
                    with _in_files(item, studio.settings.data_dir) as pictures:
                        yield _shown(page, item, pictures)
                elif pace.is_due():
                    yield {page.status: ui.progress_bar(item)}

    return run


@contextmanager
def _in_files(shown: Shown, data_dir: Path) -> Iterator[list[str | None]]:
    """The pictures as PNG files of pixels alone, under random names, until Gradio has its copies.

    Yields a path for each output, None for a text.
    """
    folder = data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="duel-", dir=folder) as name:
        paths: list[str | None] = []
        for output in shown.outputs:
            path = None
            if output.picture is not None:
                path = str(Path(name) / f"{secrets.token_hex(16)}.png")
                output.picture.save(path)
            paths.append(path)
        yield paths


def _cleared(page: _Page) -> dict[Any, Any]:
    """Nothing of an earlier duel stays, and nothing can be voted on."""
    empty: dict[Any, Any] = {page.token: "", page.status: ui.done("Getting ready")}
    for slot in page.slots:
        empty |= {slot.column: gr.update(visible=False), slot.text: "", slot.picture: None}
    closed = dict.fromkeys(page.buttons.values(), gr.update(interactive=False))
    return {**empty, **closed, page.names: gr.update(value=[], visible=False), page.receipt: None}


def _shown(page: _Page, shown: Shown, pictures: list[str | None]) -> dict[Any, Any]:
    """All outputs at once, and the ways to vote on them."""
    update = _cleared(page)
    update[page.token] = shown.token
    update[page.status] = ui.done("Which is best? The names come after your vote.")
    for slot, output, picture in zip(page.slots, shown.outputs, pictures, strict=False):
        update[slot.column] = gr.update(visible=True)
        update[slot.text] = output.text or ""
        update[slot.picture] = picture
    for choice in choices(len(shown.outputs)):
        update[page.buttons[choice]] = gr.update(interactive=True)
    return update


def _wire_votes(booth: Booth, page: _Page) -> None:
    """A handler for each button, and one endpoint for programs."""
    changed = [page.token, page.status, page.names, page.receipt, *page.board]
    changed += page.buttons.values()

    def handler(choice: str) -> Callable[[str], dict[Any, Any]]:
        @ui.shows_errors
        def cast(token: str) -> dict[Any, Any]:
            return _after_vote(page, booth.vote(token, choice), booth.log)

        return cast

    for choice, button in page.buttons.items():
        # Queued, for of what is not queued the page shows no error.
        button.click(handler(choice), [page.token], changed, **{**ui.FREE, "queue": True})

    @ui.shows_errors
    def vote(token: str, choice: str) -> dict[str, Any]:
        """Votes on a duel, once; gives its receipt, which names the models from output A on.

        Args:
            token: what the duel gave.
            choice: the letter of the best output, "tie" or "all bad".
        """
        return booth.vote(token, choice).receipt

    api(vote, api_name="vote")


def _after_vote(page: _Page, cast: Cast, log: VoteLog) -> dict[Any, Any]:
    board = leaderboard(log.ballots(cast.ballot.task), cast.ballot.task)
    rows = names_rows(cast.ballot, board)
    closed = dict.fromkeys(page.buttons.values(), gr.update(interactive=False))
    return {
        **closed,
        **_told(page, board),
        page.token: "",
        page.status: ui.done("Counted. Below is who was who."),
        page.names: gr.update(value=rows, visible=True),
        page.receipt: cast.receipt,
    }


def _told(page: _Page, board: Leaderboard) -> dict[Any, Any]:
    """The leaderboard. Its warning quotes names of models, so it is no Markdown."""
    counts = ui.facts(
        ("votes", str(board.votes)), ("ties", str(board.ties)), ("all bad", str(board.all_bad))
    )
    warnings = [] if board.warning is None else [board.warning]
    return {
        page.standings: board_rows(board),
        page.counts: counts,
        page.warning: ui.notes_text(warnings),
    }


def _build_export(log: VoteLog, data_dir: Path, task: gr.Radio) -> None:
    """The card of the task's votes with its reports, and the votes themselves, as files."""
    export = gr.Button("Card and votes as files", size="sm", elem_id="votes-export")
    files = gr.File(
        label="To keep and to publish", file_count="multiple", interactive=False, visible=False,
        elem_id="votes-file",
    )  # fmt: skip

    @ui.shows_errors
    def export_files(chosen: str) -> Iterator[Any]:
        made = card(log.ballots(chosen), chosen)
        folder = data_dir / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="votes-", dir=folder) as name:
            paths = [str(path) for path in write(made, Path(name))]
            yield gr.update(value=paths, visible=True)

    # A generator needs the queue.
    export.click(export_files, [task], [files], **{**ui.FREE, "queue": True})


def _switch(settings: Settings, page: _Page, task: Task, prompt: str) -> dict[Any, Any]:
    """Shows what the task needs, offers its models, and drops a duel of another task."""
    given, names = page.given, names_here(settings, task)
    if prompt in (_TALE, _SCENE):
        prompt = _TALE if task == "write" else _SCENE
    changed = _cleared(page)
    for slot in page.slots:
        changed[slot.text] = gr.update(value="", visible=task != "paint")
        changed[slot.picture] = gr.update(value=None, visible=task == "paint")
    return {
        **changed,
        page.status: ui.done("Ready"),
        given.prompt: gr.update(value=prompt, visible=task != "describe"),
        given.picture: gr.update(visible=task == "describe"),
        given.models: gr.update(choices=names, value=names[:FEWEST_MODELS]),
    }
