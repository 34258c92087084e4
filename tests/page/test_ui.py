"""What the tabs share: errors for people, progress that is safe to show, pickers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from gradio.routes import App
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.events import Progress
from pipelines.page import fields, status, ui
from pipelines.settings import Limits, Settings
from pipelines.text_to_image.pipeline import PaintRequest
from tests.heif_writer import add_heif_writer


def test_an_error_of_ours_is_shown_as_it_reads() -> None:
    @ui.shows_errors
    def handler() -> None:
        raise InvalidValue("steps is 0; give a whole number from 1 to 150.")

    with pytest.raises(gr.Error, match=r"steps is 0; give a whole number from 1 to 150."):
        handler()


def test_an_error_in_the_middle_of_a_stream_is_shown_too() -> None:
    @ui.shows_errors
    def handler() -> Iterator[int]:
        yield 1
        raise InvalidValue("enough")

    run = handler()
    assert next(run) == 1
    with pytest.raises(gr.Error, match="enough"):
        next(run)


def test_a_visitors_markup_in_an_error_stays_text() -> None:
    @ui.shows_errors
    def handler() -> None:
        raise InvalidValue("There is no model '<img src=x onerror=alert(1)>'")

    with pytest.raises(gr.Error, match="&lt;img"):
        handler()


def test_a_fault_of_ours_is_logged_and_its_text_is_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @ui.shows_errors
    def handler() -> None:
        raise KeyError("/secret/path")

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as shown:
        handler()
    assert "secret" not in str(shown.value)
    assert "secret" in caplog.text


@pytest.mark.parametrize(("fraction", "width"), [(0.5, "50%"), (-1.0, "0%"), (3.0, "100%")])
def test_a_progress_bar_is_as_wide_as_the_work_done(fraction: float, width: str) -> None:
    assert f"width:{width}" in ui.progress_bar(Progress("Step", fraction))


def test_progress_tells_seconds_left_and_escapes_its_words() -> None:
    bar = ui.progress_bar(Progress("<b>Loading</b>", None, 1.25))
    assert "<b>" not in bar
    assert "1.2 s left" in bar


def test_stopped_is_said_where_something_ran() -> None:
    """A press of Stop beside a finished run made "Done" into "Stopped"."""
    running = ui.progress_bar(Progress("Writing"))
    assert status._say_stopped(running) == ui.done("Stopped")
    assert status._say_stopped(ui.done("Done")) == gr.skip()
    assert status._say_stopped(ui.done("Ready")) == ui.done("Stopped"), "before its first word"
    told = status._say_stopped(ui.done("Done"), running)
    assert told == [gr.skip(), ui.done("Stopped")]


def test_updates_are_let_through_at_a_pace() -> None:
    pace = ui.Pace(interval_seconds=60)
    assert pace.is_due()
    assert not pace.is_due()


def test_a_picker_offers_the_models_of_its_task_alone(settings: Settings) -> None:
    picker = ui.model_picker(settings, "paint")
    assert [name for name, _ in picker.choices] == ["tiny-painter"]
    assert picker.value == "tiny-painter"


def test_a_picker_of_no_models_is_empty_and_takes_a_reference(settings: Settings) -> None:
    from dataclasses import replace

    picker = ui.model_picker(replace(settings, models_dir=settings.data_dir), "write")
    assert picker.value is None
    assert picker.allow_custom_value


def test_a_value_reaches_the_handler_as_it_was_sent_after_an_update_too() -> None:
    """Gradio makes a component of a session anew when an update changes more than its value."""
    reached: list[Any] = []
    with gr.Blocks() as page:
        widgets = [ui.slider(1, 8, 2, step=1), ui.number(0, precision=0), ui.textbox("")]
        button = gr.Button()
        button.click(
            lambda: [gr.update(visible=True)] * 3, None, widgets, api_name="show", queue=False
        )
        button.click(lambda *values: reached.append(values), widgets, None, api_name="take")
    sent = [99, 1.5, 7]
    with TestClient(App.create_app(page)) as client:
        for name, data in (("take", sent), ("show", []), ("take", sent)):
            answer = client.post(
                f"/gradio_api/run/{name}", json={"data": data, "session_hash": "one"}
            )
            assert answer.status_code == 200, answer.text
    assert reached == [tuple(sent)] * 2


def test_a_setting_has_the_bounds_and_the_value_of_its_field() -> None:
    limits = Limits(steps=40)
    steps = ui.setting(PaintRequest("", "", steps=7), "steps", limits)
    assert (steps.minimum, steps.maximum, steps.value) == (-1, 40, 7), "-1: the model's own"
    count = ui.setting(PaintRequest("", "", count=2), "count", limits, maximum=3, value=1)
    assert (count.minimum, count.maximum, count.value) == (1, 3, 1)


def test_gradio_writes_no_stub_beside_our_source() -> None:
    assert not Path(fields.__file__).with_suffix(".pyi").exists()


def test_our_components_are_drawn_as_gradios_own() -> None:
    with gr.Blocks():
        made = [ui.slider(0, 1), ui.number(), ui.textbox(), ui.picture(type="filepath")]
    assert [widget.get_block_name() for widget in made] == ["slider", "number", "textbox", "image"]


@pytest.mark.parametrize(("kind", "is_drawn"), [("png", True), ("heic", False), ("tiff", False)])
def test_a_picture_that_browsers_do_not_draw_is_shown_as_one_that_they_do(
    tmp_path: Path, kind: str, is_drawn: bool
) -> None:
    add_heif_writer()
    path = tmp_path / f"IMG_0001.{kind}"
    Image.new("RGB", (32, 16), "red").save(path)
    shown = fields.drawable(str(path))
    assert shown == gr.skip() if is_drawn else shown.size == (32, 16)


@pytest.mark.parametrize("name", ["gone.heic", "broken.heic", None])
def test_a_picture_that_cannot_be_opened_waits_for_the_run_to_say_why(
    tmp_path: Path, name: str | None
) -> None:
    (tmp_path / "broken.heic").write_bytes(b"no picture")
    assert fields.drawable(None if name is None else str(tmp_path / name)) == gr.skip()
