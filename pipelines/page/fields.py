"""Input fields that pass on the sent value unchecked, so that the pipeline's own check answers.

Gradio's checks would run before any handler, and their errors have no words for a visitor.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import gradio as gr
from gradio.components import Component
from gradio.data_classes import ImageData
from pydantic import ConfigDict, ValidationError

from pipelines.errors import InvalidValue
from pipelines.files.images import open_picture
from pipelines.page.errors import for_people
from pipelines.page.status import FREE
from pipelines.settings import Limits
from pipelines.validation import OWN, Number, Whole, bound, rule_of


def _handing_over(
    component: type[Component], preprocess: Callable[..., Any], **members: Any
) -> Any:
    """A subclass of a component with another ``preprocess``.

    It has to be a class: after an update Gradio makes a session's component anew. It
    bypasses Gradio's metaclass, which writes a ``.pyi`` beside the source of every class.
    """
    body = {"preprocess": preprocess, "__module__": __name__, "__doc__": component.__doc__}
    body |= members
    return ABCMeta.__new__(type(component), component.__name__, (component,), body)


def _as_sent(self: Component, payload: Any) -> Any:
    return payload


_NOT_DRAWN = frozenset({".heic", ".heif", ".tif", ".tiff"})
"""Endings of pictures that browsers show as a broken one."""

_NO_UPLOAD = "The picture is no file that was uploaded here. Upload, paste or take one."


class _PictureData(ImageData):
    """What a client sends as a picture; anything else is refused in words."""

    model_config = ConfigDict(title="ImageData")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise for_people(InvalidValue(_NO_UPLOAD)) from error


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
        raise for_people(InvalidValue(_NO_UPLOAD))
    return str(path)


def _whole_or_not(self: Any) -> dict[str, Any]:
    """What the API says of a slider: one that goes in whole steps takes whole numbers alone."""
    is_whole = isinstance(self.step, int) and isinstance(self.minimum, int)
    bounds = f"from {self.minimum} to {self.maximum}"
    return {"type": "integer" if is_whole else "number", "description": bounds}


def _any_or_listed(self: Any) -> dict[str, Any]:
    """What the API says of a dropdown: any text, where one may be typed."""
    listed: dict[str, Any] = {"enum": [value for _, value in self.choices]}
    if self.allow_custom_value:
        listed = {"type": "string"}
    elif all(isinstance(value, str) for value in listed["enum"]):
        listed["type"] = "string"
    return {"type": "array", "items": listed} if self.multiselect else listed


_Slider = _handing_over(gr.Slider, _as_sent, api_info=_whole_or_not)
_Dropdown = _handing_over(gr.Dropdown, gr.Dropdown.preprocess, api_info=_any_or_listed)
_Number = _handing_over(gr.Number, _as_sent)
_Textbox = _handing_over(gr.Textbox, _as_sent)
_Image = _handing_over(gr.Image, _path_of_upload, data_model=_PictureData)


def slider(*args: Any, **options: Any) -> gr.Slider:
    """A slider whose value is checked by the pipeline alone."""
    return cast(gr.Slider, _Slider(*args, **options))


def setting(request: Any, name: str, limits: Limits, **options: Any) -> gr.Slider:
    """A slider for a field of a request, which has its value, within the field's own bounds.

    Args:
        options: those of a slider; ``value`` and ``maximum`` take the place of the request's own.
    """
    rule = rule_of(type(request), name)
    assert isinstance(rule, Whole | Number), f"{name} is not a number"
    high = bound(rule.high, limits)
    own = {
        "minimum": OWN if rule.or_own else rule.low,
        "maximum": int(high) if isinstance(rule, Whole) else high,
        "value": getattr(request, name),
        "elem_classes": f"field-{name}",
    }
    return slider(**{**own, **options})


def dropdown(*args: Any, **options: Any) -> gr.Dropdown:
    """A dropdown whose type in the API is what it takes."""
    return cast(gr.Dropdown, _Dropdown(*args, **options))


def number(*args: Any, **options: Any) -> gr.Number:
    """A number that is neither rounded nor refused before the pipeline sees it."""
    return cast(gr.Number, _Number(*args, **options))


def textbox(*args: Any, **options: Any) -> gr.Textbox:
    """A text box; a number sent to it stays a number, and is refused."""
    return cast(gr.Textbox, _Textbox(*args, **options))


def picture(label: str = "Picture", **options: Any) -> gr.Image:
    """A picture to upload, handed over as the path of the uploaded file, which
    ``images.open_picture`` opens. What browsers do not draw is replaced by a PNG."""
    from_visitor = {"type": "filepath", "image_mode": None, "height": 280, "format": "png"}
    sources = ["upload", "clipboard", "webcam"]
    box = cast(gr.Image, _Image(label=label, **{**from_visitor, "sources": sources, **options}))
    box.upload(drawable, box, box, **FREE)
    return box


def drawable(path: str | None) -> Any:
    """An update for the box of an uploaded picture: the picture itself where no browser draws its
    file. One that cannot be opened stays, for the run to say why."""
    if path is None or Path(path).suffix.lower() not in _NOT_DRAWN:
        return gr.skip()
    try:
        return open_picture(Path(path), Limits())
    except InvalidValue:
        return gr.skip()


def seed_box(info: str = "-1: a new one each time", **options: Any) -> gr.Number:
    """-1 for a random seed; the seed that was used is shown with the result."""
    return number(value=-1, precision=0, label="Seed", info=info, **options)
