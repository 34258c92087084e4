"""What the owner of a page decides, and the limits that every visitor meets.

``Settings`` is built once, by ``app.py``, and handed to whoever needs it. Nothing else
reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

    ``use_own_token`` opens the private models of who is logged in on this machine; it has no
    effect where others can reach the page. ``fine_tuning`` lets visitors train; None means
    where nobody else can reach the page.
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
    limits: Limits = field(default_factory=Limits)

    @property
    def is_private(self) -> bool:
        """Whether nobody can reach the page but who sits at this machine."""
        return not self.share and self.host in _ON_THIS_MACHINE

    @property
    def may_fine_tune(self) -> bool:
        return self.is_private if self.fine_tuning is None else self.fine_tuning

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the ``TRIPTYCH_*`` variables; what is not set keeps its default.

        Raises:
            StudioError: a value that cannot be read; the message names the variable.
        """
        default = cls()
        home = environ.get("TRIPTYCH_DATA_DIR")
        extra = environ.get("TRIPTYCH_MODEL_DIR")
        return cls(
            host=environ.get("TRIPTYCH_HOST") or environ.get("GRADIO_SERVER_NAME") or default.host,
            port=_whole(environ, "TRIPTYCH_PORT", default.port),
            share=_flag(environ, "TRIPTYCH_SHARE", default.share),
            password=environ.get("TRIPTYCH_PASSWORD") or None,
            models_dir=default.models_dir,
            extra_models_dir=Path(extra).expanduser() if extra else None,
            data_dir=Path(home).expanduser() if home else default.data_dir,
            memory_budget_bytes=gibibytes(
                environ.get("TRIPTYCH_MEMORY_BUDGET_GIB", str(default.memory_budget_bytes / _GIB)),
                "TRIPTYCH_MEMORY_BUDGET_GIB",
            ),
            disk_budget_bytes=gibibytes(
                environ.get("TRIPTYCH_DISK_BUDGET_GIB", str(default.disk_budget_bytes / _GIB)),
                "TRIPTYCH_DISK_BUDGET_GIB",
            ),
            hub_enabled=_flag(environ, "TRIPTYCH_HUB", default.hub_enabled),
            use_own_token=_flag(environ, "TRIPTYCH_OWN_TOKEN", default.use_own_token),
            fine_tuning=(
                _flag(environ, "TRIPTYCH_FINE_TUNE", False)
                if environ.get("TRIPTYCH_FINE_TUNE")
                else default.fine_tuning
            ),
        )


def check_places(settings: Settings) -> None:
    """Makes the data directory, and looks at what else the page needs of this machine.

    Raises:
        StudioError: no port, no folder of models, or a data directory that cannot be written.
    """
    if not 1 <= settings.port <= 65_535:
        raise StudioError(f"The port is {settings.port}; give a whole number from 1 to 65535.")
    models = settings.extra_models_dir
    if models is not None and not models.is_dir():
        raise StudioError(f"The model directory {models} is not there. Make it, or give another.")
    try:
        (settings.data_dir / "tmp").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudioError(
            f"The data directory {settings.data_dir} cannot be made ({error.strerror}). Give "
            "another with --data-dir."
        ) from error


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


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not text.isdecimal():
        raise StudioError(f"{name} is {text!r}; give a whole number.")
    return int(text)


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    text = environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise StudioError(f"{name} is {text!r}; give 1 or 0.")
