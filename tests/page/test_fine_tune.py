"""The Fine-tune tab in a browser: what is seen while a model learns, and afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pipelines.fine_tuning import jobs
from tests.page.conftest import Server, serving
from tests.page.visit import expect_status, field, fill, open_settings, open_tab, visiting

LOG = Path(__file__).parents[1] / "data/training-log.jsonl"
"""Of a fine-tune by the page: 30 lines of the training loss, 5 of the held-out loss."""

CARD = LOG.with_name("fine-tune-card.md")
"""Of a fine-tune by the page on a ship's log."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "page-data"
    folder.mkdir()
    return folder


@pytest.fixture
def own_server(data: Path) -> Iterator[Server]:
    with serving(data) as server:
        yield server


@contextmanager
def running_job(data: Path, name: str) -> Iterator[Path]:
    """The folder of a fine-tune; a process that does nothing stands for its training."""
    folder = data / "fine-tunes" / name
    (folder / "run").mkdir(parents=True)
    pid = jobs.launch(folder, ["sleep", "600"])
    fields = {"name": name, "task": "write", "base": "fairytale-gpt", "minutes": 5.0, "pid": pid}
    (folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")
    try:
        yield folder
    finally:
        os.killpg(pid, signal.SIGKILL)


def write_finished(data: Path, name: str) -> None:
    """A fine-tune that is done, with its log and its card."""
    folder = data / "fine-tunes" / name
    (folder / "run").mkdir(parents=True)
    shutil.copyfile(LOG, folder / "run/log.jsonl")
    (folder / "settled").touch()
    fields = {"name": name, "task": "write", "base": "fairytale-gpt", "minutes": 5.0, "pid": 9}
    record = fields | {"number": 1, "result": name}
    (folder / "job.json").write_text(json.dumps(record), encoding="utf-8")
    model = data / "models" / name
    model.mkdir(parents=True)
    shutil.copyfile(CARD, model / "README.md")


def labels(page: Page, axis: str) -> list[float]:
    """Of one axis, x or y: from left to right, or from the bottom to the top."""
    marks = page.locator("#tune-curve .role-axis-label").nth("xy".index(axis)).locator("text")
    found: list[tuple[float, str]] = marks.evaluate_all(
        """(texts, axis) => texts.filter(each => each.textContent).map(each => {
          const box = each.getBoundingClientRect();
          return [axis === "x" ? box.x : -box.y, each.textContent];
        })""",
        axis,
    )
    return [float(text) for _, text in sorted(found)]


def expect_curve(page: Page) -> None:
    """Two lines over numbers that grow to the right and upwards."""
    expect(page.locator("#tune-curve .role-legend-label text")).to_have_text(
        ["training data", "held-out data"]
    )
    expect(page.locator("#tune-curve .mark-line path:visible")).to_have_count(2)
    steps, losses = labels(page, "x"), labels(page, "y")
    assert steps == sorted(steps), steps
    assert len(steps) < 30, "one label for each step: these are categories"
    assert losses == sorted(losses), losses


def test_the_curve_is_drawn_while_it_trains_and_after_a_reload(
    browser: Browser, own_server: Server, data: Path
) -> None:
    lines = LOG.read_text(encoding="utf-8").splitlines(keepends=True)
    with running_job(data, "ship-log") as folder, visiting(browser, own_server.url) as page:
        log = folder / "run/log.jsonl"
        open_tab(page, "Fine-tune")
        page.locator("#tune-watch").click()
        expect_status(page, "ship-log")
        page.wait_for_timeout(1500)  # the view is drawn before the first line of the log
        log.write_text("".join(lines[:6]), encoding="utf-8")  # no held-out loss yet
        expect(page.locator("#tune-curve .mark-line path:visible")).to_have_count(1)
        log.write_text("".join(lines), encoding="utf-8")
        expect(page.locator("#tune-curve .role-axis-label text", has_text="300")).to_be_visible()
        expect_curve(page)
        page.reload()
        page.get_by_role("tab", name="Write").wait_for()
        open_tab(page, "Fine-tune")
        page.locator("#tune-watch").click()
        expect_curve(page)


def test_a_finished_fine_tune_is_there_after_a_reload_and_after_a_refused_start(
    browser: Browser, own_server: Server, data: Path
) -> None:
    write_finished(data, "ship-log")
    with visiting(browser, own_server.url) as page:
        for _ in range(2):
            open_tab(page, "Fine-tune")
            page.locator("#tune-watch").click()
            expect_status(page, "Done: ship-log")
            expect(page.locator("#tune-card")).to_contain_text("bits per byte:")
            expect_curve(page)
            page.reload()
            page.get_by_role("tab", name="Write").wait_for()
        open_tab(page, "Fine-tune")
        page.locator("#tune-watch").click()
        expect_status(page, "Done: ship-log")
        page.locator("#tune-name").locator("input, textarea").fill("Ship Log")
        page.locator("#tune-run").click()
        expect(page.get_by_test_id("toast-body")).to_contain_text("There is a ship-log already")
        expect(page.locator("#tune-card")).to_contain_text("bits per byte:")
        expect_curve(page)


WIDE = f"\n\n|{' wide |' * 14}\n|{' --- |' * 14}\n|{' 0.123456 |' * 14}\n"


def test_tables_of_a_card_stay_in_its_box_on_a_phone(
    browser: Browser, own_server: Server, data: Path
) -> None:
    write_finished(data, "ship-log")
    with (data / "models/ship-log/README.md").open("a", encoding="utf-8") as card:
        card.write(WIDE)
    phone = {"width": 400, "height": 800}
    with visiting(browser, own_server.url, viewport=phone) as page:
        open_tab(page, "Fine-tune")
        page.locator("#tune-watch").click()
        expect_status(page, "Done: ship-log")
        *whole, wide = page.locator("#tune-card table").evaluate_all(
            "tables => tables.map(each => [each.getBoundingClientRect().right, "
            "each.scrollWidth - each.clientWidth, getComputedStyle(each).overflowX])"
        )
        assert len(whole) == 3
        assert all(right <= 400 and hidden <= 0 for right, hidden, _ in whole), whole
        right, hidden, overflow = wide
        assert right <= 400
        assert hidden > 0, "what does not fit"
        assert overflow == "auto", "can be scrolled to"


def test_the_report_counts_windows_as_the_window_is_changed(page: Page, tmp_path: Path) -> None:
    tale = tmp_path / "tale.txt"
    tale.write_text("The wolf went to the house of the old woman. " * 200, encoding="utf-8")
    open_tab(page, "Fine-tune")
    page.locator("#tune-data input[type=file]").set_input_files(str(tale))
    report = page.locator("#tune-report textarea")
    expect(report).to_have_value(re.compile(r"tokens: \d windows of 512 a pass\.\nEnough to train"))
    open_settings(page)
    fill(page, "Window", "64")
    expect(report).to_have_value(re.compile(r"tokens: \d\d windows of 64 a pass\."))
    page.locator("#tune-task").get_by_text("Paint").click()
    expect(field(page, "Batch size")).to_be_visible()
    expect(page.locator("#tune-window")).to_be_hidden()
