"""Where models run, and how memory is measured and told."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import device
from pipelines.device import (
    Device,
    PeakMemory,
    choose_device,
    hardware,
    mebibytes,
    memory_in_use_bytes,
)

MIB = 1024**2


def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_a_machine_without_gpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    device = choose_device()
    assert (device.kind, device.dtype) == ("cpu", torch.float32)
    assert "no GPU" in device.reason


def test_cuda_computes_in_half_precision_and_names_the_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_gpus(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A Fine Card")
    device = choose_device()
    assert (device.kind, device.dtype) == ("cuda", torch.float16)
    assert "A Fine Card" in device.reason


def test_an_apple_gpu_computes_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == Device("mps", "float16", "Apple GPU: half precision")


@pytest.fixture
def cpu_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The file that Linux has of its processors, empty."""
    (tmp_path / "cpuinfo").touch()
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(platform, "machine", lambda: "riscv")
    monkeypatch.setattr(platform, "processor", lambda: "")
    device.processor.cache_clear()
    yield tmp_path / "cpuinfo"
    device.processor.cache_clear()


def test_a_processor_is_told_by_its_model(cpu_info: Path) -> None:
    cpu_info.write_text("processor : 0\nmodel\t: 17\nmodel name\t: Fine: CPU\nmodel name: 2\n")
    assert device.processor() == "12 cores of Fine: CPU (riscv)"


@pytest.mark.parametrize("known", ["arm", ""])
def test_a_processor_without_a_model_is_told_as_the_platform_does(
    cpu_info: Path, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: known)
    cpu_info.unlink()
    assert device.processor() == f"12 cores of {known or 'a CPU'} (riscv)"


def test_hardware_names_what_computes(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    assert hardware() == "12 cores of a CPU (riscv); no GPU"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert hardware() == "12 cores of a CPU (riscv); an Apple GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A Fine Card")
    assert hardware() == "2 x A Fine Card; 12 cores of a CPU (riscv)"


def test_memory_in_use_follows_what_is_held() -> None:
    before = memory_in_use_bytes("cpu")
    held = np.ones(64 * MIB, np.uint8)
    assert memory_in_use_bytes("cpu") - before > 0.8 * held.nbytes


def test_peak_memory_sees_what_was_held_only_in_between() -> None:
    before = memory_in_use_bytes("cpu")
    with PeakMemory("cpu", interval_seconds=0.005) as peak:
        held = np.ones(96 * MIB, np.uint8)
        time.sleep(0.1)
        del held
    assert peak.bytes - before > 70 * MIB
    assert peak.bytes - memory_in_use_bytes("cpu") > 50 * MIB


def test_peak_memory_stops_looking_after_its_block() -> None:
    with PeakMemory("cpu") as peak:
        pass
    assert peak.bytes > 0
    assert not peak._thread.is_alive()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 MB"), (MIB * 3 // 2, "1.5 MB"), (100 * MIB, "100 MB"), (2048 * MIB, "2,048 MB")],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert mebibytes(count) == text


def test_a_device_is_plain_data_until_its_dtype_is_asked_for() -> None:
    assert "torch" in sys.modules
    assert Device("cpu", "float32", "").dtype is torch.float32
