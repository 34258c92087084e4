"""What the page does with models: one record a task, and what is known of a task nowhere else.

Importing this loads nothing: a record names its slice, which is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from pipelines import small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol

    class Pipeline(Protocol):
        """What every slice's ``pipeline.py`` has, under these names."""

        Request: type[Any]
        checked: Callable[[Any, Any], Any]
        generate: Callable[[Any, Any], Generator[Any, None, Any]]
        load: Callable[[Any, Any], Any]
        size_of: Callable[[Any], int]


Task = Literal["write", "paint", "describe"]


@dataclass(frozen=True)
class Setting:
    """A setting of a task where models are compared or evaluated; its widgets come from this row.

    The request of the task's slice has a field called ``name``, whose rule gives the range.

    Args:
        label: as its widgets have it, with ``info`` and, for a number, ``step`` and ``maximum``
            (that of the rule where it is None).
        about: what the API's documentation says of it.
        usual: what evaluations use where nobody chooses, and what a comparison begins with; None
            is the request's default.
        sides: what A and B begin with, where that is something else.
        shown_as: its name in links and in the API, where it is not ``name``.
        id: the last part of its widgets' ids, where that is not ``name``.
        evaluated: ``panel`` where visitors choose it, ``card`` where cards alone can, empty where
            evaluations do not have it.
        is_later: it was added after links, cards and stored samples were made without it. They
            mean the request's default, so it has no ``usual``; its parameters are the API's last.
    """

    name: str
    label: str = ""
    about: str = ""
    info: str = ""
    step: float = 1
    maximum: float | None = None
    usual: Any = None
    sides: tuple[str, ...] = ()
    shown_as: str = ""
    id: str = ""
    is_compared: bool = False
    evaluated: Literal["panel", "card", ""] = "card"
    is_later: bool = False

    @property
    def field(self) -> str:
        """The name of its field in links and in the API."""
        return self.shown_as or self.name


@dataclass(frozen=True)
class TaskRecord:
    """One task: what it is called, what goes in, what comes out, and where its code stands.

    ``hub_tags`` are the Hub's pipeline tags of its models; a model card of ours bears the first.
    ``slice`` is the package with its ``pipeline.py``.
    """

    name: Task
    label: str
    title: str
    does: str
    maker: str
    slice: str
    hub_tags: tuple[str, ...]
    takes: Literal["text", "picture"]
    makes: Literal["text", "pictures", "captions"]
    trains_on: Literal["texts", "captioned pictures"]
    first_output: str
    settings: tuple[Setting, ...]
    """What comparisons and evaluations can set."""
    shared: tuple[str, ...]
    """Fields of a request that both sides of a comparison share."""
    warm_up: Mapping[str, int]
    """Fields of a request that make a tiny run of it."""

    @property
    def families(self) -> Mapping[str, Any]:
        """What can be opened for this task, by the names that ``hub.families`` gives."""
        families: Mapping[str, Any] = import_module(f"{self.slice}.families").FAMILIES
        return families

    @property
    def compared(self) -> Mapping[str, str]:
        """Settings that each side of a comparison has: a request's names, and the page's."""
        return {each.name: each.field for each in self.settings if each.is_compared}

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Settings that an evaluation on the page offers."""
        return tuple(each.name for each in self.settings if each.evaluated == "panel")

    def usual(self, setting: Setting) -> Any:
        """The value of a setting where nobody chooses one."""
        if setting.usual is not None:
            return setting.usual
        return getattr(self.pipeline.Request, setting.name)

    @property
    def pipeline(self) -> Pipeline:
        """The slice's ``pipeline`` module."""
        return cast("Pipeline", import_module(f"{self.slice}.pipeline"))


_TEMPERATURE = Setting(
    "temperature", "Temperature", "from 0 (always the likeliest token) to 5",
    info="0: always the likeliest", step=0.05, maximum=2, is_compared=True, evaluated="panel",
)  # fmt: skip

TASKS: Mapping[Task, TaskRecord] = {
    record.name: record
    for record in (
        TaskRecord(
            name="write",
            label="Write",
            title="Writing",
            does="writes text",
            maker="writer",
            slice="pipelines.text_generation",
            hub_tags=("text-generation", "text2text-generation", "fill-mask"),
            takes="text",
            makes="text",
            trains_on="texts",
            first_output="First token",
            settings=(
                Setting("context", usual=1_024),
                Setting(
                    "max_new_tokens", "New tokens", "how many tokens to add at most",
                    usual=64, id="tokens", evaluated="panel",
                ),
                _TEMPERATURE,
                Setting("top_p"),
                Setting("top_k"),
            ),
            shared=("prompt", "seed", "max_new_tokens"),
            warm_up={"max_new_tokens": 2},
        ),
        TaskRecord(
            name="paint",
            label="Paint",
            title="Painting",
            does="paints pictures",
            maker="painter",
            slice="pipelines.text_to_image",
            hub_tags=("text-to-image",),
            takes="text",
            makes="pictures",
            trains_on="captioned pictures",
            first_output="First step",
            settings=(
                Setting(
                    "steps", "Steps", "denoising steps; -1 for the model's own",
                    info="-1: the model's own", usual=small_world.STEPS,
                    is_compared=True, evaluated="panel",
                ),
                Setting(
                    "guidance_scale", "Guidance scale",
                    "how closely to follow the prompt; 1 or less for not at all, -1 for the "
                    "model's own",
                    info="1 or less: not guided; -1: the model's own", step=0.5,
                    usual=small_world.GUIDANCE_SCALE, id="guidance",
                    is_compared=True, evaluated="panel",
                ),
                Setting(
                    "scheduler", "Scheduler", "the name of a sampler", usual=small_world.SCHEDULER,
                    sides=("Model's own", "Model's own"), is_compared=True,
                ),
            ),
            shared=("prompt", "seed"),
            warm_up={"steps": 1},
        ),
        TaskRecord(
            name="describe",
            label="Describe",
            title="Describing",
            does="describes pictures",
            maker="captioner",
            slice="pipelines.image_captioning",
            hub_tags=("image-to-text", "image-text-to-text"),
            takes="picture",
            makes="captions",
            trains_on="captioned pictures",
            first_output="First token",
            settings=(
                Setting("max_new_tokens", evaluated="panel"),
                replace(_TEMPERATURE, is_compared=False),
                Setting(
                    "method", "Method", '"beams" or "sampling"', sides=("beams", "sampling"),
                    is_compared=True, evaluated="panel",
                ),
                Setting(
                    "count", "Captions", "how many captions", shown_as="captions",
                    is_compared=True, evaluated="",
                ),
                Setting(
                    "no_repeat_ngram_size", "No-repeat n-gram size",
                    "no so many tokens in a row come twice; 0 for off, -1 for the model's own",
                    info="0: off; -1: the model's own",
                    is_compared=True, evaluated="panel", is_later=True,
                ),
                Setting(
                    "repetition_penalty", "Repetition penalty",
                    "from 0.1 to 10; above 1 a token that came is less likely, 1 for off, -1 for "
                    "the model's own",
                    info="1: off; -1: the model's own",
                    is_compared=True, evaluated="panel", is_later=True,
                ),
            ),
            shared=("seed",),
            warm_up={"max_new_tokens": 2},
        ),
    )
}  # fmt: skip
