"""What the tabs share, under one name: ``from pipelines.page import ui``."""

from pipelines.page.errors import for_people, shows_errors
from pipelines.page.fields import dropdown, number, picture, seed_box, setting, slider, textbox
from pipelines.page.pickers import FIRST, local_choices, model_picker, models_picker, task_picker
from pipelines.page.results import (
    PICTURES,
    card_button,
    facts,
    files_box,
    link_box,
    notes_box,
    notes_text,
    receipt_box,
    shown,
)
from pipelines.page.status import (
    FREE,
    PRIVATE,
    Pace,
    done,
    endpoint,
    progress_bar,
    run_buttons,
    run_options,
    status_line,
    wire_failure,
    wire_stop,
)
from pipelines.page.theme import CSS, JS, theme

__all__ = [
    "CSS", "FIRST", "FREE", "JS", "PICTURES", "PRIVATE", "Pace", "card_button", "done", "dropdown",
    "endpoint", "facts", "files_box", "for_people", "link_box", "local_choices", "model_picker",
    "models_picker", "notes_box", "notes_text", "number", "picture", "progress_bar", "receipt_box",
    "run_buttons", "run_options", "seed_box", "setting", "shown", "shows_errors", "slider",
    "status_line", "task_picker", "textbox", "theme", "wire_failure", "wire_stop",
]  # fmt: skip
