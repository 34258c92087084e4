"""How long until the page is there, against an empty Gradio page with four tabs.

    python -m tests.benchmarks.page_start

Each start is a fresh process and a fresh browser page, the two kinds in turn; timed from
the start of the process until a click on the second tab shows its panel. Goal: a ratio of 1.2
or less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.page.conftest import ROOT, browser_path, free_port

EMPTY_PAGE = """
import sys
import gradio as gr
with gr.Blocks() as demo:
    with gr.Tabs():
        for name in ("Write", "Paint", "Describe", "Compare"):
            with gr.Tab(name):
                gr.Markdown(name)
demo.launch(server_port=int(sys.argv[1]))
"""


def seconds_until_interactive(command: list[str], port: int, browser: Browser, data: Path) -> float:
    """Starts the server, opens the page as soon as it answers, and turns to its second tab."""
    url = f"http://127.0.0.1:{port}/"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environ = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "TRIPTYCH_DATA_DIR": str(data)}
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, env=environ, **quiet)  # type: ignore[call-overload]
    try:
        while True:
            try:
                httpx.get(url, timeout=5)
                break
            except httpx.HTTPError:
                time.sleep(0.02)
        page = browser.new_page()
        page.goto(url)
        page.get_by_role("tab", name="Paint").click()
        page.get_by_role("tab", name="Paint", selected=True).wait_for()
        page.get_by_role("tabpanel").first.wait_for()
        elapsed = time.perf_counter() - began
        page.close()
        return elapsed
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        empty = Path(scratch) / "empty.py"
        empty.write_text(EMPTY_PAGE)
        browser = playwright.chromium.launch(executable_path=browser_path())
        times: dict[str, list[float]] = {"empty": [], "triptych": []}
        for turn in range(runs + 1):
            for name in times:
                port = free_port()
                script = (
                    [str(empty), str(port)] if name == "empty" else ["app.py", "--port", str(port)]
                )
                seconds = seconds_until_interactive(
                    [sys.executable, *script], port, browser, Path(scratch)
                )
                if turn > 0:  # the first start of each compiles and fills caches
                    times[name].append(seconds)
        browser.close()
    ratios = [a / b for a, b in zip(times["triptych"], times["empty"], strict=True)]
    for name, values in times.items():
        print(f"{name:9} median {statistics.median(values):.2f} s, fastest {min(values):.2f} s")
    print(f"ratio     median {statistics.median(ratios):.2f} (goal 1.2 or less), of {runs} pairs")


if __name__ == "__main__":
    main()
