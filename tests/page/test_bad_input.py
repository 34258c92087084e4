"""Bad input through the page: it says what is allowed, and goes on working."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_api import PICTURE, broken_files
from tests.page.visit import expect_status, field, fill, open_tab

LONG = "x" * 100_000
STRANGERS = ("no-such-model", "/etc/passwd", "../assets/models/fairytale-gpt")
"""What a visitor may type where a model is chosen."""
QUESTION = "Question or instruction For models that take one; empty: a caption"
SEED = "seed is .*; give a whole number from 0 to .*, or -1"


class Bad(NamedTuple):
    """A field, what is typed into it, and a pattern of what the page answers."""

    label: str
    value: str
    answer: str


BAD: dict[str, list[Bad]] = {
    "Write": [
        Bad("Prompt", LONG, "100,000 characters; at most 20,000 are allowed"),
        Bad("number input for New tokens", "2.5", "give a whole number from 1 to 1024"),
        Bad("Seed", "2.5", SEED),
        *(Bad("Model", each, "choose one that is here .*fairytale-gpt") for each in STRANGERS),
        Bad("Model", "emoji-painter", "emoji-painter paints pictures"),
    ],
    "Paint": [
        Bad("Prompt", LONG, "100,000 characters; at most 2,000 are allowed"),
        Bad("number input for Steps", "0", "steps is 0; give a whole number from 1 to 150"),
        Bad("number input for Steps", "2.5", "steps is 2.5; give a whole number from 1 to 150"),
        Bad("Width", "NaN", "width is .*; give a whole number from 0 to 2048"),
        Bad("Height", "100", "height is 100; give a multiple of 8 from 64 to 1024"),
        Bad("Seed", "-7", SEED),
        *(Bad("Model", each, "choose one that is here .*emoji-painter") for each in STRANGERS),
    ],
    "Describe": [
        Bad(QUESTION, LONG, "100,000 characters; at most 20,000 are allowed"),
        Bad("number input for Captions", "2.5", "count is 2.5; give a whole number from 1 to 8"),
        Bad("Seed", "2.5", SEED),
        *(Bad("Model", each, "choose one that is here .*emoji-captioner") for each in STRANGERS),
    ],
    "Compare": [
        Bad("Prompt", LONG, "100,000 characters; at most 20,000 are allowed"),
        Bad("number input for New tokens", "2.5", "give a whole number from 1 to 1024"),
        Bad("Seed", "2.5", SEED),
        *(Bad("Model A", each, "choose one that is here .*fairytale-gpt") for each in STRANGERS),
        Bad("Model B", "/etc/passwd", "choose one that is here .*fairytale-gpt"),
    ],
}
"""Models come last: one that is chosen anew sets steps and guidance, a moment later."""
OUT_OF_RANGE = [
    ("Write", "number input for New tokens", "10000", "1024"),
    ("Write", "number input for New tokens", "NaN", "1"),
    ("Paint", "number input for Steps", "10000", "150"),
    ("Paint", "number input for Pictures", "-3", "1"),
    ("Describe", "number input for Captions", "1e9", "8"),
]


def turn_to(page: Page, tab: str) -> None:
    """Opens a tab and its settings."""
    open_tab(page, tab)
    closed = page.locator(
        "button.label-wrap:not(.open):visible", has_text=re.compile(r"^\s*Settings\s*\W?\s*$")
    )
    if closed.count():
        closed.click()


def expect_answer(page: Page, tab: str, answer: str) -> None:
    """Runs, reads what the page answers, and closes it; no bar may say that the run goes on."""
    page.locator(f"#{tab.lower()}-run").click()
    toast = page.get_by_test_id("toast-text")
    expect(toast).to_have_text(re.compile(answer), timeout=10_000)
    expect(page.locator(".status .bar:visible")).to_have_count(0, timeout=5_000)
    page.get_by_test_id("toast-close").click()
    expect(toast).to_have_count(0)


def expect_an_ordinary_run(page: Page, tab: str) -> None:
    page.locator(f"#{tab.lower()}-run").click()
    expect_status(page, "Done")
    expect(page.get_by_test_id("toast-text")).to_have_count(0)


def upload(page: Page, tab: str, file: Path) -> None:
    picture = page.locator(f"#{tab.lower()}-picture")
    old = picture.get_by_role("button", name="Remove Image")
    if old.count():
        old.click()
    picture.locator("input[type=file]").set_input_files(file)
    picture.locator(f"img[src*='{file.name}']").wait_for(state="attached")


@pytest.mark.parametrize("tab", sorted(BAD))
def test_a_bad_field_is_answered_with_what_is_allowed_and_the_next_run_succeeds(
    page: Page, tab: str
) -> None:
    turn_to(page, tab)
    if tab == "Describe":
        upload(page, tab, PICTURE)
    for label, value, answer in BAD[tab]:
        good = field(page, label).input_value()
        fill(page, label, value)
        expect_answer(page, tab, answer)
        fill(page, label, good)
    if tab != "Describe":
        fill(page, "Prompt", "")  # nothing is bad about that
    expect_an_ordinary_run(page, tab)


@pytest.mark.parametrize("tab", ["Describe", "Compare"])
def test_a_bad_picture_is_answered_with_what_is_allowed_and_the_next_run_succeeds(
    page: Page, tmp_path: Path, tab: str
) -> None:
    open_tab(page, tab)
    if tab == "Compare":
        page.locator("#compare-task").get_by_label("Describe", exact=True).check()
    expect_answer(page, tab, "There is no picture yet. Upload, paste or take one")
    for name, (content, answer) in broken_files().items():
        (tmp_path / name).write_bytes(content)
        upload(page, tab, tmp_path / name)
        expect_answer(page, tab, answer)
    upload(page, tab, PICTURE)
    expect_an_ordinary_run(page, tab)


def test_a_number_beyond_a_slider_becomes_the_nearest_that_is_allowed(page: Page) -> None:
    for tab, label, value, nearest in OUT_OF_RANGE:
        turn_to(page, tab)
        fill(page, label, value)
        expect(field(page, label)).to_have_value(nearest)


def test_an_error_stands_under_its_field_until_it_is_changed(page: Page) -> None:
    turn_to(page, "Paint")
    for label, value, name in (("number input for Steps", "0", "steps"), ("Width", "100", "width")):
        before = field(page, label).input_value()
        fill(page, label, value)
        page.locator("#paint-run").click()
        note = page.locator(f"#field-error-{name}")
        expect(note).to_contain_text(f"{name} is {value}; give")
        expect(note).to_be_visible()
        page.get_by_test_id("toast-close").click()
        fill(page, label, before)
        expect(note).to_have_count(0)
