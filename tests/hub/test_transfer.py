"""Bytes are counted over all files at once, and a download that is stopped says no more."""

from __future__ import annotations

import pytest

from pipelines.errors import Cancelled
from pipelines.events import Progress
from pipelines.hub.transfer import Transfer


def test_several_files_at_a_time_are_one_download() -> None:
    told: list[Progress] = []
    transfer = Transfer("ada/x", 100, told.append)
    with transfer.file("a", 60) as first, transfer.file("b", 40) as second:
        first(total=60).update(30)
        second(total=40).update(10)
        assert transfer.done == 40
        first(total=60).update(-30)  # the client begins again
        assert transfer.done == 10
    assert transfer.done == 100
    assert [event.fraction for event in told] == [0.0, 0.0, 0.3, 0.4, 0.1, 0.4, 1.0]
    assert told[-1].message.startswith("Downloading ada/x · ")
    assert told[-1].message.endswith("/s")
    assert (told[0].seconds_left, told[-1].seconds_left) == (None, 0)


def test_a_file_that_needs_no_fetching_counts_whole_and_none_counts_twice() -> None:
    told: list[Progress] = []
    transfer = Transfer("ada/x", 50, told.append)
    with transfer.file("a", 30):
        pass  # the client has its content from another name
    with transfer.file("b", 20) as bar:
        bar().update(90)  # more than it should be
        assert transfer.done == 50
    assert transfer.done == 50


def test_once_who_is_told_has_raised_every_piece_raises_the_same() -> None:
    told: list[Progress] = []

    def stop(event: Progress) -> None:
        told.append(event)
        if event.fraction:
            raise Cancelled("by the visitor")

    transfer = Transfer("ada/x", 100, stop)
    with pytest.raises(Cancelled, match="visitor"), transfer.file("a", 60) as bar:
        bar().update(30)
    with pytest.raises(Cancelled, match="visitor"), transfer.file("b", 40):
        pass
    transfer.end()
    with pytest.raises(Cancelled, match="visitor"):
        bar().update(1)
    assert len(told) == 2


def test_a_download_that_was_ended_takes_no_more_pieces() -> None:
    told: list[Progress] = []
    transfer = Transfer("ada/x", 100, told.append)
    with transfer.file("a", 60) as bar:
        pass
    transfer.end()
    with pytest.raises(Cancelled):
        bar().update(1)
    assert len(told) == 2
