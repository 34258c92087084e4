"""Text files to train on: counted, judged, and cut into passages of which nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.files.texts import FEW, check_texts, cut, passages
from pipelines.metrics.interval import FEWEST
from tests.recipes.finetune.conftest import TALE


@pytest.mark.parametrize("size", [60, 200, 1000])
def test_cutting_loses_nothing_and_ends_at_lines_where_it_can(size: int) -> None:
    text = (TALE * 8).strip()
    pieces = cut(text, size)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= size
    assert all(piece[-1].isspace() for piece in pieces[:-1])
    if size == 1000:
        assert all(piece.endswith("\n\n") for piece in pieces[:-1])


def test_a_text_without_spaces_is_cut_all_the_same() -> None:
    assert [len(piece) for piece in cut("x" * 250, 100)] == [100, 100, 50]


def test_what_a_file_is_good_for_is_known_before_training(tmp_path: Path) -> None:
    file = tmp_path / "tale.txt"
    file.write_text("\ufeff" + TALE * 60, encoding="utf-8")
    report = check_texts([file])
    text = (TALE * 60).strip()
    assert (report.files, report.characters) == (1, len(text))
    assert report.passages == len(passages([text])) >= 60
    assert report.held_out == round(report.passages / 10) >= FEW == FEWEST
    assert report.problems == report.notes == ()


def test_little_text_can_be_trained_on_and_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tale.txt"
    file.write_text(TALE * 13, encoding="utf-8")
    report = check_texts([file])
    assert report.problems == ()
    (note,) = report.notes
    assert note.startswith(f"{report.held_out} held out are too few to tell a gain from chance")


def test_too_little_text_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "tale.txt"
    file.write_text(TALE, encoding="utf-8")
    (problem,) = check_texts([file]).problems
    assert problem.startswith(
        f"{len(TALE.strip())} characters are too few; at least 2,000 are needed"
    )
