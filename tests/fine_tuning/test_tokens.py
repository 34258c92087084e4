"""Tokens of a visitor's texts are counted by the base's own tokenizer, in bounded time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from pipelines.errors import InvalidValue
from pipelines.files.texts import TextReport
from pipelines.fine_tuning import tokens
from pipelines.fine_tuning.pipeline import check_data, windows_of
from pipelines.settings import ROOT, Settings
from tests.fine_tuning.conftest import TEXT


def said(settings: Settings, tale: Path, base: object = "tiny", window: object = 0) -> str | None:
    report = check_data("write", (tale,), settings.limits)
    assert isinstance(report, TextReport)
    return windows_of((tale,), report, base, window, settings)


def test_they_are_those_that_transformers_counts(settings: Settings, tale: Path) -> None:
    folder = tale.parent / "shipped/tiny"
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer = tokens.tokenizer_of(folder)
    assert tokenizer is not None
    count = len(theirs.encode(TEXT.strip(), add_special_tokens=False))
    assert tokens.counted(tokenizer, [TEXT.strip()], 60) == (count, True)
    line = said(settings, tale, window=16)
    assert line == f"{count:,} tokens: {round(count * 0.9) // 16:,} windows of 16 a pass."


def test_large_data_are_estimated_when_the_time_is_up(settings: Settings, tale: Path) -> None:
    tokenizer = tokens.tokenizer_of(tale.parent / "shipped/tiny")
    assert tokenizer is not None
    long = [TEXT * 20, TEXT * 10]
    exact, is_whole = tokens.counted(tokenizer, long, 60)
    assert is_whole
    estimate, is_whole = tokens.counted(tokenizer, long, 0)
    assert not is_whole
    assert estimate == pytest.approx(exact, rel=0.02)
    assert tokens.in_words(5_000, False, 0.9, 1_000).startswith("about 5,000 tokens: 4 windows of")


def test_texts_that_fill_no_window_say_what_to_do() -> None:
    assert tokens.in_words(1_000, True, 0.9, 900) == "1,000 tokens: 1 window of 900 a pass."
    assert tokens.in_words(1_000, True, 0.9, 901) == (
        "1,000 tokens: those to train on do not fill one window of 901, so every step sees the "
        'same. Give more text, or a smaller "Window".'
    )


@pytest.mark.parametrize("base", ["owner/not-here", "../tiny", None, 3])
def test_a_base_that_is_not_here_has_no_count(settings: Settings, tale: Path, base: object) -> None:
    assert said(settings, tale, base) is None


def test_a_window_out_of_bounds_is_named(settings: Settings, tale: Path) -> None:
    with pytest.raises(InvalidValue, match="window is 3; give a whole number from 16"):
        said(settings, tale, window=3)
    with pytest.raises(InvalidValue, match=r"window is 9,000 tokens; the base reads at most"):
        said(settings, tale, window=9_000)


def test_counting_loads_no_model(settings: Settings, tale: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pipelines.fine_tuning.pipeline import *\n"
        f"settings = Settings(models_dir=Path({str(settings.models_dir)!r}), hub_enabled=False)\n"
        f"files = (Path({str(tale)!r}),)\n"
        "report = check_data('write', files, settings.limits)\n"
        "print(windows_of(files, report, 'tiny', 0, settings), *sys.modules)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "a pass." in child.stdout
    assert not {"torch", "transformers"} & set(child.stdout.split())
