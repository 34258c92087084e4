"""Baselines: compressors, and byte sequences with Kneser-Ney smoothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.recipes.gpt import baselines
from pipelines.recipes.gpt.baselines import COMPRESSORS, KneserNey, compressed_bits

PAGE = (Path(__file__).parents[1] / "data" / "page.txt").read_bytes()
NOISE = np.random.default_rng(0).bytes(100_000)


def test_compression_by_hand() -> None:
    """A compressor that needs a byte for each different one: 4 alone, 1 more after "abc"."""
    assert compressed_bits(lambda text: bytes(set(text)), b"abc", b"abcd") == (8.0, 2.0)


def test_xz_finds_what_gzip_no_longer_sees() -> None:
    """The held-out bytes are those of 100 kB ago; gzip looks 32 kB back."""
    held_out = NOISE[:20_000]
    gzip, xz = COMPRESSORS["gzip -9"], COMPRESSORS["xz -9e"]
    assert compressed_bits(gzip, NOISE, held_out)[1] > 7.9
    assert compressed_bits(gzip, held_out, held_out)[1] < 0.5
    alone, after = compressed_bits(xz, NOISE, held_out)
    assert after < 0.5
    assert alone > 7.9


def test_two_bytes_by_hand() -> None:
    """In "aabab": aa 1, ab 2, ba 1, so one is told from n1 = 2 and n2 = 1: D = 1/2.

    Before a stand a and b, before b stands a: continuation counts 2 and 1, D = 1/3.
    """
    model = KneserNey(b"aabab", 2)
    rest = (1 / 3) * 2 / 3 / 256
    a, b = (2 - 1 / 3) / 3 + rest, (1 - 1 / 3) / 3 + rest
    expected = {
        b"aa": (1 - 0.5) / 3 + 0.5 * 2 / 3 * a,
        b"ab": (2 - 0.5) / 3 + 0.5 * 2 / 3 * b,
        b"ba": (1 - 0.5) / 1 + 0.5 * 1 / 1 * a,
        b"bb": 0.5 * 1 / 1 * b,
        b"ax": 0.5 * 2 / 3 * rest,
        b"xa": a,  # nothing is known of what follows x
        b"xx": rest,
    }
    for text, probability in expected.items():
        assert model.probabilities(text) == pytest.approx([probability]), text


def test_single_bytes_count_as_often_as_they_occur() -> None:
    """At order 1 there is nothing to look back at: a 2, b 1, D = 1 / (1 + 2)."""
    model = KneserNey(b"aba", 1)
    assert model.probabilities(b"a") == pytest.approx([(2 - 1 / 3) / 3 + (1 / 3) * 2 / 3 / 256])


def test_bits_are_the_mean_over_every_byte() -> None:
    model = KneserNey(b"aabab", 2)
    p = model.probabilities(b"\nab")
    assert len(p) == 2
    assert model.bits_per_byte(b"ab") == pytest.approx(-(math.log2(p[0]) + math.log2(p[1])) / 2)


@pytest.mark.parametrize("order", range(1, 9))
def test_the_probabilities_of_all_bytes_sum_to_one(order: int) -> None:
    model = KneserNey(PAGE + bytes([0, 255]), order)
    for before in (b"the lamp", b"he lamp\xff", b"\0\0\0\0\0\0\0\0", b"qqqqqqqq", PAGE[-8:]):
        context = before[len(before) - order + 1 :]
        p = np.array([model.probabilities(context + bytes([last]))[0] for last in range(256)])
        assert p.sum() == pytest.approx(1)
        assert p.min() > 0


def test_longer_sequences_tell_more_of_what_was_seen() -> None:
    bits = [KneserNey(PAGE, order).bits_per_byte(PAGE) for order in (1, 2, 4, 8)]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 1 < 4 < bits[0]


def test_noise_costs_a_little_more_than_eight_bits() -> None:
    assert 8 < KneserNey(PAGE, 5).bits_per_byte(NOISE) < 20


@pytest.mark.parametrize(
    ("order", "message"),
    [(0, "must be from 1 to 8"), (9, "must be from 1 to 8"), (6, "5 bytes; order 6")],
)
def test_orders_that_cannot_be_counted_are_refused(order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KneserNey(b"aabab", order)


def test_the_command_prints_every_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(PAGE)
    (tmp_path / "b.txt").write_bytes(PAGE[:300])
    baselines.main(["--data", str(tmp_path), "--held-out", "b.txt", "--orders", "2", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"training {len(PAGE.strip()) + 2} bytes, held out 302 bytes"
    names = [line.split(":")[0] for line in lines[1:]]
    assert names == ["gzip -9", "xz -9e", "2-gram of bytes", "5-gram of bytes"]
