"""Pickers of tasks and models."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.hub import names_here
from pipelines.page.fields import dropdown
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task

FIRST: Task = "write"
"""The task that every panel begins with: its models answer in seconds on any machine."""


def task_picker(**options: Any) -> gr.Radio:
    """The tasks by their labels."""
    choices = [(record.label, name) for name, record in TASKS.items()]
    return gr.Radio(choices, value=FIRST, label="Task", **options)


def model_picker(
    settings: Settings, task: Task, label: str = "Model", index: int = 0, **options: Any
) -> gr.Dropdown:
    """A dropdown of the task's local models that takes a Hub reference as well.

    Args:
        index: which of them to begin with; the last where there are fewer.
    """
    names = names_here(settings, task)
    return dropdown(
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


def models_picker(settings: Settings, most: int, info: str, **options: Any) -> gr.Dropdown:
    """A dropdown of several models; it begins with the first two of the first task."""
    names = names_here(settings, FIRST)
    return dropdown(
        names, value=names[:2], multiselect=True, max_choices=most, label="Models", info=info,
        allow_custom_value=True, interactive=True, **options,
    )  # fmt: skip
