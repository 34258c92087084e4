"""Bits per byte, perplexity and windows: by hand, and of models whose entropy is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.likelihood import (
    Window,
    Windows,
    bits_per_byte,
    perplexity,
    windowed_nats,
)

TEXT = "tales@0123abcd"
BPE = "bpe@89abcdef"
WINDOWS = Windows(8, 4)


def test_two_passages_by_hand() -> None:
    score = bits_per_byte([8 * math.log(2), 16 * math.log(2)], [4, 4], TEXT)
    assert score.value == pytest.approx(3)


def test_long_passages_weigh_more() -> None:
    assert bits_per_byte([math.log(2), 90 * math.log(2)], [1, 9], TEXT).value == pytest.approx(9.1)


def test_a_guess_among_all_bytes_costs_8_bits() -> None:
    counts = [10, 200, 3]
    score = bits_per_byte([count * math.log(256) for count in counts], counts, TEXT)
    assert score.value == pytest.approx(8)


def test_a_model_that_knows_the_text_needs_no_bits() -> None:
    assert bits_per_byte([0, 0.0], [3, 4], TEXT).value == 0


def test_order_and_repetition_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    nats, counts = rng.uniform(1, 9, 30).tolist(), rng.integers(1, 9, 30).tolist()
    score = bits_per_byte(nats, counts, TEXT)
    assert bits_per_byte(nats[::-1], counts[::-1], TEXT) == score
    twice = bits_per_byte(nats * 2, counts * 2, TEXT)
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low


def test_the_seed_moves_the_interval_alone() -> None:
    nats, counts = [1, 2, 4, 9, 3] * 2, [1, 3, 5, 7, 2] * 2
    first, second = (bits_per_byte(nats, counts, TEXT, seed) for seed in (0, 1))
    assert first.value == second.value
    assert (first.low, first.high) != (second.low, second.high)


def test_a_signature_names_the_text_and_its_size_and_no_tokeniser() -> None:
    score = bits_per_byte([1, 2, 3], [4, 5, 6], TEXT, seed=7)
    assert score.signature == (
        f"bits_per_byte|text:tales@0123abcd|bytes:15|ci:bootstrap-t-1000|seed:7|numpy:{np.__version__}"
    )
    assert score.samples == 3
    assert not score.higher_is_better


@pytest.mark.parametrize(
    ("nats", "counts", "message"),
    [
        ([], [], "There are 0 likelihoods and 0 byte counts; give .* at least 2 passages"),
        ([1.0], [1], "There are 1 likelihoods and 1 byte counts"),
        ([1.0, 2.0], [1], "There are 2 likelihoods and 1 byte counts"),
        ([1.0, -2.0], [1, 1], r"nats of passage 2 are -2\.0; give a finite number of 0 or more"),
        ([math.nan, 2.0], [1, 1], "nats of passage 1 are nan"),
        ([1.0, math.inf], [1, 1], "nats of passage 2 are inf"),
        ([1.0, 2.0], [1, 0], "byte_counts of passage 2 is 0; give a whole number of 1 or more"),
        ([1.0, 2.0], [1.5, 1], r"byte_counts of passage 1 is 1\.5"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    nats: list[float], counts: list[int], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        bits_per_byte(nats, counts, TEXT)


def test_the_text_and_the_seed_are_checked_too() -> None:
    with pytest.raises(InvalidValue, match="text is 'tales'"):
        bits_per_byte([1, 2], [1, 2], "tales")
    with pytest.raises(InvalidValue, match="seed is -1"):
        bits_per_byte([1, 2], [1, 2], TEXT, seed=-1)


def test_the_windows_are_in_the_signature() -> None:
    windows = Windows(512, 256)
    assert (
        "|bytes:3|context:512|stride:256|ci:"
        in bits_per_byte([1, 2], [1, 2], TEXT, 0, windows).signature
    )
    assert perplexity([1, 2], [3, 4], TEXT, BPE, windows, seed=7).signature == (
        "perplexity|text:tales@0123abcd|tok:bpe@89abcdef|tokens:7|context:512|stride:256"
        f"|ci:bootstrap-t-1000|seed:7|numpy:{np.__version__}"
    )


def test_perplexity_by_hand() -> None:
    score = perplexity([2 * math.log(8), math.log(2)], [2, 2], TEXT, BPE, WINDOWS)
    assert score.value == pytest.approx((8 * 8 * 2) ** (1 / 4))
    many = perplexity([2 * math.log(8), math.log(2)] * 8, [2, 2] * 8, TEXT, BPE, WINDOWS)
    assert many.value == pytest.approx(score.value)
    assert 1 < many.low < many.value < many.high
    assert not score.higher_is_better


def test_a_guess_among_all_tokens_is_as_perplexed_as_there_are_tokens() -> None:
    counts = [10, 200, 3]
    score = perplexity([c * math.log(50) for c in counts], counts, TEXT, BPE, WINDOWS)
    assert score.value == pytest.approx(50)
    assert perplexity([0, 0], [1, 1], TEXT, BPE, WINDOWS).value == 1
    broken = perplexity([1e6, 1e6], [1, 1], TEXT, BPE, WINDOWS)
    assert broken.value == math.inf


def test_order_and_repetition_of_passages_leave_the_perplexity() -> None:
    rng = np.random.default_rng(0)
    nats, counts = rng.uniform(1, 9, 30).tolist(), rng.integers(1, 9, 30).tolist()
    score = perplexity(nats, counts, TEXT, BPE, WINDOWS)
    assert perplexity(nats[::-1], counts[::-1], TEXT, BPE, WINDOWS) == score
    twice = perplexity(nats * 2, counts * 2, TEXT, BPE, WINDOWS)
    assert twice.value == pytest.approx(score.value)
    assert twice.high - twice.low < score.high - score.low


@pytest.mark.parametrize("passages", [0, 1])
def test_the_perplexity_of_fewer_than_two_passages_is_refused(passages: int) -> None:
    with pytest.raises(InvalidValue, match="at least 2 passages"):
        perplexity([1.0] * passages, [1] * passages, TEXT, BPE, WINDOWS)


def test_perplexity_is_checked() -> None:
    with pytest.raises(InvalidValue, match="tokenizer is 'bpe'"):
        perplexity([1, 2], [1, 2], TEXT, "bpe", WINDOWS)
    with pytest.raises(InvalidValue, match="token_counts of passage 2 is 0"):
        perplexity([1, 2], [1, 0], TEXT, BPE, WINDOWS)
    with pytest.raises(InvalidValue, match="2 likelihoods and 1 token counts"):
        perplexity([1, 2], [1], TEXT, BPE, WINDOWS)


@pytest.mark.parametrize(
    ("context", "stride"), [(0, 1), (4, 0), (4, 5), (True, 1), (4, None), (math.nan, 1), (2.5, 1)]
)
def test_windows_that_skip_tokens_are_refused(context: Any, stride: Any) -> None:
    with pytest.raises(InvalidValue, match=r"context is|stride is"):
        Windows(context, stride)


class CountingModel:
    """Guesses evenly among as many tokens as it has seen, and notes what it is shown."""

    def __init__(self) -> None:
        self.shown: list[list[int]] = []

    def __call__(self, asked: Sequence[Window]) -> list[list[float]]:
        self.shown += [list(window[:-1]) for window, _ in asked]
        return [
            [math.log(seen) for seen in range(1, len(window))][-told:] for window, told in asked
        ]


def test_every_token_is_told_once_from_its_window_by_hand() -> None:
    model = CountingModel()
    (nats,) = windowed_nats(model, [range(10)], Windows(4, 2))
    # The first window tells four tokens from 1 to 4 tokens before them; each later one
    # begins two further and tells the two that are new, from 3 and 4.
    assert np.exp(nats) == pytest.approx([1, 2, 3, 4, 3, 4, 3, 4, 3])
    assert model.shown == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8]]


@pytest.mark.parametrize(("context", "stride"), [(4, 4), (4, 1), (3, 2), (1, 1), (9, 5), (50, 7)])
def test_windows_see_no_more_than_the_context_and_miss_nothing(context: int, stride: int) -> None:
    model = CountingModel()
    (nats,) = windowed_nats(model, [range(30)], Windows(context, stride))
    assert len(nats) == 29
    assert max(map(len, model.shown)) <= context
    assert (np.exp(nats[context:]).round() > context - stride).all()
    starts = [shown[0] for shown in model.shown]
    assert starts == list(range(0, stride * len(starts), stride))
    assert model.shown[-1][-1] == 28  # the last token is told, never shown


def test_texts_are_asked_for_together_and_told_apart() -> None:
    model = CountingModel()
    texts = [range(10), range(20, 23), range(30, 32)]
    together = windowed_nats(model, texts, Windows(4, 2))
    assert model.shown[-3:] == [[6, 7, 8], [20, 21], [30]]
    for text, nats in zip(texts, together, strict=True):
        assert nats.tolist() == windowed_nats(CountingModel(), [text], Windows(4, 2))[0].tolist()


@pytest.fixture(scope="module")
def writer() -> Any:
    """A tiny causal model as the function that ``windowed_nats`` asks."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
    ).eval()

    @torch.no_grad()
    def of_one(window: Sequence[int], told: int) -> Any:
        row = torch.tensor([list(window)])
        logits = model(row[:, :-1]).logits[0, -told:].double()
        return torch.nn.functional.cross_entropy(logits, row[0, -told:], reduction="none").numpy()

    def nats_of(asked: Sequence[Window]) -> Any:
        return [of_one(*each) for each in asked]

    nats_of.model = model  # type: ignore[attr-defined]
    return nats_of


