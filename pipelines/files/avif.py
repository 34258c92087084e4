"""How large the pictures coded in an AVIF file are, whatever its container claims.

Nothing is decoded: the first words of each AV1 stream are read (AV1 Bitstream specification,
5.5.1), where the container says that a stream is (ISO/IEC 14496-12, ``iloc`` and ``stco``).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

_CONTAINERS = {b"meta": 4, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
"""Boxes with boxes in them, and the bytes before these."""
_SEQUENCE_HEADER = 1
_MOST_STREAMS = 4096


class _Bits:
    """Numbers of any width, one after another, the highest bit first."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def take(self, count: int) -> int:
        """Raises ValueError at the end."""
        self._left -= count
        if self._left < 0:
            raise ValueError("it ends too early")
        return self._value >> self._left & ((1 << count) - 1)


def coded_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each picture of a file, as its AV1 streams have them.

    Raises:
        ValueError: the file is damaged.
    """
    for stream in islice(_streams(content), _MOST_STREAMS):
        yield from _sizes(stream)


def _streams(content: bytes) -> Iterator[bytes]:
    """The data of each item, and what begins where a track's first frame is."""
    boxes = list(_boxes(content, 0, len(content)))
    own = next((content[start:end] for kind, start, end in boxes if kind == b"idat"), b"")
    for kind, start, end in boxes:
        if kind == b"iloc":
            yield from _items(content, own, _Bits(content[start:end]))
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            yield content[int.from_bytes(content[start + 8 : start + 8 + width], "big") :]


def _boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box with the places where what is in it begins and ends."""
    while at + 8 <= end:
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(content[start : start + 8], "big"), start + 8
        stop = end if size == 0 else min(end, at + size)
        if stop < start:
            raise ValueError("a box is shorter than its head")
        yield kind, start, stop
        if kind in _CONTAINERS:
            yield from _boxes(content, start + _CONTAINERS[kind], stop)
        at = stop


def _items(content: bytes, own: bytes, bits: _Bits) -> Iterator[bytes]:
    version, _ = bits.take(8), bits.take(24)
    widths = [8 * bits.take(4) for _ in range(4)]
    for _ in range(bits.take(32 if version == 2 else 16)):
        bits.take(32 if version == 2 else 16)
        is_own = version > 0 and bits.take(16) & 15 == 1
        bits.take(16)
        base, data = bits.take(widths[2]), b""
        for _ in range(bits.take(16)):
            bits.take(widths[3] if version > 0 else 0)
            offset, length = base + bits.take(widths[0]), bits.take(widths[1])
            source = own if is_own else content
            if len(data) <= len(content):
                data += source[offset : offset + length] if length else source[offset:]
        yield data


def _sizes(stream: bytes) -> Iterator[tuple[int, int]]:
    """Of each sequence header of a stream of open bitstream units; of other data, none."""
    at = 0
    while at < len(stream) and stream[at] & 0b10000010 == 0b10:  # each has its size
        kind, at = stream[at] >> 3 & 15, at + (2 if stream[at] & 4 else 1)
        size = shift = 0
        while at < len(stream) and shift < 56:
            size, shift, at = size | (stream[at] & 127) << shift, shift + 7, at + 1
            if stream[at - 1] < 128:
                break
        if kind == _SEQUENCE_HEADER:
            yield _size(_Bits(stream[at : at + min(size, 512)]))
        at += size


def _size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)
    if bits.take(1):
        bits.take(5)
    else:
        _skip_operating_points(bits)
    widths = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(widths[0]) + 1, bits.take(widths[1]) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            zeros = 0
            while not bits.take(1):
                zeros += 1
            bits.take(zeros)
        if bits.take(1):
            delay = bits.take(5) + 1
            bits.take(42)
    has_delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        bits.take(1 if bits.take(5) > 7 else 0)
        if delay and bits.take(1):
            bits.take(2 * delay + 1)
        if has_delays and bits.take(1):
            bits.take(4)
