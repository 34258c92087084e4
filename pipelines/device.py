"""Where models run and in which precision, with the reason that the page shows.

The only place that decides this. Importing it loads no torch.
"""

from __future__ import annotations

import os
import platform
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_MIB = 1024**2
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Device:
    """A torch device type (``cuda``, ``mps`` or ``cpu``) and the name of a torch dtype."""

    kind: str
    dtype_name: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype_name)
        return dtype


def choose_device() -> Device:
    """The best device of this machine. Imports torch: a second and a half the first time."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Device("cuda", "float16", f"{name}: half precision, which halves memory and time")
    if torch.backends.mps.is_available():
        return Device("mps", "float16", "Apple GPU: half precision")
    return Device("cpu", "float32", "no GPU found; a CPU computes float16 slower than float32")


def hardware() -> str:
    """This machine's GPUs and processor, for cards."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}; {processor()}"
    gpu = "an Apple GPU" if torch.backends.mps.is_available() else "no GPU"
    return f"{processor()}; {gpu}"


@cache
def processor() -> str:
    """``"8 cores of NAME (x86_64)"``: the CPU, as far as the system knows it."""
    name = _cpu_model() or platform.processor() or "a CPU"
    return f"{os.cpu_count()} cores of {name} ({platform.machine()})"


def _cpu_model() -> str | None:
    """The name in Linux's ``/proc/cpuinfo``; other systems and some processors have none there."""
    if not _CPU_INFO.is_file():
        return None
    for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def memory_in_use_bytes(device_kind: str) -> int:
    """Bytes in use by this process: GPU memory on ``cuda``, resident memory elsewhere."""
    if device_kind == "cuda":
        import torch

        return int(torch.cuda.memory_allocated())
    return int(psutil.Process(os.getpid()).memory_info().rss)


class PeakMemory:
    """Measures the highest memory in use inside a ``with`` block.

    On ``cuda`` torch keeps the count; elsewhere this looks 50 times a second.
    """

    def __init__(self, device_kind: str, interval_seconds: float = 0.02) -> None:
        self._kind = device_kind
        self._interval_seconds = interval_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._kind == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._look()
        if self._kind == "cuda":
            import torch

            self.bytes = int(torch.cuda.max_memory_allocated())

    def _watch(self) -> None:
        while not self._is_over.wait(self._interval_seconds):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, memory_in_use_bytes(self._kind))


def mebibytes(count: int) -> str:
    """``"12.3 MB"``: bytes for people, in units of 1024 x 1024."""
    return f"{count / _MIB:,.1f} MB" if count < 100 * _MIB else f"{count / _MIB:,.0f} MB"
