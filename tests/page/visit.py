"""What a visitor does in every test: opens the page, turns to a tab, fills in, waits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

expect.set_options(timeout=60_000)
WAYS = ("On a data set", "Blind votes")
"""Tabs within Compare, beside the one that it opens with."""
TABS = ("Write", "Paint", "Describe", "Compare", *WAYS, "Fine-tune", "Models")
MINUTE = 60_000


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The page in a browser of its own; fails at the end if one of its scripts has.

    ``options`` are those of ``Browser.new_context``.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
    try:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url)
        page.get_by_role("tab", name="Write").wait_for()
        yield page
    finally:
        context.close()
    assert not problems, "\n".join(problems)


def open_tab(page: Page, name: str) -> None:
    if name in WAYS:
        open_tab(page, "Compare")
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.first.is_visible():
        tab.first.click()
        return
    menus = page.locator(".overflow-menu:visible")  # where tabs are that do not fit
    menu = menus.last if name in WAYS else menus.first
    menu.locator("button").first.click()
    menu.locator(".overflow-dropdown button", has_text=re.compile(f"^{name}$")).click()


def open_settings(page: Page) -> None:
    """Gradio's footer has a button of the same name, which is drawn before the tab is."""
    page.locator("button.label-wrap:visible", has_text="Settings").first.click()


def field(page: Page, label: str) -> Locator:
    """The field of the open tab with exactly this label."""
    return page.get_by_label(label, exact=True).locator("visible=true").first


def fill(page: Page, label: str, value: str) -> None:
    """As a visitor does: types or pastes, and goes on to the next field.

    A number is pasted: typed by a machine, "2.5" became 52 where the page drew "2." anew as 2.
    """
    box = field(page, label)
    is_number = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None
    if box.get_attribute("type") == "number" and not is_number:
        box.fill("")
        box.press_sequentially(value)
    else:
        box.fill(value)
    box.press("Tab")


def fix_seed(page: Page, seed: int = 3) -> None:
    """Opens the tab's settings and leaves them open."""
    open_settings(page)
    fill(page, "Seed", str(seed))


def expect_status(page: Page, words: str | re.Pattern[str]) -> None:
    expect(page.locator(".status:visible").first).to_contain_text(words, timeout=MINUTE)
