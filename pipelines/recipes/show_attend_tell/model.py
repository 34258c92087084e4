"""A captioner of 2015: a convolutional encoder, and an LSTM that looks before each word.

Show, Attend and Tell (Xu et al., 2015, arXiv:1502.03044) with soft attention: equations (1) to
(9) of its section 3.1, and (13) of 4.2. Serving code may import this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import (
    GenerationConfig,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from pipelines.recipes.captioner.model import LONGEST_CAPTION, NO_REPEAT, special_ids
from pipelines.recipes.patches.model import Block

CELLS = 8
"""Along each side of the picture."""


class ShowAttendTellConfig(PreTrainedConfig):
    """``channels`` are the encoder's at 32, 16 and 8 cells a side; ``hidden_size`` is the last."""

    model_type = "show-attend-tell"
    vocab_size: int = 700
    channels: Sequence[int] = (48, 96, 192)
    blocks: int = 2
    embedding_size: int = 128
    state_size: int = 256
    attention_size: int = 128
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = False

    @property
    def hidden_size(self) -> int:
        return self.channels[-1]


class Encoder(nn.Module):
    """``(B, 3, 128, 128)`` in [-1, 1] to a vector for each of 64 cells: ``(B, 64, C)``."""

    main_input_name = "pixel_values"

    def __init__(self, config: ShowAttendTellConfig) -> None:
        super().__init__()
        first, *_, last = config.channels
        layers: list[nn.Module] = [nn.Conv2d(3, first, 4, stride=4)]
        layers += [Block(first) for _ in range(config.blocks)]
        for before, after in pairwise(config.channels):
            layers += [nn.SiLU(), nn.Conv2d(before, after, 2, stride=2)]
            layers += [Block(after) for _ in range(config.blocks)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(last)
        self.places = nn.Parameter(torch.zeros(CELLS**2, last))

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutput:
        cells = self.layers(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=self.norm(cells) + self.places)


class Decoder(nn.Module):
    """An LSTM whose input is the word before and what it looks at."""

    def __init__(self, config: ShowAttendTellConfig) -> None:
        super().__init__()
        cell, word, state = config.hidden_size, config.embedding_size, config.state_size
        self.embed = nn.Embedding(config.vocab_size, word)
        self.begin = nn.Linear(cell, 2 * state)
        self.key = nn.Linear(cell, config.attention_size, bias=False)
        self.query = nn.Linear(state, config.attention_size)
        self.energy = nn.Linear(config.attention_size, 1, bias=False)
        self.gate = nn.Linear(state, cell)
        self.lstm = nn.LSTMCell(word + cell, state)
        self.from_state = nn.Linear(state, word)
        self.from_view = nn.Linear(cell, word, bias=False)
        self.vocabulary = nn.Linear(word, config.vocab_size)

    def forward(
        self, cells: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cells ``(B, S, C)`` and tokens ``(B, T)`` to the next tokens' logits ``(B, T, V)``, and
        the attention over the cells from which each was written, ``(B, T, S)``."""
        words, keys = self.embed(tokens), self.key(cells)
        hidden, memory = torch.tanh(self.begin(cells.mean(dim=1)).float()).chunk(2, dim=1)
        states, views, maps = [], [], []
        for word in words.unbind(1):
            energies = self.energy(torch.tanh(keys + self.query(hidden)[:, None]))[..., 0]
            attention = energies.float().softmax(dim=1).to(cells.dtype)
            view = torch.sigmoid(self.gate(hidden)) * (attention[:, None] @ cells)[:, 0]
            hidden, memory = self.lstm(torch.cat([word, view], dim=1), (hidden, memory))
            states.append(hidden)
            views.append(view)
            maps.append(attention)
        state, view = torch.stack(states, dim=1), torch.stack(views, dim=1)
        output = self.vocabulary(words + self.from_state(state) + self.from_view(view))
        return output, torch.stack(maps, dim=1)


class ShowAttendTell(PreTrainedModel, GenerationMixin):
    """2.9 million parameters at the standard sizes.

    ``generate`` works as for any encoder and decoder, with beams and with samples. It keeps no
    cache: with a dozen words, running the LSTM from the first one again is no burden.
    """

    config_class = ShowAttendTellConfig
    base_model_prefix = "show_attend_tell"
    main_input_name = "pixel_values"

    def __init__(self, config: ShowAttendTellConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Each layer keeps torch's own initialisation."""

    def get_encoder(self, modality: str | None = None) -> Encoder:
        return self.encoder

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        output_attentions: bool | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """The next tokens' logits; ``cross_attentions`` has one map a token, ``(B, 1, T, 64)``.

        Args:
            pixel_values: ``(B, 3, 128, 128)`` in [-1, 1], if there are no ``encoder_outputs``.
            decoder_input_ids: ``(B, T)``, padded at the right.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(pixel_values)
        cells = encoder_outputs.last_hidden_state
        logits, attention = self.decoder(cells, decoder_input_ids)
        return Seq2SeqLMOutput(
            logits=logits,
            cross_attentions=(attention[:, None],),
            encoder_last_hidden_state=cells,
        )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: torch.Tensor, encoder_outputs: Any = None, **_: Any
    ) -> dict[str, Any]:
        return {"decoder_input_ids": input_ids, "encoder_outputs": encoder_outputs}


def build(
    tokenizer: PreTrainedTokenizerBase, channels: Sequence[int] = (48, 96, 192), blocks: int = 2
) -> ShowAttendTell:
    """An untrained captioner for the words of this tokenizer."""
    special = special_ids(tokenizer)
    config = ShowAttendTellConfig(
        vocab_size=len(tokenizer), channels=tuple(channels), blocks=blocks, **special
    )
    model = ShowAttendTell(config)
    model.generation_config = GenerationConfig(
        **special, max_length=LONGEST_CAPTION, no_repeat_ngram_size=NO_REPEAT, use_cache=False
    )
    return model
