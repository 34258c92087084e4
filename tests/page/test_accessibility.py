"""The page for everybody: what axe-core checks, at both widths, and all by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Server
from tests.page.visit import TABS, expect_status, fill, open_tab, visiting

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
SETTLED = """() => new Promise((settled) => {
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.getAnimations().some((a) => a.playState === "running")) wait();
      else settled();
    }, 200);
  };
  new MutationObserver(wait).observe(document.body, { childList: true, subtree: true });
  wait();
})"""
"""Resolves when a fifth of a second has passed in which nothing on the page has moved."""


class View(NamedTuple):
    """A page at a width and in a scheme; with ``has_results``, each tab is run for it."""

    page: Page
    has_results: bool


@pytest.fixture(
    scope="module",
    params=[
        (400, "light", True),
        (400, "dark", False),
        (1600, "light", False),
        (1600, "dark", True),
    ],
    ids=["400-light-results", "400-dark", "1600-light", "1600-dark-results"],
)
def view(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[View]:
    """One page for all tabs: to open it takes longer than to look at one."""
    width, scheme, has_results = request.param
    size = {"width": width, "height": 1000}
    with visiting(browser, server.url, viewport=size, color_scheme=scheme) as page:
        page.add_script_tag(path=str(AXE))
        yield View(page, has_results)


def write(page: Page) -> None:
    page.locator("#write-run").click()
    expect_status(page, "Done")


def paint(page: Page) -> None:
    fill(page, "Prompt", "a catt on a white background")
    page.locator("#paint-run").click()
    expect(page.locator(".notes:visible")).to_be_visible()


def describe(page: Page) -> None:
    page.get_by_role("button", name="Example 1").locator("visible=true").click()
    expect_status(page, "Done")


def compare(page: Page) -> None:
    page.get_by_role("button", name="Paint: 5 steps or 20").click()
    page.locator("#compare-files").wait_for()  # comes last


RUNS: dict[str, Callable[[Page], None]] = {
    "Write": write, "Paint": paint, "Describe": describe, "Compare": compare,
}  # fmt: skip


@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(view: View, tab: str) -> None:
    page = view.page
    open_tab(page, tab)
    closed = page.locator("button.label-wrap:not(.open)").locator("visible=true")
    while closed.count():
        closed.first.click()
    if view.has_results and tab in RUNS:
        RUNS[tab](page)
    page.evaluate(SETTLED)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    serious = [
        f"{v['id']}: {v['help']}\n" + "\n".join(f"   {n['html'][:200]}" for n in v["nodes"][:4])
        for v in page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)


@pytest.fixture(scope="module")
def untouched(browser: Browser, server: Server) -> Iterator[Page]:
    """A page without a mouse."""
    with visiting(browser, server.url) as page:
        yield page


def go_to(page: Page, selector: str) -> None:
    """By the Tab key, seeing at each stop where one is."""
    for _ in range(25):
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_css("outline-style", "solid", timeout=5_000)
        if page.locator(f"{selector}:focus").count():
            return
    pytest.fail(f"the Tab key does not come to {selector}")


def turn_to(page: Page, name: str) -> None:
    page.locator("#tab-write-button").focus()
    if name != "write":
        go_to(page, f"#tab-{name}-button")
    page.keyboard.press("Enter")


@pytest.mark.parametrize("name", ["write", "paint", "compare"])
def test_a_tab_is_opened_and_run_by_keyboard_alone(untouched: Page, name: str) -> None:
    turn_to(untouched, name)
    go_to(untouched, f"#{name}-run")
    untouched.keyboard.press("Enter")
    expect_status(untouched, "Done")


def test_an_example_picture_is_described_by_keyboard_alone(untouched: Page) -> None:
    turn_to(untouched, "describe")
    go_to(untouched, "#describe-run")
    untouched.keyboard.press("Enter")
    expect(untouched.get_by_test_id("toast-text")).to_contain_text("choose an example")
    go_to(untouched, "[aria-label='Example 2']")
    untouched.keyboard.press("Enter")
    expect_status(untouched, "Done")
    expect(untouched.locator("#caption textarea")).not_to_have_value("")


def test_arrow_keys_turn_from_tab_to_tab(untouched: Page) -> None:
    turn_to(untouched, "write")
    for key, name in (("ArrowRight", "paint"), ("ArrowLeft", "write"), ("ArrowLeft", "models")):
        untouched.keyboard.press(key)
        tab = untouched.locator(f"#tab-{name}-button")
        expect(tab).to_have_attribute("aria-selected", "true", timeout=5_000)
        expect(tab).to_be_focused()
