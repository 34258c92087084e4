"""Triptych: one page where open models write, paint, describe and are compared.

    python app.py --help

This module wires: it reads the environment once, builds the page and serves it.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # its downloads cannot be stopped halfway

from pipelines.errors import StudioError
from pipelines.files.temporary import forget_old_files
from pipelines.settings import OPTIONS, Settings, check_places


def read_settings(environ: Mapping[str, str], arguments: Sequence[str]) -> Settings:
    """The environment's settings, and over them the command line's.

    Raises:
        StudioError: a value that cannot be read; the message names the variable or option.
    """
    parser = argparse.ArgumentParser(
        prog="python app.py",
        description="Write, paint, describe and compare with open generative models.",
        epilog="Each option can be set in the environment too, by the name in brackets.",
    )
    for option in OPTIONS:
        if option.flag is not None:
            parser.add_argument(
                option.flag, dest=option.field, default=None,
                action=argparse.BooleanOptionalAction if option.is_switch else "store",
                help=f"{option.help} [{', '.join(option.variables)}]",
            )  # fmt: skip
    given = vars(parser.parse_args(arguments))
    texts = {name: str(value) for name, value in given.items() if value is not None}
    return Settings.from_env(environ, texts)


def _settings_or_exit(arguments: Sequence[str]) -> Settings:
    try:
        return read_settings(os.environ, arguments)
    except StudioError as error:
        raise SystemExit(f"triptych: {error}") from error


# Of a command line that is not ours, such as that of ``gradio app.py``, nothing is read.
SETTINGS = _settings_or_exit(sys.argv[1:] if __name__ == "__main__" else [])
os.environ.setdefault("GRADIO_TEMP_DIR", str(SETTINGS.temporary_dir))

gc.disable()  # while much is made and nothing thrown away: a sixth of the start

import gradio as gr  # noqa: E402 - reads the environment when it is imported

from pipelines import libraries  # noqa: E402
from pipelines.arena import tab as votes_tab  # noqa: E402
from pipelines.arena.replay import VOTES  # noqa: E402
from pipelines.evaluation import tab as evaluation_tab  # noqa: E402
from pipelines.evaluation.replay import EVALUATION  # noqa: E402
from pipelines.fine_tuning import jobs  # noqa: E402
from pipelines.fine_tuning import tab as fine_tune_tab  # noqa: E402
from pipelines.image_captioning import tab as describe_tab  # noqa: E402
from pipelines.model_comparison import tab as sides_tab  # noqa: E402
from pipelines.model_comparison.replay import COMPARISON  # noqa: E402
from pipelines.models import tab as models_tab  # noqa: E402
from pipelines.page import ui  # noqa: E402
from pipelines.runtime.studio import Studio  # noqa: E402
from pipelines.sharing import tab as sharing_tab  # noqa: E402
from pipelines.sharing.cards import CardKind, Opening  # noqa: E402
from pipelines.tasks import TASKS, Task  # noqa: E402
from pipelines.text_generation import tab as write_tab  # noqa: E402
from pipelines.text_to_image import tab as paint_tab  # noqa: E402

gc.enable()

_TABS: dict[Task, Any] = {"write": write_tab, "paint": paint_tab, "describe": describe_tab}
_PICKERS: dict[str, str] = {
    **{f"{task}-model": task for task in TASKS},
    "compare-a-model": "compare-task",
    "compare-b-model": "compare-task",
    "evaluate-models": "evaluate-task",
    "votes-models": "votes-task",
    "tune-base": "tune-task",
}
"""Every picker by its id: the task whose models it lists, or the id of what chooses the task."""


_is_cold = threading.Lock()
"""Held from the first page load on."""
_WARM_UP_AFTER_SECONDS = 1.5
"""A browser on the same machine draws the page in this time; imports would take its core."""


_KEPT_SECONDS = 24 * 3600
"""The files of a visitor are deleted after this time."""


class _Page(gr.Blocks):
    """Blocks whose queue holds 64 runs and cannot be bypassed by the API. Where Gradio itself
    cannot write what is shown, such as a preview, that is said as handlers say it.

    The constructor calls ``queue``, which builds all routes of the server; with these options from
    the start they are built once, which saves a sixth of a second.
    """

    def queue(self, *args: Any, **options: Any) -> gr.Blocks:
        return cast(
            gr.Blocks, super().queue(*args, **{"max_size": 64, "api_open": False, **options})
        )

    async def postprocess_data(self, *args: Any, **options: Any) -> list[Any]:
        try:
            shown: list[Any] = await super().postprocess_data(*args, **options)
        except OSError as error:
            raise ui.for_people(error) from error
        return shown


def build_app(settings: Settings) -> gr.Blocks:
    """The page, ready to launch. Loads no model and no torch."""
    with _without_collection():
        return _built(Studio(settings))


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage is collected in the block, and what it has made is never looked at again."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _built(studio: Studio) -> gr.Blocks:
    # One queue for all that computes: what is timed runs alone, and people see their place.
    compute = {"concurrency_id": "compute", "concurrency_limit": 1}
    forgets = (3600, _KEPT_SECONDS)
    with _Page(title="Triptych", analytics_enabled=False, delete_cache=forgets) as page:
        gr.Markdown(
            "# Triptych\nWrite, paint, describe — and see which model does it better.",
            elem_id="masthead",
        )
        device_line = gr.Markdown("Looking at this machine…", elem_id="device-line")
        with gr.Tabs() as tabs:
            for task, tab in _TABS.items():
                with gr.Tab(TASKS[task].label, id=task, elem_id=f"tab-{task}"):
                    tab.build(studio, compute)
            with gr.Tab("Compare", id="compare", elem_id="tab-compare"):
                panels, openings = build_compare(studio, compute)
            made = _build_workshop(studio, compute, page)
        models_tab.models_panel(studio, _tabs_of(page))
        sharing_tab.build(studio, compute, [opening.kind for opening in openings])
        _keep_pickers_fresh(studio, page, made)
        _wire_load(studio, page, device_line, [tabs, panels], openings)
    return cast(gr.Blocks, page)


def build_compare(studio: Studio, compute: dict[str, Any]) -> tuple[gr.Tabs, list[Opening]]:
    """Adds three ways to compare to the current block; returns the tabs and what opens them."""
    with gr.Tabs() as panels:
        with _panel(COMPARISON):
            sides = sides_tab.build(studio, compute)
        with _panel(EVALUATION):
            evaluation = evaluation_tab.build(studio, compute)
        with _panel(VOTES) as votes:
            duels = votes_tab.build(studio, compute, votes.select)
    return panels, [sides, evaluation, duels]


def _panel(kind: CardKind) -> gr.Tab:
    return gr.Tab(kind.panel, id=kind.panel_id, elem_id=f"tab-{kind.panel_id}")


def _named(page: gr.Blocks) -> dict[str | None, Any]:
    """The page's blocks by their ids."""
    return {block.elem_id: block for block in page.blocks.values()}


