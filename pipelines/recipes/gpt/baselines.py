"""Bits per byte of the held-out books without a neural network, for comparison.

    python -m pipelines.recipes.gpt.baselines --data books

Two compressors, and Kneser-Ney counts of byte sequences, all with the training books.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.recipes.gpt.data import HELD_OUT, read_texts

LONGEST_ORDER = 8
"""Bytes that fit into an unsigned integer of 64 bits."""

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": partial(gzip.compress, compresslevel=9, mtime=0),  # its window is 32 kB
    "xz -9e": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME),  # 64 MB
}

Grams = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


def compressed_bits(
    compress: Callable[[bytes], bytes], training: bytes, held_out: bytes
) -> tuple[float, float]:
    """Bits of compressed file for each held-out byte: alone, and added to the training text."""
    added = len(compress(training + held_out)) - len(compress(training))
    return 8 * len(compress(held_out)) / len(held_out), 8 * added / len(held_out)


class KneserNey:
    """Interpolated Kneser-Ney over bytes, with a context of ``order - 1`` bytes.

    Chen and Goodman, "An empirical study of smoothing techniques for language modeling"
    (1998), equations 23 to 28 with one discount a level. The longest sequences count how
    often they occur, shorter ones how many different bytes precede them; below single
    bytes, all 256 are equally likely. So every byte has a probability above 0 in every
    context, and the 256 sum to one.
    """

    def __init__(self, training: bytes, order: int) -> None:
        """Counts the sequences of up to ``order`` bytes in the text.

        Raises:
            ValueError: an order outside 1 to 8, or a text shorter than the order.
        """
        if not 1 <= order <= LONGEST_ORDER:
            raise ValueError(f"order is {order}; it must be from 1 to {LONGEST_ORDER}")
        if len(training) < order:
            raise ValueError(f"the text has {len(training)} bytes; order {order} needs as many")
        self.order = order
        grams, counts = np.unique(_sequences(training, order), return_counts=True)
        self._levels = [(grams, counts)]
        for length in range(order - 1, 0, -1):
            grams, counts = np.unique(_last(grams, length), return_counts=True)
            self._levels.insert(0, (grams, counts))

    def probabilities(self, text: bytes) -> npt.NDArray[np.float64]:
        """``p(byte | bytes before it)`` of all but the first ``order - 1`` bytes: ``(N,)``."""
        sequences = _sequences(text, self.order)
        result = np.full(len(sequences), 1 / 256)
        for length, (grams, counts) in enumerate(self._levels, start=1):
            contexts, starts, followers = np.unique(
                grams >> np.uint64(8), return_index=True, return_counts=True
            )
            wanted = _last(sequences, length)
            context = wanted >> np.uint64(8)
            total = _lookup(contexts, np.add.reduceat(counts, starts), context)
            ones, twos = (int((counts == n).sum()) for n in (1, 2))
            discount = ones / (ones + 2 * twos) if ones and twos else 0.5
            mass = np.maximum(_lookup(grams, counts, wanted) - discount, 0)
            mass += discount * _lookup(contexts, followers, context) * result
            result = np.where(total > 0, mass / np.maximum(total, 1), result)
        return result

    def bits_per_byte(self, held_out: bytes) -> float:
        """Mean ``-log2 p`` of every byte, with line breaks before the first."""
        padded = b"\n" * (self.order - 1) + held_out
        return float(-np.log2(self.probabilities(padded)).mean())


def _sequences(text: bytes, length: int) -> Grams:
    """Every ``length`` successive bytes as one number, the last byte lowest: ``(N,)``."""
    row = np.frombuffer(text, np.uint8).astype(np.uint64)
    result = np.zeros(max(0, len(row) - length + 1), np.uint64)
    for offset in range(length):
        result = (result << np.uint64(8)) | row[offset : offset + len(result)]
    return result


def _last(grams: Grams, length: int) -> Grams:
    """The last ``length`` bytes of each."""
    return grams & np.uint64(2 ** (8 * length) - 1)


def _lookup(keys: Grams, values: Counts, wanted: Grams) -> Counts:
    """The value of each wanted key, 0 for a missing one: ``(N,)``. ``keys`` are sorted."""
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="files never counted")
    parser.add_argument("--orders", nargs="+", type=int, default=(5, LONGEST_ORDER))
    parsed = parser.parse_args(arguments)
    parts = read_texts(parsed.data, parsed.held_out)
    training, held_out = (b"".join(text.encode() + b"\n\n" for text in part) for part in parts)
    print(f"training {len(training)} bytes, held out {len(held_out)} bytes")
    for name, compress in COMPRESSORS.items():
        alone, after = compressed_bits(compress, training, held_out)
        print(f"{name}: {alone:.3f} alone, {after:.3f} after training text")
    for order in parsed.orders:
        print(f"{order}-gram of bytes: {KneserNey(training, order).bits_per_byte(held_out):.3f}")


if __name__ == "__main__":
    main()
