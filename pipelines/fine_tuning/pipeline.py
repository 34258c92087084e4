"""Fine-tunes a model of the page on a visitor's own text or pictures.

The training is a process of its own (``jobs``), by the recipe that also has a command
line; here its request is checked, it is started, and its log is followed. Importing this
module loads no torch.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pipelines import validation
from pipelines.errors import InvalidValue, StudioError, abbreviated
from pipelines.events import Progress
from pipelines.files.imagefolder import DataLimits, DataReport, check_imagefolder
from pipelines.files.texts import TextReport, check_texts, read_text
from pipelines.fine_tuning import endings, jobs, tokens
from pipelines.fine_tuning.jobs import Job
from pipelines.hub import Snapshot, model_cards, resolve
from pipelines.hub.model_cards import CARD
from pipelines.hub.offline import models_here
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.runtime.windows import window_of
from pipelines.settings import Limits, Settings
from pipelines.tasks import TASKS, Task
from pipelines.validation import Choice, Number, Rule, Unchecked, Whole

LEAST_MINUTES, MOST_MINUTES = 0.2, 240.0
RANKS = (4, 8, 16, 32, 64)
MOST_SAMPLES = 256
LEAST_WINDOW, MOST_WINDOW = 16, 32_768
_FOLLOW_SECONDS = 0.5
_FILE = "](samples."
"""In a section of a card that links a file."""

_LONGEST_STEM = 50
"""Characters of a file's name that a card repeats."""

Curves = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class _Rank(Rule):
    """One of ``RANKS``, or 0."""

    def check(self, name: str, value: object, limits: Limits) -> int:
        return int(validation.choice(name, str(value), ["0", *(str(rank) for rank in RANKS)]))


@dataclass(frozen=True)
class _LearningRate(Rule):
    """A number, or None for the recipe's own."""

    def check(self, name: str, value: object, limits: Limits) -> float | None:
        return None if value is None else validation.number(name, value, 1e-7, 0.1)


@dataclass(frozen=True)
class _Count(Rule):
    """A whole number from ``low`` to ``high``; 0 and None, which it becomes, are the recipe's."""

    low: int
    high: int

    def check(self, name: str, value: object, limits: Limits) -> int | None:
        if value is None or (value == 0 and not isinstance(value, bool)):
            return None
        otherwise = ", or 0 for the recipe's own"
        return validation.whole_number(name, value, self.low, self.high, otherwise)


@dataclass(frozen=True)
class FineTuneRequest:
    """What to train on what, and for how long.

    Attributes:
        data: uploaded files: texts (``.txt``) for a writer, one ZIP in imagefolder form
            for a painter or captioner.
        rank: of the LoRA; 0 trains every weight.
        learning_rate: None for the recipe's own.
        batch_size: samples a step; None for the recipe's own.
        window: tokens that a writer is trained on in one piece; None for the recipe's own.
    """

    task: Annotated[Task, Choice(tuple(TASKS))]
    base: Annotated[str, Unchecked()]
    name: Annotated[str, Unchecked()]
    data: Annotated[tuple[Path, ...], Unchecked()]
    minutes: Annotated[float, Number(LEAST_MINUTES, MOST_MINUTES)] = 10.0
    rank: Annotated[int, _Rank()] = 8
    learning_rate: Annotated[float | None, _LearningRate()] = None
    seed: Annotated[int, Whole(0, 2**32 - 1)] = 0
    batch_size: Annotated[int | None, _Count(1, MOST_SAMPLES)] = None
    window: Annotated[int | None, _Count(LEAST_WINDOW, MOST_WINDOW)] = None


@dataclass(frozen=True)
class Learning:
    """How far a fine-tune is: ``curves`` has each value of its log over the steps."""

    progress: Progress
    curves: Curves


@dataclass(frozen=True)
class FineTuned:
    """A finished fine-tune, a model of the page from now on by ``reference``."""

    reference: str
    folder: Path
    curves: Curves

    @property
    def card(self) -> str:
        """Its model card, as Markdown without the front matter, and without a section that
        links a file of its folder: the page shows the file itself."""
        return "".join(part for part in self._sections() if _FILE not in part).strip()

    @property
    def samples(self) -> Path | None:
        """The file that the card links: the base and the fine-tune on the same prompts."""
        is_linked = any(_FILE in part for part in self._sections())
        return next(iter(sorted(self.folder.glob("samples.*"))), None) if is_linked else None

    def _sections(self) -> list[str]:
        text = model_cards.split((self.folder / CARD).read_text(encoding="utf-8"))[1]
        return re.split(r"^(?=## )", text, flags=re.MULTILINE)


