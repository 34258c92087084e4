"""How well a language model predicts a text: bits per byte, whatever its tokeniser, and
perplexity, for models with the same one.

``windowed_nats`` cuts long texts into windows for a causal model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.metrics.score import Score, name_and_hash
from pipelines.validation import MAX_SEED, whole_number

LONGEST_CONTEXT = 10**7


@dataclass(frozen=True)
class Windows:
    """How a text beyond a model's context is read: windows of ``context`` tokens that begin
    every ``stride`` tokens. All but the first window's tokens have at least
    ``context - stride`` tokens before the one that precedes them.

    Raises:
        InvalidValue: not ``1 <= stride <= context``.
    """

    context: int
    stride: int

    def __post_init__(self) -> None:
        whole_number("context", self.context, 1, LONGEST_CONTEXT)
        whole_number("stride", self.stride, 1, self.context)


Window = tuple[Sequence[int], int]
"""Tokens, and how many of the last ones are new in this window."""

NatsOf = Callable[[Sequence[Window]], Sequence[Sequence[float]]]
"""Of the new tokens of each window the model's ``-log p(token | the tokens before it in the
window)``."""


def windowed_nats(
    nats_of: NatsOf, texts: Sequence[Sequence[int]], windows: Windows
) -> list[interval.Array]:
    """``-log p(token | tokens before it in its window)`` of every token of each text but the
    first, each computed exactly once: ``(T - 1,)`` nats.

    Args:
        nats_of: the model, called once with all windows of all texts. Each has up to
            ``context + 1`` tokens, of which the last is only predicted, so the model sees
            ``context`` at most.
        texts: T tokens each, 2 at least; the first is given, so put a token that begins a text
            before it where the model knows one.
        windows: ``context`` is the longest input of the model, in tokens.

    Raises:
        InvalidValue: a text of fewer than 2 tokens.
    """
    by_text = [_windows(tokens, windows) for tokens in texts]
    every = [window for own in by_text for window in own]
    answers = nats_of(every)
    for (_, count), nats in zip(every, answers, strict=True):
        assert len(nats) == count, "one value for each new token"
    joined, start = [], 0
    for own in by_text:
        joined.append(np.concatenate(answers[start : start + len(own)]).astype(np.float64))
        start += len(own)
    return joined


def _windows(tokens: Sequence[int], windows: Windows) -> list[Window]:
    """The windows of a text, each with the number of its tokens that are new in it."""
    if len(tokens) < 2:
        raise InvalidValue(
            f"There are {len(tokens)} tokens; give at least 2, for the first is only given."
        )
    last = len(tokens) - 1
    cut = []
    start = done = 0  # tokens 1 to ``done`` are in earlier windows
    while done < last:
        end = min(start + windows.context, last)
        cut.append((tokens[start : end + 1], end - done))
        start, done = start + windows.stride, end
    return cut


def perplexity(
    nats: Sequence[float],
    token_counts: Sequence[int],
    text: str,
    tokenizer: str,
    windows: Windows,
    seed: int = 0,
) -> Score:
    """``exp(sum(nats) / sum(tokens))``; 1 at best. It depends on the tokeniser.

    Args:
        nats, text, seed: as in ``bits_per_byte``.
        token_counts: of each passage, the predicted tokens, 1 or more.
        tokenizer: its name and the hash of its files, ``name@hash``.
        windows: how the text was read.

    Raises:
        InvalidValue: as ``bits_per_byte``.
    """
    text, seed = name_and_hash("text", text), whole_number("seed", seed, 0, MAX_SEED)
    tokenizer = name_and_hash("tokenizer", tokenizer)
    _check(nats, token_counts, "token_counts")

    rows = np.column_stack([nats, token_counts]).astype(np.float64)
    low, high = interval.bootstrap(rows, interval.ratio, seed, least=0.0)
    total = int(sum(token_counts))
    with np.errstate(over="ignore"):  # a broken model is infinitely perplexed
        value = float(np.exp(math.fsum(nats) / total))
        if not math.isnan(low):
            low, high = np.exp([low, high]).tolist()
    return Score(
        value,
        low,
        high,
        len(nats),
        f"perplexity|text:{text}|tok:{tokenizer}|tokens:{total}{_signed(windows)}"
        f"|ci:{interval.named(seed)}|numpy:{np.__version__}",
        higher_is_better=False,
    )


def bits_per_byte(
    nats: Sequence[float],
    byte_counts: Sequence[int],
    text: str,
    seed: int = 0,
    windows: Windows | None = None,
) -> Score:
    """``sum(nats) / ln 2 / sum(bytes)``: bits that the model needs for a byte of UTF-8.

    Bytes are the same for every tokeniser, so no tokeniser is in the signature. The
    interval resamples passages; those that share context are wider apart than it says.

    Args:
        nats: of each passage, the negative log likelihood summed over its tokens.
        byte_counts: of each passage, the UTF-8 bytes that these tokens spell, 1 or more.
        text: its name and the hash of its content, ``name@hash``.
        seed: of the resampling, from 0 to 2^63 - 1.
        windows: how the text was read, for the signature, where it was in windows.

    Raises:
        InvalidValue: fewer than 2 passages, lists of different lengths, a likelihood
            above 1, a count below 1, or a name without a hash.
    """
    text, seed = name_and_hash("text", text), whole_number("seed", seed, 0, MAX_SEED)
    _check(nats, byte_counts, "byte_counts")
    bits = np.asarray(nats, np.float64) / math.log(2)
    rows = np.column_stack([bits, byte_counts])
    low, high = interval.bootstrap(rows, interval.ratio, seed, least=0.0)
    total = int(sum(byte_counts))
    return Score(
        math.fsum(nats) / math.log(2) / total,
        low,
        high,
        len(nats),
        f"bits_per_byte|text:{text}|bytes:{total}{_signed(windows)}"
        f"|ci:{interval.named(seed)}|numpy:{np.__version__}",
        higher_is_better=False,
    )


def _signed(windows: Windows | None) -> str:
    return "" if windows is None else f"|context:{windows.context}|stride:{windows.stride}"


def _check(nats: Sequence[float], counts: Sequence[int], name: str) -> None:
    if len(nats) != len(counts) or len(nats) < 2:
        raise InvalidValue(
            f"There are {len(nats)} likelihoods and {len(counts)} {name.replace('_', ' ')}; give "
            "one of each for each of at least 2 passages."
        )
    for number, (loss, count) in enumerate(zip(nats, counts, strict=True), start=1):
        if not 0 <= loss < math.inf:  # false for NaN, too
            raise InvalidValue(
                f"nats of passage {number} are {abbreviated(loss)}; give a finite number of 0 or "
                "more, the negative log likelihood summed over tokens."
            )
        if not isinstance(count, int | np.integer) or count < 1:
            raise InvalidValue(
                f"{name} of passage {number} is {abbreviated(count)}; give a whole number of "
                "1 or more. Leave out passages without text."
            )
