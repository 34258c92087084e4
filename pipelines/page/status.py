"""The buttons that start and stop a run, and the line of its status.

What goes into ``gr.HTML`` is made of numbers and escaped words alone.
"""

from __future__ import annotations

import html
import inspect
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from pipelines.events import Progress

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Options of handlers that are no endpoints and may raise: the page shows queued errors alone."""
FREE: dict[str, Any] = {**PRIVATE, "queue": False}
"""Options of handlers that are no endpoints, compute nothing and raise nothing."""


def run_buttons(label: str, name: str) -> tuple[gr.Button, gr.Button]:
    """What starts a run and what stops it, in one row.

    Args:
        name: the first part of their ids.
    """
    with gr.Row():
        run = gr.Button(label, variant="primary", elem_id=f"{name}-run", scale=2)
        stop = gr.Button("Stop", variant="stop", elem_id=f"{name}-stop", scale=1)
    return run, stop


def endpoint(name: str, handler: Callable[..., Any]) -> dict[str, Any]:
    """Options that make a handler an endpoint whose whole docstring is shown, its ``Args`` too."""
    return {"api_name": name, "api_description": inspect.getdoc(handler)}


def run_options(compute: dict[str, Any], *statuses: gr.HTML) -> dict[str, Any]:
    """Options of a handler that computes: its queue, and the lines that show that it runs."""
    return {"show_progress": "minimal", "show_progress_on": list(statuses), **compute}


class Pace:
    """Lets an update through at most ten times a second.

    The page is drawn by the machine that computes, and people read no faster.
    """

    def __init__(self, interval_seconds: float = 0.1) -> None:
        self._interval_seconds = interval_seconds
        self._next = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._interval_seconds
        return True


_BAR = 'span class="bar'
"""Stands in the status line of a run that goes on."""


def progress_bar(event: Progress) -> str:
    """A line and a thin bar, as HTML made here."""
    return _status(event.message, event.fraction, event.seconds_left)


def done(message: str) -> str:
    """The same line when a run has ended."""
    return _status(message, None, None, is_running=False)


def _status(
    message: str, fraction: float | None, seconds_left: float | None, is_running: bool = True
) -> str:
    text = html.escape(message)
    if seconds_left is not None:
        text += f" · {seconds_left:.1f} s left"
    bar = ""
    if is_running:
        width = "" if fraction is None else f' style="width:{100 * min(max(fraction, 0), 1):.0f}%"'
        kind = "is-unknown" if fraction is None else ""
        bar = f'<{_BAR} {kind}" aria-hidden="true"><span{width}></span></span>'
    return f'<div class="status">{text}{bar}</div>'


def wire_stop(button: gr.Button, runs: list[Any], statuses: list[gr.HTML]) -> None:
    """Makes a button end these runs, and then show "Stopped" in the status lines of those that ran.

    In this order, because an update of a run that still goes on would overwrite the word.
    """
    _end_lines(button.click(None, cancels=runs, **FREE).then, statuses)
    wire_failure(runs, statuses)


def wire_failure(runs: list[Any], statuses: list[gr.HTML]) -> None:
    """Ends the bar of a run that failed, which would go on for ever.

    A cancelled run fails, too, so both show the same.
    """
    for run in runs:
        _end_lines(run.failure, statuses)


def _end_lines(when: Callable[..., Any], statuses: list[gr.HTML]) -> None:
    """Shows "Stopped" in the lines that have a bar, after updates that are on their way."""
    arrived = when(lambda: time.sleep(0.3), None, None, **FREE)
    arrived.then(_say_stopped, statuses, statuses, **FREE)


def _say_stopped(*lines: object) -> Any:
    """Leaves the lines of ended runs; a run may be stopped before its first status arrives."""
    ready = done("Ready")
    updates = [
        done("Stopped") if _BAR in str(line) or line == ready else gr.skip() for line in lines
    ]
    return updates if len(updates) > 1 else updates[0]


def status_line() -> gr.HTML:
    """The status of a tab's run. Always in the same place, so nothing jumps."""
    return gr.HTML(value=done("Ready"), label="Status", elem_classes="status-box", padding=False)