def checked(request: FineTuneRequest, settings: Settings) -> FineTuneRequest:
    """The request with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    request = validation.checked(request, settings.limits)
    if request.window is not None and TASKS[request.task].trains_on != "texts":
        raise InvalidValue(f"window is {request.window}; pictures have no window, so give 0.")
    name = jobs.checked_name(request.name, settings)
    return replace(request, name=name, data=_checked_files(request.data, request.task))


def _checked_files(data: object, task: Task) -> tuple[Path, ...]:
    files = tuple(data) if isinstance(data, list | tuple) else ()
    takes_texts = TASKS[task].trains_on == "texts"
    wanted = ".txt files" if takes_texts else "one ZIP of pictures with captions"
    ending = ".txt" if takes_texts else ".zip"
    if not files or (not takes_texts and len(files) > 1):
        raise InvalidValue(f"data are {len(files)} files; give {wanted}.")
    for file in files:
        if not isinstance(file, Path) or file.suffix.lower() != ending:
            name = file.name if isinstance(file, Path) else file
            raise InvalidValue(f"{abbreviated(name)} is of another kind; give {wanted}.")
    return files


def check_data(task: Task, data: object, limits: Limits) -> TextReport | DataReport:
    """What was uploaded, before anything is trained on it.

    Raises:
        InvalidValue: it is nothing that can be checked.
    """
    files = _checked_files(data, task)
    if TASKS[task].trains_on == "texts":
        return check_texts(files)
    return check_imagefolder(files[0], DataLimits(picture=limits))


def windows_of(
    data: object, report: TextReport, base: object, window: object, settings: Settings
) -> str | None:
    """How many tokens texts have for a base, and what that means for a window of so many.

    Args:
        report: on the data, without problems.

    Returns:
        None where the base is not on this machine yet, or has a tokenizer that only its
        library can open.

    Raises:
        InvalidValue: the window is out of bounds, or longer than the base's context.
    """
    wanted = validation.rule_of(FineTuneRequest, "window").check("window", window, settings.limits)
    folder = models_here(settings).get(base) if isinstance(base, str) else None
    tokenizer = None if folder is None else tokens.tokenizer_of(folder)
    if folder is None or tokenizer is None:
        return None
    length = window_of(folder, wanted)
    texts = [read_text(file) for file in _checked_files(data, "write")]
    count, is_whole = tokens.counted(tokenizer, texts, tokens.SECONDS)
    return tokens.in_words(count, is_whole, 1 - report.held_out / report.passages, length)


def generate(
    studio: Studio, request: FineTuneRequest
) -> Generator[Progress | Learning, None, FineTuned]:
    """Starts the fine-tune and follows it; closing the iterator does not stop it.

    Raises:
        StudioError: a field, the base or the data are at fault, or the training failed.
    """
    request = checked(request, studio.settings)
    _refuse_unusable(request)
    base = yield from stream(lambda emit: _base(request, studio.settings), may_go_on=True)
    job = _start(studio.settings, request, base)
    return (yield from follow(studio.settings, job))


def _refuse_unusable(request: FineTuneRequest) -> None:
    """Texts are looked at again before anything starts; pictures take longer, and the training
    itself looks at them first."""
    if TASKS[request.task].trains_on == "texts":
        problems = check_texts(request.data).problems
        if problems:
            raise InvalidValue(f"The data are not ready: {' '.join(problems)}")


def _base(request: FineTuneRequest, settings: Settings) -> Snapshot:
    """The base, downloaded where it has to be, if it can be trained as requested."""
    base = resolve(request.base, request.task, settings)
    if base.adapters:
        raise InvalidValue(
            f"The base is {base.reference} with an adapter; choose {base.reference} itself."
        )
    if request.window is not None:
        window_of(base.path, request.window)
    return base


def _start(settings: Settings, request: FineTuneRequest, base: Snapshot) -> Job:
    options = ["--seed", str(request.seed)]
    options += ["--full"] if request.rank == 0 else ["--lora-rank", str(request.rank)]
    if request.learning_rate is not None:
        options += ["--learning-rate", repr(request.learning_rate)]
    if request.batch_size is not None:
        options += ["--batch-size", str(request.batch_size)]
    if request.window is not None:
        options += ["--window", str(request.window)]
    with jobs.starting(settings):
        folder = jobs.new_folder(settings, jobs.checked_name(request.name, settings))
        data = _copied(request.data, folder / "data")
        return jobs.start(
            settings, request.task, folder, base.reference, base.path, data, options,
            request.minutes,
        )  # fmt: skip


def _copied(files: tuple[Path, ...], folder: Path) -> Path:
    """The data under the name that the card will give them: a file, or a folder of several."""
    first = _plain(files[0])
    if len(files) == 1:
        folder.mkdir()
        return Path(shutil.copyfile(files[0], folder / first))
    folder = folder / f"{first} and {len(files) - 1} more"
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copyfile(file, folder / f"{number:04}{file.suffix.lower()}")
    return folder


def _plain(file: Path) -> str:
    """A visitor's name for a file, in characters that are neither a path nor markup."""
    stem = re.sub(r"[^\w ()-]", "_", file.stem).strip() or "data"
    short = stem if len(stem) <= _LONGEST_STEM else stem[: _LONGEST_STEM - 1] + "…"
    return short + file.suffix.lower()


def follow(settings: Settings, job: Job) -> Generator[Learning, None, FineTuned]:
    """Yields how far a job is until it has ended. Who closes the iterator leaves it running.

    Raises:
        StudioError: it was stopped, or it failed; the message says why.
    """
    while (state := jobs.state(job)) == "running":
        yield Learning(jobs.progress(job), jobs.curves(job))
        time.sleep(_FOLLOW_SECONDS)
    if state == "stopped":
        raise StudioError(f"{job.name} was stopped; nothing of it was made a model.")
    folder = jobs.settle(job, settings)
    if folder is None:
        raise StudioError(f"{job.name} could not be trained: {endings.why(job.folder, job.task)}")
    return FineTuned(job.name, folder, jobs.curves(job))
