"""Fills the gaps of a prompt with a masked language model: candidates with probabilities.

It reads the prompt once and draws nothing: the likeliest words stand for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import InvalidValue
from pipelines.text_generation.writer import Writer, check_room

GAP = "[MASK]"
"""What a visitor may write for a gap, whatever the model's own token for it is."""
CANDIDATES = 5
NOTE = (
    "This model fills gaps and draws nothing: new tokens, temperature, top-p, top-k and seed "
    "do not count."
)


@dataclass(frozen=True)
class Candidate:
    """A word for a gap, and the probability that the model gives it there."""

    text: str
    probability: float


@dataclass(frozen=True)
class Filled:
    """The prompt with the likeliest word in each gap, and each gap's candidates in order."""

    text: str
    candidates: list[list[Candidate]]
    prompt_tokens: int


def fill(writer: Writer, name: str, prompt: str) -> Filled:
    """The words that fit the prompt's gaps, each by itself, likeliest first.

    Raises:
        InvalidValue: the prompt has no gap, or more tokens than the model ``name`` can hold.
    """
    import torch

    tokenizer = writer.tokenizer
    if tokenizer.mask_token is None:
        raise InvalidValue(f"{name} has no token that stands for a gap. Choose another model.")
    prompt = prompt.replace(GAP, tokenizer.mask_token)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"].to(writer.model.device)
    gaps = ids[0] == tokenizer.mask_token_id
    if not gaps.any():
        raise InvalidValue(
            f"The prompt has no gap, and {name} does nothing but fill gaps. Write {GAP} where a "
            "word is missing."
        )
    check_room(writer, name, ids.shape[1])
    with torch.inference_mode():
        logits = writer.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        best = logits[0, gaps].float().softmax(dim=-1).topk(min(CANDIDATES, logits.shape[-1]))
    candidates = [
        [Candidate(_word(writer, token), p) for token, p in zip(tokens, probabilities, strict=True)]
        for tokens, probabilities in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return Filled(_with_best(prompt, tokenizer.mask_token, candidates), candidates, ids.shape[1])


def _word(writer: Writer, token: int) -> str:
    text: str = writer.tokenizer.decode([token])
    return text.strip()


def _with_best(prompt: str, mask: str, candidates: list[list[Candidate]]) -> str:
    for of_one_gap in candidates:
        word = of_one_gap[0].text
        if word.startswith("##"):  # BERT's sign for the rest of a word
            prompt = prompt.replace(f" {mask}", mask, 1)
        prompt = prompt.replace(mask, word.removeprefix("##"), 1)
    return prompt
