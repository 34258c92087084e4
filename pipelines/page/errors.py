"""Errors shown to people: ours as they read, others as one sentence and in the log."""

from __future__ import annotations

import functools
import html
import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from pipelines.errors import StudioError, full_disk

logger = logging.getLogger(__name__)


def shows_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The one place where errors become ``gr.Error``: ours as they read, others logged.

    How long a handler took is logged for ``--debug``.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def streamed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _errors_for_people(handler):
                yield from handler(*args, **kwargs)

        return streamed

    @functools.wraps(handler)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with _errors_for_people(handler):
            return handler(*args, **kwargs)

    return plain


@contextmanager
def _errors_for_people(handler: Callable[..., Any]) -> Iterator[None]:
    began = time.perf_counter()
    name = f"{handler.__module__}.{handler.__qualname__}"
    try:
        yield
    except Exception as error:
        raise for_people(error) from error
    finally:
        logger.debug("%s took %.3f s", name, time.perf_counter() - began)


def for_people(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    error = full_disk(error) or error
    if isinstance(error, StudioError):
        logger.debug("answered with an error", exc_info=error)
        message = str(error) if _is_asked_by_a_program() else html.escape(str(error), quote=False)
        return gr.Error(message, duration=15, print_exception=False)
    logger.error("a handler failed", exc_info=error)
    return gr.Error(
        "Something went wrong on our side; the log has the details. Other runs are not affected."
    )


def _is_asked_by_a_program() -> bool:
    """Whether one of Gradio's clients gets the answer, and no page that would read it as HTML."""
    request = LocalContext.request.get(None)
    return request is not None and request.headers.get("x-gradio-user") in ("api", "mcp")
