"""The likelihood of texts under a causal model, several in one batch.

A text's likelihood depends on its neighbours in the last digits, because sums of
other shapes are rounded differently. So the key of a sample names the texts of its batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.errors import WrongTask
from pipelines.metrics.likelihood import Window, Windows, windowed_nats
from pipelines.runtime.adapters import Wait, applied
from pipelines.runtime.studio import Loaded

TOKENS_AT_ONCE = 1024
"""In one pass through the model, padding included; with more a processor gets no faster."""
LOGITS_AT_ONCE = 2**26
"""A quarter of a gigabyte in float32. A window that is larger alone is read alone."""


def likelihoods(
    name: str, loaded: Loaded, texts: Sequence[str], context: int, wait: Wait
) -> list[dict[str, Any]]:
    """For each text its nats over all tokens after the one that begins a text, the number of
    these tokens, the text's bytes, the windows, and the tokenizer's hash.

    Args:
        context: tokens of a window, which overlap by half; less where the model holds less.
        wait: called before every pass through the model; what it raises ends the reading.

    Raises:
        WrongTask: the model does not read from left to right, or has no such token.
    """
    writer = loaded.model
    if loaded.snapshot.family != "causal":
        raise WrongTask(
            f"{name} is of the kind {loaded.snapshot.family} and does not read a text from left to "
            "right, so it has no bits per byte and no perplexity. Choose other metrics or another "
            "model."
        )
    context = min(context, writer.context_tokens)
    windows = Windows(context, max(1, context // 2))
    tokens = [_with_beginning(writer.tokenizer, text) for text in texts]
    with applied(writer.model, loaded.snapshot.adapters, wait):
        nats_of_texts = windowed_nats(_nats_of(writer.model, wait), tokens, windows)
    return [
        {
            "nats": float(nats.sum()),
            "tokens": len(nats),
            "bytes": len(text.encode()),
            "context": windows.context,
            "stride": windows.stride,
            "tokenizer": _tokenizer_hash(writer.tokenizer),
        }
        for text, nats in zip(texts, nats_of_texts, strict=True)
    ]


def _nats_of(model: Any, wait: Wait) -> Callable[[Sequence[Window]], list[Sequence[float]]]:
    """A causal model as ``windowed_nats`` calls it."""
    room = min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)

    def nats_of(every: Sequence[Window]) -> list[Sequence[float]]:
        nats: dict[int, Sequence[float]] = {}
        for places in _passes([len(tokens) - 1 for tokens, _ in every], room):
            wait()
            nats |= zip(places, _read(model, [every[place] for place in places]), strict=True)
        return [nats[place] for place in range(len(every))]

    return nats_of


def _passes(lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """The places of the windows that go through the model together, at most so many tokens, and
    none half as long again as another: padding costs as much as text."""
    places: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        is_full = (len(places) + 1) * lengths[place] > room
        if places and (is_full or lengths[place] > 1.5 * lengths[places[0]]):
            yield places
            places = []
        places.append(place)
    yield places


def _read(model: Any, batch: Sequence[Window]) -> list[Sequence[float]]:
    """One pass. Padding stands on the right, where no token of a causal model looks."""
    import torch

    lengths = [len(tokens) - 1 for tokens, _ in batch]  # the last one is only predicted
    ids = torch.zeros((len(batch), max(lengths)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (tokens, _) in enumerate(batch):
        ids[row, : lengths[row]] = torch.tensor(tokens[:-1])
        mask[row, : lengths[row]] = 1
    nats: list[Sequence[float]] = []
    with torch.inference_mode():
        logits = model(
            ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False
        ).logits
        for row, (tokens, count) in enumerate(batch):
            seen = logits[row, lengths[row] - count : lengths[row]].double()
            right = torch.tensor(tokens[-count:], device=model.device)
            of_row = torch.nn.functional.cross_entropy(seen, right, reduction="none")
            nats.append(of_row.tolist())
    return nats


def _with_beginning(tokenizer: Any, text: str) -> list[int]:
    """The text's tokens after the tokenizer's BOS, or after its EOS where it has no BOS."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    for first in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if first is not None:
            return [int(first), *ids]
    raise WrongTask(
        "This model has no token that begins a text, so the likelihood of a text's first word is "
        "not known. Choose other metrics or another model."
    )


def _tokenizer_hash(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = str(sorted(tokenizer.get_vocab().items())) if backend is None else backend.to_str()
    return hashlib.sha256(content.encode()).hexdigest()[:16]
