"""What old means make of the held-out books: the figures that a writer has to beat.

    python -m pipelines.recipes.gpt.baselines --data books

Two compressors, and counts of byte sequences with Kneser-Ney smoothing. All know the
training books, as the writer does. Nothing that serves imports this module.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.recipes.gpt.data import HELD_OUT, read_texts

BYTES = 256
LONGEST_ORDER = 8
"""Bytes that fit into one whole number of 64 bits."""

_BREAK = b"\n\n"

Grams = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def gzip_size(text: bytes) -> int:
    """Bytes of the text after gzip -9, whose window is 32 kB."""
    return len(gzip.compress(text, 9, mtime=0))


def xz_size(text: bytes) -> int:
    """Bytes of the text after xz -9e, whose window is 64 MB."""
    return len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


@dataclass(frozen=True)
class Compression:
    """Bits of compressed file for each byte of held-out text."""

    alone: float
    after_training: float
    """What the held-out text adds to the file when it follows the training text."""

    @property
    def best(self) -> float:
        return min(self.alone, self.after_training)


def compression(size: Callable[[bytes], int], training: bytes, held_out: bytes) -> Compression:
    """Both ways to compress the held-out text; ``size`` gives bytes after compression."""
    added = size(training + held_out) - size(training)
    return Compression(8 * size(held_out) / len(held_out), 8 * added / len(held_out))


@dataclass(frozen=True)
class _Level:
    """Counts of the sequences of one length, each a whole number: see ``_sequences``."""

    grams: Grams
    counts: Counts
    contexts: Grams
    totals: Counts
    """For each context, the sum of the counts of what follows it."""
    followers: Counts
    """For each context, how many different bytes follow it."""
    discount: float


class KneserNey:
    """Interpolated Kneser-Ney over bytes; at most ``order - 1`` bytes are looked back at.

    Chen and Goodman, "An empirical study of smoothing techniques for language modeling"
    (1998), equations 23 to 28 with one discount a level. The longest sequences count how
    often they occur, the shorter ones how many different bytes stand before them; below
    single bytes, all 256 are equally likely. So every byte has a probability above 0 in
    every context, and the 256 sum to one.
    """

    def __init__(self, training: bytes, order: int) -> None:
        """Counts the sequences of ``order`` bytes in the text.

        Raises:
            ValueError: an order outside 1 to 8, or a text shorter than the order.
        """
        if not 1 <= order <= LONGEST_ORDER:
            raise ValueError(f"order is {order}; it must be from 1 to {LONGEST_ORDER}")
        if len(training) < order:
            raise ValueError(f"the text has {len(training)} bytes; order {order} needs as many")
        self.order = order
        grams, counts = np.unique(_sequences(training, order), return_counts=True)
        self._levels = [_level(grams, counts)]
        for length in range(order - 1, 0, -1):
            grams, counts = np.unique(_last(grams, length), return_counts=True)
            self._levels.insert(0, _level(grams, counts))

    def probabilities(self, text: bytes) -> Probabilities:
        """``p(byte | bytes before it)`` of all but the first ``order - 1`` bytes: ``(N,)``."""
        sequences = _sequences(text, self.order)
        result = np.full(len(sequences), 1 / BYTES)
        for length, level in enumerate(self._levels, start=1):
            grams = _last(sequences, length)
            counts = _find(level.grams, level.counts, grams)
            contexts = grams >> np.uint64(8)
            totals = _find(level.contexts, level.totals, contexts)
            followers = _find(level.contexts, level.followers, contexts)
            known = totals > 0
            mass = np.maximum(counts - level.discount, 0) + level.discount * followers * result
            result[known] = mass[known] / totals[known]
        return result

    def bits_per_byte(self, held_out: bytes) -> float:
        """Mean ``-log2 p`` of every byte; before the first one stand line breaks."""
        before = b"\n" * (self.order - 1)
        return float(-np.log2(self.probabilities(before + held_out)).mean())


def _sequences(text: bytes, length: int) -> Grams:
    """Each stretch of so many bytes as a number, its last byte the lowest: ``(N,)``."""
    row = np.frombuffer(text, np.uint8).astype(np.uint64)
    count = max(0, len(row) - length + 1)
    result = np.zeros(count, np.uint64)
    for offset in range(length):
        result = (result << np.uint64(8)) | row[offset : offset + count]
    return result


def _last(grams: Grams, length: int) -> Grams:
    """The last so many bytes of each."""
    return grams & np.uint64(2 ** (8 * length) - 1)


def _level(grams: Grams, counts: Counts) -> _Level:
    """Args: ``grams`` sorted and all different, ``(N,)``, with their ``counts``, ``(N,)``."""
    contexts, starts, followers = np.unique(
        grams >> np.uint64(8), return_index=True, return_counts=True
    )
    totals = np.add.reduceat(counts, starts)
    return _Level(grams, counts, contexts, totals, followers, _discount(counts))


def _discount(counts: Counts) -> float:
    """``n1 / (n1 + 2 n2)`` from how many counts are 1 and 2: a half where either is none."""
    ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
    return ones / (ones + 2 * twos) if ones and twos else 0.5


def _find(keys: Grams, values: Counts, wanted: Grams) -> Counts:
    """The value of each wanted key, 0 for those that are not there: ``(N,)``."""
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="files never counted")
    parser.add_argument("--orders", nargs="+", type=int, default=(5, LONGEST_ORDER))
    parsed = parser.parse_args(arguments)
    texts, held_out_texts = read_texts(parsed.data, parsed.held_out)
    training = b"".join(text.encode() + _BREAK for text in texts)
    held_out = b"".join(text.encode() + _BREAK for text in held_out_texts)
    print(f"training {len(training)} bytes, held out {len(held_out)} bytes")
    for name, size in (("gzip -9", gzip_size), ("xz -9e", xz_size)):
        bits = compression(size, training, held_out)
        print(f"{name}: {bits.alone:.3f} alone, {bits.after_training:.3f} after training text")
    for order in parsed.orders:
        print(f"{order}-gram of bytes: {KneserNey(training, order).bits_per_byte(held_out):.3f}")


if __name__ == "__main__":
    main()
