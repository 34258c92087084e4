"""A real page on loopback with the embedded models, and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.page.visit import visiting

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""What Debian, Ubuntu and CI machines call theirs; ``tests/run`` looks for the same."""


def browser_path() -> str:
    """The system's own Chromium, whose fonts and certificates are the system's."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    assert found, f"there is none of {', '.join(BROWSERS)}; bash tests/run says how to install it"
    return found[0]


@dataclass(frozen=True)
class Server:
    """A running page: its address and its process, to look at its memory."""

    url: str
    process: psutil.Process

    def memory_bytes(self) -> int:
        return int(self.process.memory_info().rss)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """A process of the page's own, with its files in ``data``, from when it answers on."""
    port = free_port()
    log = (data / "log.txt").open("w")
    command = [sys.executable, "app.py", "--port", str(port), "--data-dir", str(data)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "TRIPTYCH_HUB": "0"}
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                if httpx.get(url, timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the page did not start:\n{(data / 'log.txt').read_text()}")
            time.sleep(0.3)
        yield Server(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page-data")) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(),
            args=[
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with visiting(browser, server.url) as page:
        yield page