def _tabs_of(page: gr.Blocks) -> list[gr.Tab]:
    return [block for block in page.blocks.values() if isinstance(block, gr.Tab)]


def _wire_load(
    studio: Studio, page: gr.Blocks, device_line: gr.Markdown, tabs: list[gr.Tabs],
    openings: list[Opening],
) -> None:  # fmt: skip
    """What happens when the page is opened: little, for people wait for it.

    Only where the address has a link of a panel are the panel's many fields touched: a browser
    takes half a second for updates that leave each of them as it is.

    Args:
        tabs: those of the page and those of Compare.
    """
    first = _named(page)["write-model"]
    links = {opening.kind.parameter: gr.State(None) for opening in openings}

    def welcome(request: gr.Request) -> dict[Any, Any]:
        given = request.query_params
        jobs.settle_all(studio.settings)
        return {
            device_line: _welcome(studio),
            first: ui.local_choices(studio.settings, "write"),
            **{state: given[name] for name, state in links.items() if name in given},
        }

    page.load(welcome, None, [device_line, first, *links.values()], **ui.PRIVATE)
    from_links = sharing_tab.wire_openings(studio.settings, openings)
    for opening, from_link in zip(openings, from_links, strict=True):
        state = links[opening.kind.parameter]
        state.change(_shows(opening.kind.panel_id), None, tabs, **ui.PRIVATE)
        state.change(from_link, [state, *opening.inputs], opening.fields, **ui.PRIVATE)


def _shows(panel: str) -> Callable[[], list[Any]]:
    """A handler that turns to a panel of Compare."""
    return lambda: [gr.update(selected="compare"), gr.update(selected=panel)]


