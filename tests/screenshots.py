"""Makes the README's pictures from the running app.

    python -m tests.screenshots

Starts the page with the embedded models, uses each tab as a visitor would, and writes
``assets/screenshots/*.png``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.page.conftest import ROOT, browser_path, free_port

OUT = ROOT / "assets/screenshots"
TALLEST = 1700
"""Pixels."""
MINUTE = 60_000


def wait_until_done(page: Page) -> None:
    expect(page.locator(".status:visible").first).to_contain_text("Done", timeout=2 * MINUTE)
    page.wait_for_timeout(600)


def set_seed(page: Page, value: int) -> None:
    settings = page.locator("button.label-wrap:visible", has_text="Settings").first
    settings.click()
    box = page.get_by_label("Seed").locator("visible=true").first
    box.fill(str(value))
    box.press("Tab")
    settings.click()


def write(page: Page) -> None:
    set_seed(page, 7)
    page.locator("#write-run").click()
    wait_until_done(page)


def paint(page: Page) -> None:
    set_seed(page, 2)
    page.locator("#paint-run").click()
    wait_until_done(page)


def describe(page: Page) -> None:
    page.locator("#describe-picture input[type=file]").set_input_files(
        str(ROOT / "assets/examples/2-big-pizza.png")
    )
    page.locator("#describe-picture img").wait_for()
    page.locator("#describe-run").click()
    wait_until_done(page)


def compare(page: Page) -> None:
    page.locator("#compare-run").click()
    expect(page.locator("#compare-verdict")).to_contain_text("differ", timeout=3 * MINUTE)
    page.wait_for_timeout(600)


def evaluate(page: Page) -> None:
    page.get_by_role("tab", name="On a data set", exact=True).click()
    page.locator("#evaluate-run").click()
    expect(page.locator("#evaluate-verdict")).to_be_visible(timeout=5 * MINUTE)
    page.locator("#evaluate-quality img").wait_for()
    page.wait_for_timeout(600)


def votes(page: Page) -> None:
    page.get_by_role("tab", name="Blind votes", exact=True).click()
    page.locator("#votes-run").click()
    best = page.locator("#votes-a-best")
    expect(best).to_be_enabled(timeout=2 * MINUTE)
    best.click()
    page.locator("#votes-names").wait_for()
    page.wait_for_timeout(600)


def models(page: Page) -> None:
    page.locator("#models-reference textarea").fill("fairytale-gpt + fairytale-gpt-shakespeare:0.7")
    page.locator("#models-check").click()
    page.locator("#models-facts").wait_for()
    page.wait_for_timeout(600)


VISITS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "write": ("Write", write),
    "paint": ("Paint", paint),
    "describe": ("Describe", describe),
    "compare": ("Compare", compare),
    "evaluate": ("Compare", evaluate),
    "votes": ("Compare", votes),
    "models": ("Models", models),
}
"""Each picture's tab, and what is done there."""


def shoot(browser: Browser, url: str, name: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    label, visit = VISITS[name]
    tab = page.get_by_role("tab", name=label, exact=True)
    tab.wait_for()
    tab.click()
    page.wait_for_timeout(500)
    visit(page)
    page.evaluate("window.scrollTo(0, 0)")
    suffix = "" if width > 1000 else f"-{width}"
    dark = "-dark" if scheme == "dark" else ""
    path = OUT / f"{name}{suffix}{dark}.png"
    page.screenshot(path=path, full_page=True)
    page.close()
    shrink(path)


def shrink(path: Path) -> None:
    """The upper part of a long page, in 256 colours: pictures of a README need no more."""
    with Image.open(path) as picture:
        upper = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, TALLEST)))
    upper.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "app.py", "--port", str(port), "--data-dir", data]
        server = subprocess.Popen(command, cwd=ROOT)
        try:
            for _ in range(300):
                try:
                    httpx.get(url, timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=browser_path())
                for name in VISITS:
                    shoot(browser, url, name, 1280, "light")
                shoot(browser, url, "paint", 400, "dark")
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
