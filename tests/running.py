"""How tests run a slice: to its end, in several threads at once, or closed half way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipelines.events import with_result
from pipelines.runtime.studio import Studio

Generate = Callable[[Studio, Any], Generator[Any, None, Any]]


def finished(generate: Generate, studio: Studio, request: Any) -> Any:
    """The result of a run."""
    *_, result = with_result(generate(studio, request))
    return result


def finished_together(generate: Generate, studio: Studio, requests: list[Any]) -> list[Any]:
    """The results of runs that go on at the same time, in the requests' order."""
    results: list[Any] = [None] * len(requests)
    barrier = threading.Barrier(len(requests))

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = finished(generate, studio, requests[index])
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@contextmanager
def loaded(studio: Studio) -> Iterator[Any]:
    """The model that the studio holds, after a run has loaded it."""
    (resident,) = studio.residency.residents()
    with studio.residency.lease(resident.key, pytest.fail, lambda model: 0) as lease:
        yield lease.model


class Calls:
    """Counts how often a torch module is called."""

    def __init__(self, module: Any) -> None:
        self.count = 0
        module.register_forward_pre_hook(self._called)

    def _called(self, module: Any, inputs: Any) -> None:
        self.count += 1
