"""Runs that meet: one waits for another, one is stopped, one comes before all is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Server, serving
from tests.page.test_api import hollow_png
from tests.page.visit import expect_status, fill, open_settings, open_tab, visiting


def test_who_waits_sees_the_place_in_the_queue(
    page: Page, browser: Browser, server: Server
) -> None:
    open_tab(page, "Paint")
    open_settings(page)
    fill(page, "number input for Steps", "150")
    page.locator("#paint-run").click()
    expect_status(page, "of 150")
    with visiting(browser, server.url) as other:
        open_settings(other)
        fill(other, "number input for New tokens", "8")
        other.locator("#write-run").click()
        place = other.locator(".status-box:visible").first.get_by_text("queue: 1/1")
        expect(place).to_be_in_viewport(ratio=0.9, timeout=10_000)  # not cut off by its box either
        page.locator("#paint-stop").click()
        expect_status(other, "Done")
        expect_status(page, "Stopped")


STOP_WHEN_IT_RUNS = """(name) => {
  const isRunning = document.querySelector(".status .bar") !== null;
  if (isRunning) document.getElementById(`${name}-stop`).click();
  return isRunning;
}"""
"""Asked at every frame, for some runs take a few of them only."""


def set_up_describe(page: Page, folder: Path) -> None:
    """A picture near the limit, with as many captions as there may be."""
    wide = folder / "wide.png"
    wide.write_bytes(hollow_png(4000, 4900))
    page.locator("#describe-picture input[type=file]").set_input_files(wide)
    page.locator("#describe-picture img[src*='wide.png']").wait_for()
    open_settings(page)
    fill(page, "number input for Captions", "8")


def set_up_compare(page: Page, folder: Path) -> None:
    fill(page, "number input for New tokens", "500")


@pytest.mark.parametrize(
    ("tab", "set_up", "last"),
    [
        ("Describe", set_up_describe, "#caption textarea"),
        ("Compare", set_up_compare, "#compare-b-text textarea"),
    ],
    ids=["Describe", "Compare"],
)
def test_a_stopped_run_says_so_brings_nothing_more_and_lets_others_run(
    page: Page, tmp_path: Path, tab: str, set_up: Callable[[Page, Path], None], last: str
) -> None:
    open_tab(page, tab)
    set_up(page, tmp_path)
    page.locator(f"#{tab.lower()}-run").click()
    page.wait_for_function(STOP_WHEN_IT_RUNS, arg=tab.lower())
    expect_status(page, "Stopped")
    open_tab(page, "Write")
    open_settings(page)
    fill(page, "number input for New tokens", "8")
    page.locator("#write-run").click()
    expect_status(page, "Done")  # it had to wait for the other, had that gone on
    open_tab(page, tab)
    expect_status(page, "Stopped")
    expect(page.locator(last)).to_have_value("")


def test_a_picture_can_be_asked_for_in_the_first_second(browser: Browser, tmp_path: Path) -> None:
    """The first run imports the libraries while the page warms them up."""
    with serving(tmp_path) as fresh, visiting(browser, fresh.url) as page:
        open_tab(page, "Paint")
        fill(page, "number input for Pictures", "1")
        page.locator("#paint-run").click()
        expect(page.locator("#paint-facts")).to_contain_text("per picture")
        expect(page.locator("#paint-gallery img").first).to_be_visible()
