"""A comparison as a link: its fields in the page's query string, ``/?compare=...``.

A link fills fields in and runs nothing. It comes from a stranger, so it is checked like any
visitor's input: of bounded length, with just the fields of its task, each in its range, and
models by name or Hub reference, never by path. A picture does not fit into it.
The links of evaluations and of duels are of the same letters: ``evaluation/link.py`` and
``votes/link.py``.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines import validation
from pipelines.errors import InvalidValue, abbreviated
from pipelines.hub.references import parse_composition, parse_reference
from pipelines.image_captioning.pipeline import METHODS, CaptionRequest
from pipelines.model_comparison.fields import SharedFields, SideFields
from pipelines.model_comparison.pipeline import NAMES, SIDES, TASKS, CompareRequest, SideRequest
from pipelines.settings import Limits
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image.families import SCHEDULERS
from pipelines.text_to_image.pipeline import PaintRequest

PARAMETER = "compare"
"""The name in the query string."""
MOST_CHARACTERS = 4_000
"""So long a link at most: servers and messengers cut longer ones."""

_LONGEST_MODEL = 2_000
_LOCAL_NAME = re.compile(r"[^\W_][^/\\:]{0,95}")
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "write": {"temperature": "temperature"},
    "paint": {"steps": "steps", "guidance_scale": "guidance_scale", "scheduler": "scheduler"},
    "describe": {"method": "method", "captions": "count"},
}
"""Of each task the settings of a side: the page's names, and the requests'."""
_REQUESTS: Mapping[str, type[Any]] = {
    "write": TextRequest,
    "paint": PaintRequest,
    "describe": CaptionRequest,
}
_SHARED: Mapping[str, tuple[str, ...]] = {
    "write": ("prompt", "seed", "max_new_tokens"),
    "paint": ("prompt", "seed"),
    "describe": ("seed",),
}


@dataclass(frozen=True)
class Setup:
    """What the page's fields hold; those of other tasks are as they are by default."""

    shared: SharedFields
    left: SideFields
    right: SideFields


def encode(setup: Setup) -> str:
    """The value of the query's parameter, in letters that need no escaping.

    Raises:
        InvalidValue: it would be longer than ``MOST_CHARACTERS``.
    """
    task = setup.shared.task
    content: dict[str, Any] = {"task": task}
    content |= {name: getattr(setup.shared, name) for name in _SHARED[task]}
    for side in SIDES:
        own = getattr(setup, side)
        content[NAMES[side]] = {n: getattr(own, n) for n in ("model", *_SETTINGS[task])}
    return packed(content, "Shorten the prompt, or hand on the card.")


def decode(text: object, limits: Limits) -> Setup:
    """The fields that a link's parameter holds.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    content = unpacked(text)
    task = validation.choice("task of the link", content.get("task"), TASKS)
    shared = ("task", *_SHARED[task])
    names = [NAMES[side] for side in SIDES]
    check_fields("The link", content, (*shared, *names))
    for name in names:
        check_fields(f"{name} of the link", content[name], ("model", *_SETTINGS[task]))
    given = _empty(task, *(content[name]["model"] for name in names))
    left, right = (
        replace(getattr(given, side), **content[name])
        for side, name in zip(SIDES, names, strict=True)
    )
    setup = Setup(replace(given.shared, **{name: content[name] for name in shared}), left, right)
    return checked(setup, limits)


def setup_of(request: CompareRequest) -> Setup:
    """The page's fields that make this request; its picture has to be given again.

    Raises:
        InvalidValue: the request sets something that the page has no field for.
    """
    task = validation.choice("task", request.task, TASKS)
    left: Any = request.left
    given = _empty(task, request.left.model, request.right.model)
    shared = {name: getattr(left, name) for name in _SHARED[task]}
    shared["seed"] = -1 if left.seed is None else left.seed
    for name in _SHARED[task]:
        if getattr(request.right, name) != getattr(left, name):
            raise InvalidValue(f"A and B have not the same {name}; the page gives one to both.")
    sides = [_side_of(task, getattr(given, side), getattr(request, side)) for side in SIDES]
    return Setup(replace(given.shared, **shared), *sides)


def _side_of(task: str, own: SideFields, request: SideRequest) -> SideFields:
    names = _SETTINGS[task]
    shown = {"model", "picture", "picture_sha256", *_SHARED[task], *names.values()}
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if field.name not in shown and value != field.default:
            raise InvalidValue(
                f"{field.name} is {abbreviated(value)}, and the page has no field for it: it "
                f"compares with {abbreviated(field.default)} alone."
            )
    found = {page: getattr(request, name) for page, name in names.items()}
    return replace(own, **{n: _shown(value) for n, value in found.items()})


def _shown(value: Any) -> Any:
    """How the page's fields have it: a number where a request leaves a setting to the model."""
    return validation.OWN if value is None else value


