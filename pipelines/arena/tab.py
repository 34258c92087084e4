"""The panel for blind votes: what happens on it. It formats; the open duels decide.

Nothing of an open duel reaches the page but its token and its outputs, all together.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from gradio.events import api

from pipelines.arena import link
from pipelines.arena.ballot import FEWEST_MODELS, choices
from pipelines.arena.card import card
from pipelines.arena.duel import DuelRequest
from pipelines.arena.duel_form import (
    SCENE,
    TALE,
    Page,
    build_input,
    build_outputs,
    build_picker,
)
from pipelines.arena.leaderboard import Leaderboard, leaderboard
from pipelines.arena.log import VoteLog
from pipelines.arena.open_duels import Cast, OpenDuels, Shown
from pipelines.arena.replay import VOTES
from pipelines.arena.report import (
    board_rows,
    names_rows,
    what_is_lacking,
    write,
)
from pipelines.arena.setup import Setup, setup_of_duel
from pipelines.events import with_result
from pipelines.files.images import open_picture
from pipelines.hub import names_here
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.cards import Opening
from pipelines.sharing.links import address
from pipelines.sharing.settings_form import filled_in
from pipelines.tasks import TASKS, Task
from pipelines.validation import known_task


def build(studio: Studio, compute: dict[str, Any], opened: Callable[..., Any]) -> Opening:
    """Adds the panel's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
        opened: the event of the tab's opening, with which the standings are looked up.

    Returns:
        How cards and links open it.
    """
    duels = OpenDuels(VoteLog(studio.settings.data_dir / "votes.sqlite3"))
    lead = "Several models, one input, no names: say which output is best, then see whose it was."
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            given = build_input()
        with gr.Column(scale=2, min_width=300):
            given["models"] = build_picker(studio.settings)
            start, stop = ui.run_buttons("Start a duel", "votes")
            card_button = ui.card_button(elem_id="votes-open")
            given["seed"] = ui.seed_box(elem_id="votes-seed")
    given["picture"] = given.pop("picture")  # the last of the API's parameters
    page = build_outputs(given)
    duel, status = _duel_handler(studio, duels, page), page.results["status"]
    run = gr.on(
        [start.click, given["prompt"].submit], duel, [*given.values()], page.outputs,
        **ui.endpoint("duel", duel), **ui.run_options(compute, status),
    )  # fmt: skip
    ui.wire_stop(stop, [run], [status])
    _wire_votes(duels, page)
    _build_export(duels.log, given["task"])
    return _wire_task(studio.settings, duels.log, page, opened, card_button)


def _wire_task(
    settings: Settings, log: VoteLog, page: Page, opened: Callable[..., Any],
    card_button: gr.UploadButton,
) -> Opening:  # fmt: skip
    """Shows what belongs to the task when it is chosen, when a card or a link sets it, and when
    the tab is opened."""
    task, prompt, notes = page.given["task"], page.given["prompt"], page.results["notes"]

    def switch(chosen: Task, prompt: str) -> dict[Any, Any]:
        return _switch(settings, page, chosen, prompt)

    @ui.shows_errors
    def look(chosen: Task) -> dict[Any, Any]:
        return _board_updates(page, leaderboard(log.ballots(chosen), chosen))

    def lacking(chosen: Task) -> dict[str, Any]:
        return ui.notes_text(what_is_lacking(settings, chosen))

    def fill(setup: Setup, prompt: str) -> dict[Any, Any]:
        fields: dict[str, Any] = {"task": setup.task, "seed": setup.seed}
        fields["models"] = list(setup.models)
        if setup.prompt is not None:
            fields["prompt"] = setup.prompt
        values = {page.given[name]: value for name, value in fields.items()}
        remarks = [*setup.notes, *what_is_lacking(settings, setup.task)]
        return {**filled_in(switch(setup.task, prompt), values), notes: ui.notes_text(remarks)}

    switched = list(switch(ui.FIRST, ""))
    gr.on([task.change, opened], look, [task], page.board, **ui.PRIVATE)
    # Not whenever the task changes: a card sets models and notes beside it, which have to stay.
    task.input(switch, [task, prompt], switched, **ui.FREE)
    gr.on([task.input, opened], lacking, [task], [notes], **ui.FREE)
    fields = [task, page.given["seed"], notes, *switched]
    return Opening(VOTES, fill, fields, card_button, (prompt,))


def _duel_handler(
    studio: Studio, duels: OpenDuels, page: Page
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
        if picture and known_task(task).takes == "picture":
            opened = open_picture(Path(picture), studio.settings.limits)
        chosen: Any = models
        request = DuelRequest(task, chosen, prompt, opened, seed)  # type: ignore[arg-type]
        pace = ui.Pace(interval_seconds=1.0)  # too slow to show a model's speed
        yield _cleared(page)
        with closing(with_result(duels.duel(studio, request))) as events:
            for item in events:
                if isinstance(item, Shown):
                    with _in_files(item) as pictures:
                        yield _shown(page, item, pictures)
                elif pace.is_due():
                    yield {page.results["status"]: ui.progress_bar(item)}

    return run


@contextmanager
def _in_files(shown: Shown) -> Iterator[list[str | None]]:
    """The pictures as PNG files of pixels alone, under random names, until Gradio has its copies.

    Not in the data directory: what lies in Gradio's own cache there it would not copy.

    Yields a path for each output, None for a text.
    """
    with TemporaryDirectory(prefix="triptych-duel-") as name:
        paths: list[str | None] = []
        for output in shown.outputs:
            path = None
            if output.picture is not None:
                path = str(Path(name) / f"{secrets.token_hex(16)}.png")
                output.picture.save(path)
            paths.append(path)
        yield paths


def _cleared(page: Page) -> dict[Any, Any]:
    """Clears an earlier duel and closes the vote."""
    empty: dict[Any, Any] = _named(page, token="", status=ui.done("Getting ready"), receipt=None)
    for slot in page.slots:
        empty |= {slot["column"]: gr.update(visible=False), slot["text"]: "", slot["picture"]: None}
    hidden = _named(page, names=gr.update(value=[], visible=False), link=ui.shown(None))
    return {**empty, **hidden, **_closed(page)}


def _named(page: Page, **updates: Any) -> dict[Any, Any]:
    """Updates of the widgets of ``page.results`` by their names."""
    return {page.results[name]: update for name, update in updates.items()}


def _closed(page: Page) -> dict[Any, Any]:
    return dict.fromkeys(page.buttons.values(), gr.update(interactive=False))


def _shown(page: Page, shown: Shown, pictures: list[str | None]) -> dict[Any, Any]:
    """All outputs together, and the ways to vote on them."""
    line = ui.done("Which is best? The names come after your vote.")
    update = {**_cleared(page), **_named(page, token=shown.token, status=line)}
    for slot, output, picture in zip(page.slots, shown.outputs, pictures, strict=False):
        update[slot["column"]] = gr.update(visible=True)
        update[slot["text"]] = output.text or ""
        update[slot["picture"]] = picture
    for choice in choices(len(shown.outputs)):
        update[page.buttons[choice]] = gr.update(interactive=True)
    return update


def _wire_votes(duels: OpenDuels, page: Page) -> None:
    """A handler for each button, and one endpoint for programs."""
    changed = [page.results[n] for n in ("token", "status", "names", "receipt", "notes", "link")]
    changed += [*page.board, *page.buttons.values()]

    def handler(choice: str) -> Callable[[str], dict[Any, Any]]:
        @ui.shows_errors
        def cast(token: str) -> dict[Any, Any]:
            return _after_vote(page, duels.vote(token, choice), duels.log)

        return cast

    for choice, button in page.buttons.items():
        # Queued, for of what is not queued the page shows no error.
        button.click(handler(choice), [page.results["token"]], changed, **ui.PRIVATE)

    @ui.shows_errors
    def vote(token: str, choice: str) -> dict[str, Any]:
        """Votes on a duel, once; gives its receipt, which names the models from output A on.

        Args:
            token: what the duel gave.
            choice: the letter of the best output, "tie" or "all bad".
        """
        return duels.vote(token, choice).receipt

    api(vote, **ui.endpoint("vote", vote))


def _after_vote(page: Page, cast: Cast, log: VoteLog) -> dict[Any, Any]:
    """Names, receipt and leaderboard; and what opens the page on the duel, or why nothing does,
    for a link names the models."""
    board = leaderboard(log.ballots(cast.ballot.task), cast.ballot.task)
    opened_by, why_not = address(link.PARAMETER, lambda: link.encode(setup_of_duel(cast.receipt)))
    return {
        **_closed(page),
        **_board_updates(page, board),
        **_named(
            page,
            token="",
            status=ui.done("Counted. The models are named below."),
            names=gr.update(value=names_rows(cast.ballot, board), visible=True),
            receipt=cast.receipt,
            link=ui.shown(opened_by),
            notes=ui.notes_text([why_not] if why_not else []),
        ),
    }


def _board_updates(page: Page, board: Leaderboard) -> dict[Any, Any]:
    """The leaderboard. Its warning quotes names of models, so it is no Markdown."""
    counts = ui.facts(
        ("votes", str(board.votes)), ("ties", str(board.ties)), ("all bad", str(board.all_bad))
    )
    warning = ui.notes_text([] if board.warning is None else [board.warning])
    return _named(page, standings=board_rows(board), counts=counts, warning=warning)


def _build_export(log: VoteLog, task: gr.Radio) -> None:
    """The card of the task's votes with its reports, and the votes themselves, as files."""
    export = gr.Button("Card and votes as files", size="sm", elem_id="votes-export")
    files = ui.files_box(elem_id="votes-file")

    @ui.shows_errors
    def export_files(chosen: str) -> Iterator[Any]:
        made = card(log.ballots(chosen), chosen)
        with TemporaryDirectory(prefix="triptych-votes-") as name:  # as with a duel's pictures
            paths = [str(path) for path in write(made, Path(name))]
            yield gr.update(value=paths, visible=True)

    # A generator needs the queue.
    export.click(export_files, [task], [files], **ui.PRIVATE)


def _switch(settings: Settings, page: Page, task: Task, prompt: str) -> dict[Any, Any]:
    """Shows what the task needs, offers its models, and drops a duel of another task."""
    given, record, names = page.given, TASKS[task], names_here(settings, task)
    if prompt in (TALE, SCENE):
        prompt = TALE if record.makes == "text" else SCENE
    changed = {**_cleared(page), **_named(page, status=ui.done("Ready"))}
    for slot in page.slots:
        changed[slot["text"]] = gr.update(value="", visible=record.makes != "pictures")
        changed[slot["picture"]] = gr.update(value=None, visible=record.makes == "pictures")
    return {
        **changed,
        given["prompt"]: gr.update(value=prompt, visible=record.takes == "text"),
        given["picture"]: gr.update(visible=record.takes == "picture"),
        given["models"]: gr.update(choices=names, value=names[:FEWEST_MODELS]),
    }
