"""A blocking call becomes a generator that tells, fails and stops as one expects."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import pytest

from pipelines.errors import Cancelled
from pipelines.events import Progress, with_result
from pipelines.runtime.streaming import Emit, stream


def test_events_come_in_order_and_then_the_result() -> None:
    def work(emit: Emit) -> str:
        for number in range(5):
            emit(number)
        return "done"

    assert list(with_result(stream(work))) == [0, 1, 2, 3, 4, "done"]


def test_events_arrive_while_the_work_goes_on() -> None:
    may_end = threading.Event()

    def work(emit: Emit) -> bool:
        emit("first")
        return may_end.wait(10)

    run = stream(work)
    assert next(run) == "first"
    may_end.set()
    with pytest.raises(StopIteration) as ended:
        next(run)
    assert ended.value.value is True


def test_the_works_exception_is_raised_to_the_reader() -> None:
    def work(emit: Emit) -> None:
        emit(1)
        raise ValueError("broken")

    run = stream(work)
    assert next(run) == 1
    with pytest.raises(ValueError, match="broken"):
        next(run)


def test_closing_stops_the_work_at_its_next_emit_and_waits_for_it() -> None:
    emitted = []
    ended: list[Any] = []

    def work(emit: Emit) -> None:
        try:
            for number in range(10_000):
                emit(number)
                emitted.append(number)
                time.sleep(0.01)
        except BaseException as error:
            ended.append(error)
            raise

    run = stream(work)
    next(run)
    next(run)
    count = len(emitted)
    run.close()
    assert isinstance(ended[0], Cancelled)  # the work had ended when close() returned
    assert len(emitted) <= count + 2
    after = len(emitted)
    time.sleep(0.05)
    assert len(emitted) == after


def test_to_emit_nothing_reaches_no_reader_and_still_stops_cancelled_work() -> None:
    ended: list[BaseException] = []

    def work(emit: Emit) -> None:
        emit(None)
        emit(1)
        try:
            while True:
                emit(None)
        except BaseException as error:
            ended.append(error)
            raise

    run = stream(work)
    assert next(run) == 1
    run.close()
    assert isinstance(ended[0], Cancelled)


def test_closing_one_stream_leaves_the_others_running() -> None:
    def work(emit: Emit) -> int:
        for number in range(20):
            emit(number)
            time.sleep(0.002)
        return 20

    one, other = stream(work), stream(work)
    next(one)
    next(other)
    one.close()
    *events, result = with_result(other)
    assert events == list(range(1, 20))
    assert result == 20


def test_nothing_runs_before_the_first_event_is_asked_for() -> None:
    began = threading.Event()
    run = stream(lambda emit: began.set())
    assert not began.wait(0.05)
    run.close()
    assert not began.is_set()


def test_a_stream_leaves_no_thread_behind() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    list(stream(lambda emit: emit(1)))

    def count(emit: Emit) -> None:
        for number in range(100):
            emit(number)

    half = stream(count)
    next(half)
    half.close()
    assert "triptych-run" not in names()


def test_progress_says_nothing_that_nobody_knows() -> None:
    assert Progress("Loading") == Progress("Loading", fraction=None, seconds_left=None)


def test_closing_does_not_wait_for_work_that_may_go_on_alone() -> None:
    """A visitor who stops during a long download got no answer until it had ended."""
    may_end, has_ended = threading.Event(), threading.Event()

    def download(emit: Emit) -> None:
        emit("begun")
        may_end.wait(10)
        has_ended.set()

    run = stream(download, may_go_on=True)
    assert next(run) == "begun"
    run.close()
    assert not has_ended.is_set()
    may_end.set()
    assert has_ended.wait(10)


def test_runs_one_after_another_share_a_thread() -> None:
    """Each thread that had computed kept OpenMP workers, and pictures took twice as long."""
    threads = [list(with_result(stream(lambda emit: threading.get_ident())))[-1] for _ in range(20)]
    assert len(set(threads)) == 1


def test_runs_at_the_same_time_have_threads_of_their_own() -> None:
    meet = threading.Barrier(3, timeout=10)

    def work(emit: Emit) -> int:
        emit("begun")
        return meet.wait()

    runs = [stream(work) for _ in range(3)]
    assert [next(run) for run in runs] == ["begun"] * 3
    places = [list(with_result(run))[-1] for run in runs]
    assert sorted(places) == [0, 1, 2]


def test_an_idle_thread_holds_on_to_nothing() -> None:
    class Model:
        """Something large."""

    def borrowed(emit: Emit) -> Model:
        model = Model()
        held.append(weakref.ref(model))
        return model

    held: list[weakref.ref[Model]] = []
    list(with_result(stream(borrowed)))
    deadline = time.monotonic() + 5
    while held[0]() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held[0]() is None
