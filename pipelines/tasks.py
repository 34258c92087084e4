"""What the page does with models: one record a task, and what is known of a task nowhere else.

Importing this loads nothing: a record names its slice, which is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

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
    compared: Mapping[str, str]
    """Settings that each side of a comparison has: a request's names, and the page's for them."""
    shared: tuple[str, ...]
    """Fields of a request that both sides of a comparison share."""
    evaluated: tuple[str, ...]
    """Settings that an evaluation on the page offers."""
    warm_up: Mapping[str, int]
    """Fields of a request that make a tiny run of it."""

    @property
    def families(self) -> Mapping[str, Any]:
        """What can be opened for this task, by the names that ``hub.families`` gives."""
        families: Mapping[str, Any] = import_module(f"{self.slice}.families").FAMILIES
        return families

    @property
    def pipeline(self) -> Pipeline:
        """The slice's ``pipeline`` module."""
        return cast("Pipeline", import_module(f"{self.slice}.pipeline"))


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
            compared={"temperature": "temperature"},
            shared=("prompt", "seed", "max_new_tokens"),
            evaluated=("max_new_tokens", "temperature"),
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
            compared={name: name for name in ("steps", "guidance_scale", "scheduler")},
            shared=("prompt", "seed"),
            evaluated=("steps", "guidance_scale"),
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
            compared={"method": "method", "count": "captions"},
            shared=("seed",),
            evaluated=("max_new_tokens", "temperature", "method"),
            warm_up={"max_new_tokens": 2},
        ),
    )
}
