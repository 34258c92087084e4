"""Every case that failed in use has a test, and ``CASES.md`` names it rightly."""

from __future__ import annotations

import re

from pipelines.settings import ROOT

CASES = (ROOT / "tests/CASES.md").read_text(encoding="utf-8")


def test_the_table_of_cases_names_tests_that_exist() -> None:
    rows = [line for line in CASES.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for row in rows:
        named = re.search(r"`([\w/]+\.py)::(test_\w+)` \|$", row)
        assert named is not None, row
        source = (ROOT / "tests" / named[1]).read_text(encoding="utf-8")
        assert f"def {named[2]}(" in source, row
