"""The settings in a picture that somebody drops on Paint: ours, and those of other programs.

What a program wrote is read as text and as JSON within bounds, and never evaluated. Every value is
checked as a visitor's own would be; what is not taken is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue, abbreviated
from pipelines.files.images import open_picture
from pipelines.files.picture_texts import texts_in
from pipelines.runtime.receipts import PNG_KEY
from pipelines.settings import Limits
from pipelines.text_to_image import a1111, comfyui
from pipelines.text_to_image.pipeline import PaintRequest
from pipelines.validation import rule_of

_OURS = "this page"
_MOST_SEED = 2**53 - 1
"""The largest that a browser's number keeps to the last digit."""
_MOST_CHARACTERS = 2_000_000
_MOST_DEPTH = 60
_MOST_LEFT = 40
_TAG = re.compile(r"<(?:lora|lyco|hypernet):[^<>]{1,200}>")
_WEIGHT = re.compile(r"\([^()]{1,200}:\s*\d+(?:\.\d+)?\)")
_SIZE = re.compile(r"\D*(\d{1,5})\D+(\d{1,5})\D*")
_NAMES = {
    "prompt": "prompt", "positive_prompt": "prompt",
    "negative prompt": "negative_prompt", "negative_prompt": "negative_prompt",
    "steps": "steps",
    "cfg scale": "guidance_scale", "cfg_scale": "guidance_scale",
    "guidance_scale": "guidance_scale", "guidance scale": "guidance_scale",
    "seed": "seed", "width": "width", "height": "height", "model": "model",
    "base_model": "model", "scheduler": "scheduler",
}  # fmt: skip
"""What programs call the fields of a request, in small letters."""
_SCHEDULERS = {
    "ddim": "DDIM",
    "euler": "Euler", "k_euler": "Euler", "euler_k": "Euler",
    "euler a": "Euler ancestral", "euler_ancestral": "Euler ancestral",
    "k_euler_a": "Euler ancestral", "euler_a": "Euler ancestral",
    "dpm++ 2m": "DPM++ 2M", "dpmpp_2m": "DPM++ 2M",
    "dpm++ 2m karras": "DPM++ 2M Karras", "dpmpp_2m_k": "DPM++ 2M Karras",
    "dpm++ 2m sde": "DPM++ 2M SDE", "dpmpp_2m_sde": "DPM++ 2M SDE",
    "heun": "Heun", "k_heun": "Heun", "lcm": "LCM", "tcd": "TCD",
    "pndm": "PNDM", "plms": "PNDM",
    "unipc": "UniPC", "uni_pc": "UniPC",
}  # fmt: skip
"""Samplers of other programs that are here, in small letters."""
_PLAIN_SCHEDULES = ("", "automatic", "uniform", "normal", "simple", "ddim", "ddim_uniform")


