"""Describes many pictures in one batch, each as it comes out alone, but for rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from pipelines.hub import Adapter
from pipelines.image_captioning.families import FAMILIES
from pipelines.image_captioning.pipeline import (
    Captioner,
    CaptionRequest,
    guards,
    with_own_values,
)
from pipelines.image_captioning.search import FEWEST_BEAMS
from pipelines.runtime.adapters import Wait, applied


def takes_batches(captioner: Captioner) -> bool:
    """Only where a picture is nothing but the encoder's states."""
    return captioner.family.prepare is FAMILIES["vision-encoder-decoder"].prepare


def caption_batch(
    captioner: Captioner, requests: Sequence[CaptionRequest], wait: Wait,
    adapters: Sequence[Adapter],
) -> list[str]:  # fmt: skip
    """The likeliest caption of each picture, or a sampled one, in their order.

    Args:
        captioner: one that ``takes_batches``.
        requests: checked ones with seeds, alike in all but picture and seed, without a prompt.
        wait: called now and then while others use the model with other adapters, and at
            every token; what it raises ends the batch.
    """
    import torch
    from transformers import LogitsProcessorList
    from transformers.modeling_outputs import BaseModelOutput

    from pipelines.runtime.sampling import processors

    first, model = with_own_values(captioner, requests[0]), captioner.model
    chain = LogitsProcessorList([_waiting(wait)])
    options = {"num_beams": FEWEST_BEAMS, "early_stopping": True}
    if first.method == "sampling":
        chain += processors(
            first.temperature, 0, 1.0, [cast(int, request.seed) for request in requests]
        )
        options = {"num_beams": 1, "early_stopping": False}
    with torch.inference_mode(), applied(model, adapters, wait):
        pictures = [request.picture for request in requests]
        pixels = captioner.processor(images=pictures, return_tensors="pt")["pixel_values"]
        cells = model.get_encoder()(pixels.to(model.device, model.dtype)).last_hidden_state
        tokens = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=cells),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=first.max_new_tokens,
            logits_processor=chain,
            **options,
            **guards(first),
        )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _waiting(wait: Wait) -> Callable[[Any, Any], Any]:
    """A processor of logits that changes nothing: where a stop takes effect."""

    def passed(input_ids: Any, scores: Any) -> Any:
        wait()
        return scores

    return passed
