"""A sheet that shows where a captioner looks as it writes each word."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from pipelines.recipes import results
from pipelines.recipes.captioner.model import word_attention

_COLUMNS = 13
_LEAST_LIGHT = 0.15
"""How much of a cell's light is left where nothing is looked at."""


@torch.no_grad()
def attention_sheet(
    model: Any, tokenizer: PreTrainedTokenizerBase, images: torch.Tensor
) -> Image.Image:
    """A row for each image ``(N, 3, H, W)`` in [-1, 1]: the image, then once for each of the first
    twelve words of its greedy caption, lit where the word was read."""
    tiles, captions = [], []
    for image in images.to(model.device):
        cells = model.get_encoder()(pixel_values=image[None]).last_hidden_state
        ids = model.generate(pixel_values=image[None], do_sample=False, num_beams=1)[0]
        words = ids[~torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))]
        words = words[: _COLUMNS - 1]
        maps = word_attention(model, cells, words) if len(words) else cells.new_zeros(0, 1)
        row = [image[None], _lit(image, maps), torch.ones(_COLUMNS, *image.shape)]
        tiles.append(torch.cat(row)[:_COLUMNS])
        texts = ["", *map(str, tokenizer.convert_ids_to_tokens(words.tolist()))]
        captions += texts + [""] * (_COLUMNS - len(texts))
    return results.sheet(results.pictures_of(torch.cat(tiles)), _COLUMNS, captions)


def _lit(image: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """The image ``(3, H, W)`` once for each map ``(W, S)`` of square cells: ``(W, 3, H, W)``."""
    edge = round(maps.shape[1] ** 0.5)
    light = (maps / maps.amax(dim=1, keepdim=True)).view(-1, 1, edge, edge)
    light = functional.interpolate(light, size=tuple(image.shape[1:]), mode="bilinear")
    return (image + 1) * (_LEAST_LIGHT + (1 - _LEAST_LIGHT) * light) - 1
