"""The state that all slices share: settings, device and the models in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipelines import libraries
from pipelines.device import Device, choose_device
from pipelines.events import Progress
from pipelines.hub import Snapshot, resolve
from pipelines.hub.families import tasks_of_family
from pipelines.runtime.adapters import memory_of
from pipelines.runtime.residency import Lease, Residency
from pipelines.runtime.streaming import stream
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task


@dataclass(frozen=True)
class Loaded:
    """A model in use: its lease, and the snapshot it came from."""

    lease: Lease
    snapshot: Snapshot

    @property
    def model(self) -> Any:
        return self.lease.model


class Studio:
    """One page's shared state. Building it costs nothing; ``device`` imports torch on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.residency = Residency(settings.memory_budget_bytes)

    @cached_property
    def device(self) -> Device:
        return choose_device()

    def open(
        self,
        reference: object,
        task: Task,
        load: Callable[[Snapshot, Device], Any],
        size_of: Callable[[Any], int],
        *,
        in_float32: bool = False,
    ) -> Generator[Progress, None, Loaded]:
        """Resolves and loads a model, yielding progress; returns it with a lease to release.

        Adapters are not loaded: one base in memory serves all compositions with it, and
        who uses it puts on what ``Loaded.snapshot.adapters`` names.

        Args:
            in_float32: for numbers that do not fit the device's precision; such a model is
                kept beside the one in that precision.

        Raises:
            StudioError: the reference, the download or the load is at fault.
        """
        if not libraries.has(task):
            yield Progress("Importing libraries")
            yield from stream(lambda emit: libraries.import_for(task), may_go_on=True)
        device = replace(self.device, dtype_name="float32") if in_float32 else self.device
        snapshot = yield from stream(
            lambda emit: resolve(
                reference, task, self.settings, emit, device, self.residency.commits()
            ),
            may_go_on=True,
        )
        is_first = task == tasks_of_family(snapshot.family)[0]
        name = snapshot.reference if is_first else name_for_task(snapshot.reference, task)
        name = f"{name} in float32" if in_float32 else name
        lease = self.residency.lease(
            f"{name}@{snapshot.commit[:12]}",
            lambda: load(replace(snapshot, adapters=(), notes=()), device),
            size_of,
            expected_bytes=snapshot.parameters * device.dtype.itemsize,
            beside=memory_of(snapshot.adapters, device),
        )
        return Loaded((yield from waited(lease, snapshot.reference)), snapshot)


def name_for_task(reference: str, task: Task) -> str:
    """What a model that can do several tasks is called in memory where it is loaded for another
    than the first of them: each task's slice loads other parts of it."""
    return f"{reference} ({TASKS[task].maker})"


def waited(lease: Lease, name: str) -> Generator[Progress, None, Lease]:
    """The lease, once its model is there; released where the wait ends otherwise."""
    try:
        for seconds in lease.wait():
            yield Progress(f"Loading {name} · {seconds:.1f} s")
    except BaseException:
        lease.release()
        raise
    return lease


def parameter_bytes(*modules: Any) -> int:
    """The memory of these torch modules' parameters and buffers, in bytes."""
    tensors = (t for m in modules for t in (*m.parameters(), *m.buffers()))
    return sum(t.numel() * t.element_size() for t in tensors)
