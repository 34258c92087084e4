"""Writes many texts in one batch, each as it comes out alone.

For evaluations, which have hundreds of prompts and nobody who watches: the model reads its
weights once for all rows. Rows may differ in prompt, seed and adapter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.errors import InvalidValue
from pipelines.hub import Adapter
from pipelines.runtime.adapters import Wait, applied_by_row
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.prompts import encode
from pipelines.text_generation.writer import Writer, check_room, joiner

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WrittenRow:
    """A text without its prompt, and its tokens (with the one that ended it, if one did)."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class _Row:
    place: int
    prompt_ids: torch.Tensor
    seed: int
    adapter: Adapter | None


def write_batch(
    writer: Writer,
    requests: Sequence[TextRequest],
    wait: Wait,
    adapters: Sequence[Adapter | None] | None = None,
) -> list[WrittenRow]:
    """What each request gives alone, in their order.

    Args:
        requests: checked ones with seeds, alike in all but prompt, seed and model's name.
        wait: called now and then while others use the model with other adapters, and at
            every token; what it raises ends the batch.
        adapters: one for each row, None for the base; left out, all are of the base.

    Raises:
        InvalidValue: they differ in a setting, have no seed, or a prompt is too long; or the
            model is not one that goes on with its prompt.
    """
    _check(writer, requests)
    rows_of: dict[int, list[_Row]] = defaultdict(list)
    for place, request in enumerate(requests):
        prompt_ids = encode(writer, request)
        budget = min(request.max_new_tokens, check_room(writer, request.model, prompt_ids.shape[1]))
        adapter = adapters[place] if adapters is not None else None
        assert request.seed is not None
        rows_of[budget].append(_Row(place, prompt_ids, request.seed, adapter))
    written: dict[int, WrittenRow] = {}
    for budget, rows in rows_of.items():  # a row's end is its own context's, not its neighbours'
        with applied_by_row(writer.model, [row.adapter for row in rows], wait):
            texts = _decode(writer, requests[0], rows, budget, wait)
        written |= {row.place: text for row, text in zip(rows, texts, strict=True)}
    return [written[place] for place in range(len(requests))]


def _check(writer: Writer, requests: Sequence[TextRequest]) -> None:
    if writer.family != "causal":
        raise InvalidValue(
            f"A {writer.family} model cannot write in a batch here; choose one that goes on "
            "with its prompt."
        )
    alike = {replace(request, prompt="", seed=0, model="") for request in requests}
    if len(alike) > 1:
        raise InvalidValue("The requests of a batch differ in their settings; give them the same.")
    if any(request.seed is None for request in requests):
        raise InvalidValue("A request of the batch has no seed; give each its own.")


def _decode(
    writer: Writer, settings: TextRequest, rows: Sequence[_Row], budget: int, wait: Wait
) -> list[WrittenRow]:
    """Left padding: every row's new tokens begin in the same column."""
    import torch

    from pipelines.runtime.sampling import processors

    longest = max(row.prompt_ids.shape[1] for row in rows)
    padding = [longest - row.prompt_ids.shape[1] for row in rows]
    ids = torch.cat(
        [
            torch.nn.functional.pad(row.prompt_ids, (pad, 0))
            for row, pad in zip(rows, padding, strict=True)
        ]
    )
    chain = processors(
        settings.temperature, settings.top_k, settings.top_p, [row.seed for row in rows]
    )
    chain.append(_Heartbeat(wait))
    columns = torch.arange(longest, device=ids.device)
    mask = (columns >= torch.tensor(padding, device=ids.device)[:, None]).long()
    with torch.inference_mode():
        sequences = writer.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=budget,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=sorted(writer.ends) or None,
            pad_token_id=0,
            logits_processor=chain,
        )
    return [
        _written(writer, row, new_ids)
        for row, new_ids in zip(rows, sequences[:, longest:].tolist(), strict=True)
    ]


class _Heartbeat:
    """Called by ``generate`` for each token: here a stop is felt."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._wait()
        return scores


def _written(writer: Writer, row: _Row, new_ids: list[int]) -> WrittenRow:
    """Up to the token that ended the row; what follows is padding."""
    end = next((i for i, token in enumerate(new_ids) if token in writer.ends), len(new_ids))
    new_ids = new_ids[: end + 1]
    return WrittenRow(joiner(writer, row.prompt_ids).text(new_ids), new_ids)
