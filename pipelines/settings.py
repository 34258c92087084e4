"""The settings of a page's owner, and the limits of visitors' requests.

``Settings`` is built once, by ``app.py``, and passed to everything that needs it. Nothing else
reads the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import StudioError

ROOT = Path(__file__).resolve().parent.parent
_GIB = 1024**3
_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Limits:
    """Upper bounds of a request. Checked in the pipelines, shown by the page."""

    prompt_characters: int = 20_000
    new_tokens: int = 1_024
    paint_prompt_characters: int = 2_000
    steps: int = 150
    guidance_scale: float = 30.0
    pictures: int = 8
    edge_pixels: int = 1_024
    captions: int = 8
    caption_tokens: int = 128
    upload_bytes: int = 20 * 1024**2
    data_bytes: int = 200 * 1024**2
    upload_pixels: int = 20_000_000
    picture_pixels: int = 4 * 1024**2
    download_bytes: int = 8 * _GIB


@dataclass(frozen=True)
class Settings:
    """One page's configuration. ``models_dir`` holds the embedded checkpoints.

    ``use_own_token`` opens the private models of the account that is logged in on this machine;
    it has no effect where others can reach the page. ``fine_tuning`` lets visitors train; None
    lets them where nobody else can reach the page. ``debug`` logs tracebacks and timings.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    password: str | None = None
    models_dir: Path = ROOT / "assets" / "models"
    extra_models_dir: Path | None = None
    data_dir: Path = Path.home() / ".cache" / "triptych"
    memory_budget_bytes: int = 4 * _GIB
    disk_budget_bytes: int = 30 * _GIB
    hub_enabled: bool = True
    use_own_token: bool = False
    fine_tuning: bool | None = None
    debug: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def is_private(self) -> bool:
        """Whether the page can be reached from this machine alone."""
        return not self.share and self.host in _ON_THIS_MACHINE

    @property
    def temporary_dir(self) -> Path:
        """Holds visitors' uploads and results for a day."""
        return self.data_dir / "tmp"

    @property
    def may_fine_tune(self) -> bool:
        return self.is_private if self.fine_tuning is None else self.fine_tuning

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str], arguments: Mapping[str, str] | None = None
    ) -> Settings:
        """The settings of ``OPTIONS``; what is not set keeps its default.

        Args:
            arguments: texts of the command line by field; they come before the environment.

        Raises:
            StudioError: a value that cannot be read; the message names the variable or option.
        """
        values: dict[str, Any] = {}
        for option in OPTIONS:
            given = option.given(environ, arguments or {})
            if given is not None:
                values[option.field] = option.read(*given)
        return cls(**values)


def gibibytes(text: str, name: str) -> int:
    """``"1.5"`` as a number of bytes.

    Raises:
        StudioError: not a number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1_000_000:
        raise StudioError(f"{name} is {text!r}; give a number of GiB above 0, such as 4.")
    return int(value * _GIB)


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise StudioError(f"{name} is {text!r}; give a whole number.")
    return int(text)


def _flag(text: str, name: str) -> bool:
    if text.strip().lower() in ("1", "true", "yes", "on"):
        return True
    if text.strip().lower() in ("0", "false", "no", "off"):
        return False
    raise StudioError(f"{name} is {text!r}; give 1 or 0.")


def _folder(text: str, name: str) -> Path:
    return Path(text).expanduser()


def _text_or_none(text: str, name: str) -> str | None:
    return text or None


@dataclass(frozen=True)
class Option:
    """One field of ``Settings`` as it can be set from outside.

    ``flag`` is its option on the command line, None where it has none.
    """

    field: str
    variables: tuple[str, ...]
    read: Callable[[str, str], Any]
    help: str
    flag: str | None

    @property
    def is_switch(self) -> bool:
        return self.read is _flag

    def given(
        self, environ: Mapping[str, str], arguments: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """The text that counts and the name that it stands under; None where it is not set.

        An empty variable is as if not set, and so is a switch of blanks.
        """
        if self.flag is not None and self.field in arguments:
            return arguments[self.field], self.flag
        named = ((environ.get(name, ""), name) for name in self.variables)
        is_set = str.strip if self.is_switch else str
        return next(((text, name) for text, name in named if is_set(text)), None)


def _option(
    field: str, variable: str, read: Callable[[str, str], Any], text: str = "", also: str = ""
) -> Option:
    """An option whose flag is its variable's name: TRIPTYCH_DATA_DIR and --data-dir."""
    flag = variable.removeprefix("TRIPTYCH_").removesuffix("_GIB").lower().replace("_", "-")
    variables = (variable, also) if also else (variable,)
    return Option(field, variables, read, text, f"--{flag}" if text else None)


OPTIONS = (
    _option("host", "TRIPTYCH_HOST", lambda text, name: text, "address to listen on",
            also="GRADIO_SERVER_NAME"),
    _option("port", "TRIPTYCH_PORT", _whole, "port to listen on", also="GRADIO_SERVER_PORT"),
    _option("share", "TRIPTYCH_SHARE", _flag,
            "make a public link; visitors need a password"),
    _option("password", "TRIPTYCH_PASSWORD", _text_or_none,
            "the password that visitors need, with any user name"),
    _option("extra_models_dir", "TRIPTYCH_MODEL_DIR", _folder,
            "a folder of further checkpoints, listed in the pickers by name"),
    _option("data_dir", "TRIPTYCH_DATA_DIR", _folder,
            "where downloads and temporary files are written"),
    _option("memory_budget_bytes", "TRIPTYCH_MEMORY_BUDGET_GIB", gibibytes,
            "GiB of memory that loaded models may take"),
    _option("disk_budget_bytes", "TRIPTYCH_DISK_BUDGET_GIB", gibibytes,
            "GiB of disk that downloaded models may take"),
    _option("use_own_token", "TRIPTYCH_OWN_TOKEN", _flag,
            "open your own private models (hf auth login), where you alone can reach the page"),
    _option("fine_tuning", "TRIPTYCH_FINE_TUNE", _flag,
            "let visitors train models; by default only you may"),
    _option("debug", "TRIPTYCH_DEBUG", _flag, "write tracebacks and timings to the log"),
    _option("hub_enabled", "TRIPTYCH_HUB", _flag),
)  # fmt: skip
"""Everything that the environment and the command line can set."""


def check_places(settings: Settings) -> None:
    """Makes the data directory, and checks the port and the folder of models.

    Raises:
        StudioError: no port, no folder of models, or a data directory that cannot be written.
    """
    if not 1 <= settings.port <= 65_535:
        raise StudioError(f"The port is {settings.port}; give a whole number from 1 to 65535.")
    models = settings.extra_models_dir
    if models is not None and not models.is_dir():
        raise StudioError(f"The model directory {models} is not there. Make it, or give another.")
    try:
        settings.temporary_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudioError(
            f"The data directory {settings.data_dir} cannot be made ({error.strerror}). Give "
            "another with --data-dir."
        ) from error
