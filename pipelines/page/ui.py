"""What the tabs share: the look, the model picker, progress, and errors for people.

Text of a visitor or a model never becomes HTML here: what goes into ``gr.HTML`` is
made of numbers and escaped words alone.
"""

from __future__ import annotations

import functools
import html
import inspect
import logging
import time
from abc import ABCMeta
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import gradio as gr
from gradio.components import Component
from gradio.data_classes import ImageData
from pydantic import ConfigDict, ValidationError

from pipelines.errors import InvalidValue, StudioError
from pipelines.events import Progress
from pipelines.hub import names_here
from pipelines.settings import Settings
from pipelines.tasks import Task

logger = logging.getLogger(__name__)

CSS = (Path(__file__).parent / "ui.css").read_text(encoding="utf-8")
JS = (Path(__file__).parent / "ui.js").read_text(encoding="utf-8")

FREE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""Options of handlers that compute nothing and are no endpoints."""
PICTURES: dict[str, Any] = {
    "interactive": False,
    "format": "png",
    "buttons": ["download", "fullscreen"],
}
"""Options of pictures that are shown. Gradio's share button would send them to the Hub."""
TASKS = [("Write", "write"), ("Paint", "paint"), ("Describe", "describe")]
"""The choices of a task."""

INK = gr.themes.Color(
    name="ink",
    c50="#eef5f4", c100="#d6e8e6", c200="#aed2ce", c300="#80b8b3", c400="#4f9a95", c500="#2f7d79",
    c600="#1f6663", c700="#18514f", c800="#143f3e", c900="#0f302f", c950="#0a2120",
)  # fmt: skip
PAPER = gr.themes.Color(
    name="paper",
    c50="#fbf9f5", c100="#f4f0e8", c200="#e7e0d3", c300="#d2c8b7", c400="#a89d8b", c500="#766c5d",
    c600="#5a5247", c700="#3f3a33", c800="#292622", c900="#1d1b19", c950="#141312",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Ink on paper: calm, one accent, system fonts, so that nothing is fetched."""
    return gr.themes.Base(
        primary_hue=INK,
        secondary_hue=INK,
        neutral_hue=PAPER,
        radius_size=gr.themes.sizes.radius_md,
        font=["ui-sans-serif", "system-ui", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        slider_color="*primary_500",
    )


def endpoint(name: str, handler: Callable[..., Any]) -> dict[str, Any]:
    """Options that make a handler an endpoint whose whole docstring is shown, its ``Args`` too."""
    return {"api_name": name, "api_description": inspect.getdoc(handler)}


def _handing_over(
    component: type[Component], preprocess: Callable[..., Any], **members: Any
) -> Any:
    """A subclass that hands over what was sent, for the pipeline's own check to answer.

    Gradio's check would run before any handler, and its error has no words for a visitor.
    It has to be a class: after an update Gradio makes a session's component anew. It is
    made past Gradio's metaclass, which writes a ``.pyi`` beside the source of every class.
    """
    body = {"preprocess": preprocess, "__module__": __name__, "__doc__": component.__doc__}
    body |= members
    return ABCMeta.__new__(type(component), component.__name__, (component,), body)


def _as_sent(self: Component, payload: Any) -> Any:
    return payload


_NO_UPLOAD = "The picture is no file that was uploaded here. Upload, paste or take one."


class _PictureData(ImageData):
    """What a client sends of a picture; what is none is told in words."""

    model_config = ConfigDict(title="ImageData")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise _for_people(InvalidValue(_NO_UPLOAD)) from error


def _path_of_upload(self: Component, payload: Any) -> str | None:
    """Gradio looks only at files that a client calls such, and takes other paths as they are."""
    if payload is None:
        return None
    try:
        path = Path(payload.path or "").resolve()
        is_upload = path.is_relative_to(Path(self.GRADIO_CACHE).resolve()) and path.is_file()
    except (OSError, ValueError):  # a name that no disk takes
        is_upload = False
    if not is_upload:
        raise _for_people(InvalidValue(_NO_UPLOAD))
    return str(path)


_Slider = _handing_over(gr.Slider, _as_sent)
_Number = _handing_over(gr.Number, _as_sent)
_Textbox = _handing_over(gr.Textbox, _as_sent)
_Image = _handing_over(gr.Image, _path_of_upload, data_model=_PictureData)


def slider(*args: Any, **options: Any) -> gr.Slider:
    """A slider whose value is checked by the pipeline alone."""
    return cast(gr.Slider, _Slider(*args, **options))


def number(*args: Any, **options: Any) -> gr.Number:
    """A number that is neither rounded nor refused before the pipeline sees it."""
    return cast(gr.Number, _Number(*args, **options))


def textbox(*args: Any, **options: Any) -> gr.Textbox:
    """A text box; a number sent to it stays a number, and is refused."""
    return cast(gr.Textbox, _Textbox(*args, **options))


def picture(**options: Any) -> gr.Image:
    """A picture to upload, handed over as the path of a file that was; ``images.open_picture``
    opens it."""
    return cast(gr.Image, _Image(**options))


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


def model_picker(
    settings: Settings, task: Task, label: str = "Model", index: int = 0, **options: Any
) -> gr.Dropdown:
    """A dropdown of the task's local models that takes a Hub reference as well.

    Args:
        index: which of them to begin with; the last where there are fewer.
    """
    names = names_here(settings, task)
    return gr.Dropdown(
        choices=names,
        value=names[min(index, len(names) - 1)] if names else None,
        label=label,
        info="Choose one, or type a Hub reference, owner/repo. base + lora:0.8 puts a LoRA on it.",
        allow_custom_value=True,
        interactive=True,
        **options,
    )


def local_choices(settings: Settings, task: Task) -> dict[str, Any]:
    """An update of a picker: the local models as they are now; the choice stays."""
    update: dict[str, Any] = gr.update(choices=names_here(settings, task))
    return update


def seed_box(info: str = "-1: a new one each time", **options: Any) -> gr.Number:
    """-1 for a random seed; the seed that was used is shown with the result."""
    return number(value=-1, precision=0, label="Seed", info=info, **options)


def card_button(**options: Any) -> gr.UploadButton:
    """Takes a card, for a panel to be set up by it."""
    return gr.UploadButton("Open a card", file_types=[".json"], size="sm", **options)


def link_box(**options: Any) -> gr.Textbox:
    """Where the query that opens the page on a comparison is shown, once there is one."""
    return gr.Textbox(
        label="Link: add it to the page's address", interactive=False, visible=False, max_lines=1,
        buttons=["copy"], **options,
    )  # fmt: skip


_BAR = 'span class="bar'
"""What the line of a run has, as long as it goes on."""


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
    """Makes a button end these runs and then say so in the status lines of those that ran.

    First the one, then the other: the page works through a click's handlers in turn, and
    an update of a run that still goes on would be drawn over the word.
    """
    _end_lines(button.click(None, cancels=runs, **FREE).then, statuses)
    wire_failure(runs, statuses)


def wire_failure(runs: list[Any], statuses: list[gr.HTML]) -> None:
    """Ends the bar of a run that failed, which would go on for ever.

    One that is cancelled fails, too, so both say the same.
    """
    for run in runs:
        _end_lines(run.failure, statuses)


def _end_lines(when: Callable[..., Any], statuses: list[gr.HTML]) -> None:
    """Says so in the lines that have a bar, once what was on its way had time to arrive."""
    arrived = when(lambda: time.sleep(0.3), None, None, **FREE)
    arrived.then(_say_stopped, statuses, statuses, **FREE)


def _say_stopped(*lines: object) -> Any:
    """What has ended stays as it is; a run may be stopped before its first word arrives."""
    ready = done("Ready")
    told = [done("Stopped") if _BAR in str(line) or line == ready else gr.skip() for line in lines]
    return told if len(told) > 1 else told[0]


def status_line() -> gr.HTML:
    """Where a tab tells how a run goes. Always in the same place, so nothing jumps."""
    return gr.HTML(value=done("Ready"), label="Status", elem_classes="status-box", padding=False)


def receipt_box(label: str = "Receipt", **options: Any) -> gr.JSON:
    """A closed accordion with the receipt of the last result."""
    with gr.Accordion("Receipt", open=False):
        return gr.JSON(label=label, **options)


def notes_text(notes: list[str]) -> dict[str, Any]:
    """An update for a plain text box of remarks; hidden while there are none."""
    update: dict[str, Any] = gr.update(value="\n".join(notes), visible=bool(notes))
    return update


def notes_box() -> gr.Textbox:
    """Remarks that quote the visitor: plain text, never markup."""
    return gr.Textbox(
        label="Good to know",
        visible=False,
        interactive=False,
        lines=1,
        max_lines=8,
        elem_classes="notes",
    )


def shows_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The one place where errors become ``gr.Error``: ours as they read, others logged.

    How long a handler took is logged for ``--debug``.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def streamed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _errors_for_people(handler):
                yield from handler(*args, **kwargs)

        return streamed

    @functools.wraps(handler)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with _errors_for_people(handler):
            return handler(*args, **kwargs)

    return plain


@contextmanager
def _errors_for_people(handler: Callable[..., Any]) -> Iterator[None]:
    began = time.perf_counter()
    name = f"{handler.__module__}.{handler.__qualname__}"
    try:
        yield
    except Exception as error:
        raise _for_people(error) from error
    finally:
        logger.debug("%s took %.3f s", name, time.perf_counter() - began)


def _for_people(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, StudioError):
        logger.debug("answered with an error", exc_info=error)
        return gr.Error(html.escape(str(error), quote=False), duration=15, print_exception=False)
    logger.error("a handler failed", exc_info=error)
    return gr.Error(
        "Something went wrong on our side; the log has the details. Other runs are not affected."
    )


def facts(*pairs: tuple[str, str]) -> str:
    """``**seed** 7 · **total** 1.2 s``: a line of numbers under a result, as Markdown."""
    return " · ".join(f"**{name}** {value}" for name, value in pairs)