@pytest.mark.parametrize(("length", "context"), [(20, 19), (20, 40), (2, 1)])
def test_a_text_that_fits_is_read_in_one_pass(writer: Any, length: int, context: int) -> None:
    import torch

    tokens = torch.randint(50, (length,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        chances = writer.model(tokens[None]).logits[0, :-1].double().log_softmax(-1)
    expected = -chances.gather(1, tokens[1:, None])[:, 0].numpy()
    for stride in {1, context}:
        (nats,) = windowed_nats(writer, [tokens.tolist()], Windows(context, stride))
        np.testing.assert_allclose(nats, expected, atol=1e-5)


def test_each_token_of_a_long_text_is_told_from_its_window(writer: Any) -> None:
    import torch

    tokens = torch.randint(50, (23,), generator=torch.Generator().manual_seed(1)).tolist()
    (nats,) = windowed_nats(writer, [tokens], Windows(8, 1))
    for place in range(9, 23):
        window = torch.tensor([tokens[place - 8 : place]])
        with torch.no_grad():
            chances = writer.model(window).logits[0, -1].double().log_softmax(-1)
        assert nats[place - 1] == pytest.approx(-float(chances[tokens[place]]), abs=1e-5)


@pytest.mark.parametrize("tokens", [[], [3]])
def test_a_text_of_one_token_has_nothing_to_tell(tokens: list[int]) -> None:
    with pytest.raises(InvalidValue, match=f"There are {len(tokens)} tokens; give at least 2"):
        windowed_nats(CountingModel(), [range(5), tokens], WINDOWS)