def _build_workshop(studio: Studio, compute: dict[str, Any], page: gr.Blocks) -> list[Any]:
    """The tabs round the models themselves; returns the runs that make a model."""
    named = _named(page)
    pickers: dict[Task, Any] = {task: named[f"{task}-model"] for task in TASKS}
    with gr.Tab("Fine-tune", id="tune", elem_id="tab-tune"):
        made = fine_tune_tab.build(studio, compute)
    with gr.Tab("Models", id="models", elem_id="tab-models") as models:
        models_tab.build(studio, compute, pickers, models.select)
    return made


def _keep_pickers_fresh(studio: Studio, page: gr.Blocks, made: list[Any]) -> None:
    """Every picker lists what is here now: when a tab is opened, and after a run of ``made``.

    What is chosen in it stays.
    """
    named = _named(page)
    # Where visitors may not fine-tune, there is no picker of a base.
    pickers = {picker: chooser for picker, chooser in _PICKERS.items() if picker in named}
    choosers = sorted(set(pickers.values()) - set(TASKS))

    def offer(*chosen: Task) -> dict[Any, Any]:
        tasks: dict[str, Task] = {task: task for task in TASKS}
        tasks |= zip(choosers, chosen, strict=True)
        jobs.settle_all(studio.settings)
        choices = {task: ui.local_choices(studio.settings, task) for task in set(tasks.values())}
        return {named[picker]: choices[tasks[chooser]] for picker, chooser in pickers.items()}

    inputs, outputs = [named[name] for name in choosers], [named[name] for name in pickers]
    gr.on([tab.select for tab in _tabs_of(page)], offer, inputs, outputs, **ui.FREE)
    for run in made:
        run.then(offer, inputs, outputs, **ui.FREE)


def _welcome(studio: Studio) -> str:
    """The device line; with it the libraries are warmed up, once the first page is drawn."""
    device = studio.device
    if _is_cold.acquire(blocking=False):  # once, however many pages are opened
        timer = threading.Timer(_WARM_UP_AFTER_SECONDS, _settle, [studio.settings])
        timer.name, timer.daemon = "triptych-warm-up", True
        timer.start()
    return f"Runs on **{device.kind}** in **{device.dtype_name}** — {device.reason}."


def _settle(settings: Settings) -> None:
    """Warms up the libraries, then deletes old files once an hour for as long as the page runs."""
    libraries.warm_up()
    while True:
        forget_old_files(settings.temporary_dir, _KEPT_SECONDS)
        time.sleep(3600)


def launch_options(settings: Settings) -> dict[str, Any]:
    """What ``launch`` gets, here and in the tests."""
    password = settings.password
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": settings.share,
        "theme": ui.theme(),
        "css": ui.CSS,
        "js": ui.JS,
        "auth": None if password is None else (lambda _, given: _matches(given, password)),
        "max_file_size": settings.limits.data_bytes,  # pictures are held to less when opened
        "footer_links": ["api", "settings"],
        "show_error": True,  # without it the page shows none, ours neither
        "allowed_paths": [str(settings.temporary_dir)],
        "run_history": False,  # it would keep prompts in the browser of a shared machine
        "enable_monitoring": False,
        "ssr_mode": False,
    }


def _matches(given: str, password: str) -> bool:
    import secrets

    return secrets.compare_digest(given.encode(), password.encode())


def main() -> None:
    settings = SETTINGS
    if settings.debug:
        logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
        logging.getLogger("pipelines").setLevel(logging.DEBUG)
    if settings.share and settings.password is None:
        import secrets

        settings = replace(settings, password=secrets.token_urlsafe(9))
        print(f"Share link: any user name, password {settings.password}", flush=True)
    try:
        check_places(settings)
        build_app(settings).launch(**launch_options(settings))
    except StudioError as error:
        raise SystemExit(f"triptych: {error}") from error
    except OSError as error:
        raise SystemExit(
            f"triptych: cannot listen on {settings.host}, port {settings.port} ({error}). Give "
            "another with --port or --host."
        ) from error


def __getattr__(name: str) -> Any:
    """``demo``, which ``gradio app.py`` looks for, built on first access.

    Gradio copies the examples' pictures while a page is built, and an import writes nothing.
    """
    if name != "demo":
        raise AttributeError(name)
    globals()["demo"] = build_app(SETTINGS)
    return globals()["demo"]


if __name__ == "__main__":
    main()