@dataclass
class Taken:
    """The values of a request's fields that a picture has, and what of it is not taken."""

    program: str
    fields: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What was taken and, a line each, what was not."""
        if not self.fields:
            return [f"The settings of {self.program} in this picture have no field here."]
        names = ", ".join(self.fields).replace("_", " ")
        more = len(self.left) - _MOST_LEFT
        lines = [f"Not taken: {each}" for each in self.left[:_MOST_LEFT]]
        rest = [f"Not taken: {more} more"] if more > 0 else []
        return [f"From {self.program}: {names}.", *lines, *rest]


def settings_in(path: Path, limits: Limits, chosen: str, models: Sequence[str]) -> Taken:
    """The settings in a picture's file. The model is named and not taken.

    Args:
        chosen: the model that is chosen on the page.
        models: the names of painters here.

    Raises:
        InvalidValue: the picture may not be opened, or there are none in it.
    """
    open_picture(path, limits)  # refuses what is too large or no picture
    texts = texts_in(path)
    found = _found(texts)
    if found is None:
        raise InvalidValue(
            "This picture holds no settings of this page, AUTOMATIC1111, InvokeAI, ComfyUI or "
            "Fooocus. Programs that send pictures on often remove them; give the file as it was "
            "painted."
        )
    program, values = found
    taken = Taken(program)
    _take(taken, values, limits, chosen, models)
    return taken


def _found(texts: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """The program whose settings stand in these texts, and their values by its names."""
    receipt = _json(texts.get(PNG_KEY))
    if isinstance(receipt.get("request"), dict):
        return _OURS, {**receipt["request"]}
    for text in (texts.get(a1111.KEYWORD), texts.get("UserComment")):
        if text is None:
            continue
        if values := _json(text):
            return "Fooocus", values
        if len(text) <= _MOST_CHARACTERS and "steps" in (read := _small(a1111.read(text))):
            return "AUTOMATIC1111", read
    if values := _json(texts.get("invokeai_metadata")):
        return "InvokeAI", values
    if values := _json(texts.get("sd-metadata")):
        return "InvokeAI", _old_invoke(values)
    for graph in (_json(texts.get("prompt")), comfyui.from_canvas(_json(texts.get("workflow")))):
        if values := comfyui.read(graph):
            return "ComfyUI", values
    return None


def _small(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in values.items()}


def _json(text: str | None) -> dict[str, Any]:
    """The JSON object in a text; empty where it is none, too long or nested too deeply."""
    if text is None or len(text) > _MOST_CHARACTERS:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and _is_shallow(value) else {}


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_DEPTH):
        inside = [each.values() if isinstance(each, dict) else each for each in level]
        level = [v for values in inside for v in values if isinstance(v, dict | list)]
        if not level:
            return True
    return False


def _old_invoke(values: dict[str, Any]) -> dict[str, Any]:
    """``sd-metadata``: the settings stand in ``image``, a negative prompt in square brackets."""
    image = values.get("image")
    image = {**image} if isinstance(image, dict) else {}
    prompts = image.pop("prompt", "")
    if isinstance(prompts, list):
        each = [p.get("prompt") if isinstance(p, dict) else p for p in prompts]
        prompts = ", ".join(p for p in each if isinstance(p, str))
    text = prompts if isinstance(prompts, str) else ""
    negative = ", ".join(re.findall(r"\[([^\[\]]{1,2000})\]", text))
    positive = re.sub(r"\[[^\[\]]{1,2000}\]", "", text).strip()
    model = values.get("model_weights", "")
    return {**image, "prompt": positive, "negative prompt": negative, "model": model}


def _take(
    taken: Taken, values: dict[str, Any], limits: Limits, chosen: str, models: Sequence[str]
) -> None:
    values = _small(values)
    others = values.pop("others", [])
    _take_size(taken, values, limits)
    if taken.program != _OURS:
        _take_scheduler(taken, values)
    for name, value in values.items():
        target = _NAMES.get(name)
        if value is None:
            continue
        if target == "model":
            _take_model(taken, value, chosen, models)
        elif target is not None:
            _take_field(taken, target, _number(value, target), limits)
        elif value not in ("", [], {}) and name not in ("count", "version"):
            taken.left.append(f"{name}: {abbreviated(value)}")
    taken.left += [str(each) for each in others]


def _number(value: Any, target: str) -> Any:
    """A number where a text holds one; a prompt stays a text."""
    if target.endswith("prompt") or not isinstance(value, str):
        return value
    try:
        return float(value) if target == "guidance_scale" else int(value)
    except ValueError:
        return value


def _take_field(taken: Taken, target: str, value: Any, limits: Limits) -> None:
    if target.endswith("prompt") and isinstance(value, str) and taken.program != _OURS:
        taken.left += [f"{tag} in the {target.replace('_', ' ')}" for tag in _TAG.findall(value)]
        value = _TAG.sub("", value).strip()
        if weights := _WEIGHT.findall(value):
            taken.left.append(f"the weight in {weights[0]}, which is read as plain words here")
    if target == "seed" and isinstance(value, int) and value > _MOST_SEED:
        taken.left.append(
            f"seed: {value}; the field holds whole numbers up to {_MOST_SEED} exactly"
        )
        return
    try:
        taken.fields[target] = rule_of(PaintRequest, target).check(target, value, limits)
    except InvalidValue as error:
        taken.left.append(str(error))


def _take_model(taken: Taken, value: Any, chosen: str, models: Sequence[str]) -> None:
    """Says which model it was: a stranger's word never chooses one."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("model_name") or value
    if value == chosen:
        return
    if value in models:
        taken.left.append(
            f"model: {abbreviated(value)} is here, too; choose it and drop the picture again"
        )
    elif value:
        taken.left.append(f"model: {abbreviated(value)}; the one that is chosen here stays")


def _take_size(taken: Taken, values: dict[str, Any], limits: Limits) -> None:
    """Both sides or neither. ``Size`` is ``512x768``, ``resolution`` may be ``(512, 768)``."""
    for name in ("size", "resolution"):
        given = values.pop(name, None)
        match = _SIZE.fullmatch(str(given)) if given is not None else None
        if match is not None:
            values["width"], values["height"] = match.groups()
    width, height = values.pop("width", None), values.pop("height", None)
    if width is None or height is None:
        return
    sizes = Taken(taken.program)
    for name, value in (("width", width), ("height", height)):
        _take_field(sizes, name, _number(value, name), limits)
    taken.left += sizes.left
    if len(sizes.fields) == 2:
        taken.fields |= sizes.fields


def _take_scheduler(taken: Taken, values: dict[str, Any]) -> None:
    """A sampler with its schedule, which older versions and InvokeAI write as one."""
    given = values.pop("sampler" if "sampler" in values else "scheduler", None)
    schedule = values.pop("schedule type", None) or values.pop("schedule", None)
    schedule = str(schedule or values.pop("scheduler", None) or "").lower()
    if given is None:
        return
    name = _SCHEDULERS.get(str(given).lower())
    if name == "DPM++ 2M" and schedule in ("karras", "automatic"):  # its automatic one is Karras
        name, schedule = "DPM++ 2M Karras", ""
    if name == "DPM++ 2M Karras" and schedule == "karras":
        schedule = ""
    if name is None or schedule not in _PLAIN_SCHEDULES:
        said = f"{given}, {schedule}" if schedule else str(given)
        taken.left.append(f"scheduler: {abbreviated(said)}, which is not here; choose another")
    else:
        taken.fields["scheduler"] = name
