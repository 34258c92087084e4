"""transformers and diffusers, imported and loading models in one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.tasks import Task

alone = threading.Lock()
"""Held while a model is loaded, and while transformers or diffusers are imported.

Both put another module in their own place when their import ends, and change process-wide
defaults while they load. A thread that asks for such a library while another one imports it
is left with the module that was replaced, in which there is nothing.
"""


_imported: set[Task] = set()


def warm_up() -> None:
    """Imports the libraries of every task, so that first loads do not wait for them."""
    for task in _IMPORTS:
        import_for(task)


def import_for(task: Task) -> None:
    """Imports the classes that models of a task are made of: seconds, once a process.

    Architectures other than the embedded models' import about a tenth of a second more when one
    is first loaded.
    """
    if not has(task):  # with nothing to import, do not wait for a load
        with alone:
            _IMPORTS[task]()
        _imported.add(task)


def has(task: Task) -> bool:
    """Whether ``import_for`` has nothing left to do."""
    return task in _imported


def _import_transformers() -> Any:
    """transformers, which is to log errors alone and to draw no bars of its own."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _import_writers() -> None:
    transformers = _import_transformers()
    _ = transformers.PreTrainedModel, transformers.GenerationMixin
    _ = transformers.AutoTokenizer, transformers.PreTrainedTokenizerFast
    _ = transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM


def _import_painters() -> None:
    _import_transformers()
    import diffusers

    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    _ = diffusers.DiffusionPipeline, diffusers.StableDiffusionPipeline


def _import_captioners() -> None:
    transformers = _import_transformers()
    _ = transformers.AutoImageProcessor, transformers.AutoTokenizer
    _ = transformers.AutoModelForImageTextToText, transformers.VisionEncoderDecoderModel


_IMPORTS: dict[Task, Callable[[], None]] = {
    "write": _import_writers,
    "paint": _import_painters,
    "describe": _import_captioners,
}
