"""Settings as AUTOMATIC1111 writes them into a picture, for other programs, and as it reads them.

The form loses what has no name in it, so a receipt stands beside it, which counts here. Reading
follows ``parse_generation_parameters`` of its ``infotext_utils.py``; nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

KEYWORD = "parameters"
_NEGATIVE = "Negative prompt:"
_PARAMETER = re.compile(r'\s*(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_LEAST_PARAMETERS = 3
"""A last line with fewer is one of the prompt."""
_SAMPLERS = {
    "DDIM": ("DDIM", ""),
    "Euler": ("Euler", "Uniform"),
    "Euler ancestral": ("Euler a", "Uniform"),
    "DPM++ 2M": ("DPM++ 2M", "Uniform"),
    "DPM++ 2M Karras": ("DPM++ 2M", "Karras"),
    "DPM++ 2M SDE": ("DPM++ 2M SDE", "Uniform"),
    "Heun": ("Heun", "Uniform"),
    "LCM": ("LCM", ""),
    "PNDM": ("PLMS", ""),
    "TCD": ("TCD", ""),
    "UniPC": ("UniPC", ""),
}
"""Our schedulers as its samplers and types of schedule; the model's own has no name there."""


def written(request: Mapping[str, Any]) -> str:
    """The text of a picture whose receipt has this request.

    No hash stands in it: that of AUTOMATIC1111 is of one file, and a model here has several.
    """
    sampler, schedule = _SAMPLERS.get(request["scheduler"], ("", ""))
    values = {
        "Steps": request["steps"],
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{request['guidance_scale']:g}",
        "Seed": request["seed"],
        "Size": f"{request['width']}x{request['height']}",
        "Model": request["model"],
        "Version": "Triptych",
    }
    last = ", ".join(f"{name}: {_quoted(value)}" for name, value in values.items() if value != "")
    negative = request["negative_prompt"]
    lines = [request["prompt"], *([f"{_NEGATIVE} {negative}"] if negative else []), last]
    return "\n".join(lines).replace("\0", "").strip()


def _quoted(value: object) -> str:
    text = str(value)
    if any(mark in text for mark in ',:\n"'):
        return json.dumps(text, ensure_ascii=False)
    return text


def read(text: str) -> dict[str, str]:
    """Values by their names, with ``prompt`` and ``negative prompt``; ``Size`` as it stands."""
    *lines, last = text.strip().split("\n")
    found = _PARAMETER.findall(last)
    if len(found) < _LEAST_PARAMETERS:
        lines, found = [*lines, last], []
    positive: list[str] = []
    negative: list[str] = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(_NEGATIVE):
            negative.append(stripped.removeprefix(_NEGATIVE).strip())
        else:
            (negative if negative else positive).append(stripped)
    values = {"prompt": "\n".join(positive), "negative prompt": "\n".join(negative)}
    return values | {name: _unquoted(value.strip()) for name, value in found}


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