def checked(setup: Setup, limits: Limits) -> Setup:
    """The setup with every field of its task of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    task = validation.choice("task", setup.shared.task, TASKS)
    checks: Mapping[str, Callable[[str, Any], Any]] = {
        "prompt": lambda name, value: validation.text(name, value, longest_prompt(task, limits)),
        "seed": lambda name, value: page_seed(value),
        "max_new_tokens": lambda name, value: validation.whole_number(
            name, value, 1, limits.new_tokens
        ),
        "model": model_name,
        "temperature": lambda name, value: validation.number(name, value, 0.0, 5.0),
        "steps": lambda name, value: _shown(
            validation.whole_number_or_own(name, value, 1, limits.steps)
        ),
        "guidance_scale": lambda name, value: _shown(
            validation.number_or_own(name, value, 0.0, limits.guidance_scale)
        ),
        "scheduler": lambda name, value: validation.choice(name, value, list(SCHEDULERS)),
        "method": lambda name, value: validation.choice(name, value, METHODS),
        "captions": lambda name, value: validation.whole_number(name, value, 1, limits.captions),
    }
    shared = {name: checks[name](name, getattr(setup.shared, name)) for name in _SHARED[task]}
    sides = []
    for side in SIDES:
        own, named = getattr(setup, side), f"of {NAMES[side]}"
        names = ("model", *_SETTINGS[task])
        sides.append(replace(own, **{n: checks[n](f"{n} {named}", getattr(own, n)) for n in names}))
    return Setup(replace(setup.shared, **shared), *sides)


def longest_prompt(task: str, limits: Limits) -> int:
    """So many characters a task's prompt may have."""
    return limits.paint_prompt_characters if task == "paint" else limits.prompt_characters


def page_seed(value: object) -> int:
    """A seed as the page's field has it: -1 for a random one.

    Raises:
        InvalidValue: it is none.
    """
    seed = validation.seed_or_none(value)
    return -1 if seed is None else seed


def _empty(task: str, left: Any, right: Any) -> Setup:
    """A setup of two models with everything else as requests have it by default."""
    write, paint, describe = (_REQUESTS[name] for name in ("write", "paint", "describe"))
    side = SideFields(
        "", write.temperature, validation.OWN, validation.OWN, paint.scheduler, describe.method,
        describe.count,
    )  # fmt: skip
    shared = SharedFields(task, "", -1, write.max_new_tokens, None)
    return Setup(shared, replace(side, model=left), replace(side, model=right))


def packed(content: Mapping[str, Any], advice: str) -> str:
    """Fields by name as a link's parameter, in letters that need no escaping.

    Args:
        advice: what to do where it would be too long.

    Raises:
        InvalidValue: it would be longer than ``MOST_CHARACTERS``.
    """
    told = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    text = base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")
    if len(text) > MOST_CHARACTERS:
        raise InvalidValue(
            f"A link to this comparison would have {len(text):,} characters; at most "
            f"{MOST_CHARACTERS:,} are allowed. {advice}"
        )
    return text


def unpacked(text: object) -> dict[str, Any]:
    """The fields by name that a link's parameter holds, their values yet to be checked.

    Raises:
        InvalidValue: it holds none, is too long, or damaged.
    """
    if not isinstance(text, str) or re.fullmatch(r"[A-Za-z0-9_-]+", text) is None:
        raise InvalidValue(f"The link holds {abbreviated(text)}, no comparison. Copy it whole.")
    if len(text) > MOST_CHARACTERS:
        raise InvalidValue(
            f"The link has {len(text):,} characters; at most {MOST_CHARACTERS:,} are allowed."
        )
    try:
        told = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        content = json.loads(told.decode())
        json.dumps(content, ensure_ascii=False).encode()  # half a character cannot be shown
    except (ValueError, RecursionError) as error:
        raise InvalidValue("The link is damaged or cut off. Copy it whole.") from error
    if not isinstance(content, dict):
        raise InvalidValue("The link holds no comparison. Copy it whole.")
    return content


def check_fields(what: str, value: object, names: tuple[str, ...]) -> None:
    """Raises InvalidValue where ``value`` has other fields than these."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise InvalidValue(f"{what} must have just the fields {', '.join(names)}. Copy it whole.")


def model_name(name: str, value: object) -> str:
    """A name of this machine or a Hub reference, composed or plain; never a path.

    Raises:
        InvalidValue: it is neither.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    model = validation.text(name, value, _LONGEST_MODEL)
    for part in parse_composition(model):
        is_name = _LOCAL_NAME.fullmatch(part.text) is not None
        if not model.isprintable() or (not is_name and parse_reference(part.text) is None):
            raise InvalidValue(
                f"{name} is {abbreviated(value)}; give a model of the page by its name, or a Hub "
                "reference such as owner/repo."
            )
    return model
