"""The breaks of ``python -m tests.breaks`` fit today's code."""

from __future__ import annotations

import pytest

from pipelines.settings import ROOT
from tests.breaks import BREAKS, Break


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: f"{each.file}-{each.function}")
def test_the_line_that_a_break_makes_wrong_stands_once_in_its_file(each: Break) -> None:
    """One had been rewritten, so that nothing of its function was broken any more."""
    assert (ROOT / "pipelines" / each.file).read_text(encoding="utf-8").count(each.right) == 1
