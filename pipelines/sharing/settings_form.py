"""The fields of settings that comparisons and evaluations offer, made of the tasks' records."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from pipelines.errors import listed
from pipelines.page import ui
from pipelines.settings import Limits
from pipelines.tasks import Setting, TaskRecord
from pipelines.validation import OWN, Choice, Number, rule_of

_MOST_BUTTONS = 3
"""With more options a list takes their place."""


def offered(
    records: Iterable[TaskRecord], is_offered: Callable[[Setting], bool]
) -> dict[str, list[tuple[TaskRecord, Setting]]]:
    """The settings of several tasks by the names of their fields, with the tasks that have them."""
    found: dict[str, list[tuple[TaskRecord, Setting]]] = {}
    for record in records:
        for setting in filter(is_offered, record.settings):
            found.setdefault(setting.field, []).append((record, setting))
    return found


def later(settings: Mapping[str, Sequence[tuple[TaskRecord, Setting]]]) -> list[str]:
    """The fields of settings that were added later, whose parameters come last."""
    return [name for name, ((_, setting), *_) in settings.items() if setting.is_later]


def about(rows: Iterable[tuple[TaskRecord, Setting]]) -> str:
    """What the API's documentation says of a setting, as its first task has it."""
    rows = list(rows)
    return f"for {listed(record.name for record, _ in rows)}: {rows[0][1].about}."


def widget(record: TaskRecord, setting: Setting, limits: Limits, slug: str, **options: Any) -> Any:
    """A slider, a number, buttons or a list, as the rule of the request's field is.

    Args:
        slug: the first part of its id.
        options: those of the component; they take the place of the setting's own.
    """
    kind = record.pipeline.Request
    rule = rule_of(kind, setting.name)
    shown = {
        "label": setting.label, "value": record.usual(setting), "info": setting.info or None,
        "elem_id": f"{slug}-{setting.id or setting.field}", **options,
    }  # fmt: skip
    if isinstance(rule, Choice) and len(rule.options) <= _MOST_BUTTONS:
        return gr.Radio(list(rule.options), **shown)
    if isinstance(rule, Choice):
        return gr.Dropdown(list(rule.options), interactive=True, **shown)
    if shown["value"] is None:
        shown["value"] = OWN
    if isinstance(rule, Number) and rule.or_own and rule.low > 0:  # a slider would have a gap
        return ui.number(**shown)
    if setting.maximum is not None:
        shown["maximum"] = setting.maximum
    return ui.setting(kind("", ""), setting.name, limits, step=setting.step, **shown)


def endpoint(
    handler: Callable[..., Any], does: str, parameters: Mapping[str, str], optional: Iterable[str]
) -> Callable[..., Any]:
    """A handler of any number of values as an endpoint that names and documents each of them.

    Args:
        does: what the endpoint does.
        parameters: what each value is, by name, in their order.
        optional: those that may be left out, and are None then.
    """
    taken = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = {name: {"default": None} if name in optional else {} for name in parameters}
    named = [inspect.Parameter(name, taken, **default) for name, default in own.items()]
    handler.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    lines = (f"    {name}: {text}" for name, text in parameters.items())
    handler.__doc__ = "\n".join([does, "", "Args:", *lines])
    return handler


def filled_in(changed: Mapping[Any, Any], values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Updates of a panel, with these values added.

    A slider's maximum grows to its value, which it could not show otherwise.
    """
    updates = dict(changed)
    for widget, value in values.items():
        updates[widget] = {**changed.get(widget, gr.update()), "value": value}
        if isinstance(widget, gr.Slider):
            updates[widget]["maximum"] = max(widget.maximum, value)
    return updates
