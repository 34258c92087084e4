"""Trains the common space of pictures and texts on emoji scenes, drawn afresh for every step.

    python -m pipelines.recipes.clip.train --minutes 10

begins with the captioner's encoder as far as it goes, if ``--encoder`` has one. The state
stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderModel,
)

from pipelines.metrics.retrieval import recall
from pipelines.recipes import training
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip.data import Batch, draw_batch
from pipelines.recipes.clip.model import build, contrastive_loss, encode, features_of
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.data import add_world_option, scene_words, world_named

ENCODER_RESTS = 0.1
"""The share of the budget in which a trained encoder stays as it is: a text tower that
knows nothing yet would only spoil it."""
HELD_OUT_SEED = 1234
IN_TRAINING = "emoji-clip@00000000"
"""Stands for the model where only values are kept: weights that still change have no hash."""

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [emoji-scenes]
---

# {name}

Puts emoji scenes and their captions into one space of {dimensions} dimensions: a picture's \
features are near those of what it shows. A `VisionTextDualEncoderModel` of {millions:.1f} \
million parameters, in half precision: a Swin encoder of {depths} layers, and a BERT of \
{layers} layers with {words} words. What is not a scene it does not know.

```python
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

path = "assets/models/{name}"
model = AutoModel.from_pretrained(path, dtype="float32")
words = AutoTokenizer.from_pretrained(path)(captions, padding=True, return_tensors="pt")
pixels = AutoImageProcessor.from_pretrained(path)(pictures, return_tensors="pt").pixel_values
model(pixel_values=pixels, **words).logits_per_image
```

| | |
| --- | --- |
| data | scenes drawn while it trains, by `pipelines/recipes/emoji_scenes` from the glyphs of \
Noto Color Emoji (SIL Open Font License 1.1); a tenth of the emoji-and-colour combinations and \
all pairs with twenty emoji are held out |
| recipe | `pipelines/recipes/clip` |
| steps | {steps:,} of {batch_size} pictures |

On {count} held-out scenes in their standard wording, from the saved half-precision files:

| what | value |
| --- | --- |
{scores}
"""


class Lesson(nn.Module):
    """The model as one call on a batch."""

    def __init__(
        self, model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        super().__init__()
        self.model = model
        self._tokenizer = tokenizer

    def forward(self, batch: Batch) -> torch.Tensor:
        """The contrastive loss in nats."""
        device = self.model.logit_scale.device
        words = {name: ids.to(device) for name, ids in encode(self._tokenizer, batch.texts).items()}
        pictures = self.model.get_image_features(batch.images().to(device)).pooler_output
        texts = self.model.get_text_features(**words).pooler_output
        scale = self.model.logit_scale.exp()
        return contrastive_loss(pictures, texts, scale, batch.is_same.to(device))

    def rest_encoder(self, rests: bool) -> None:
        """Leaves the pictures' tower as it is, or lets it learn."""
        self.model.vision_model.requires_grad_(not rests)


def held_out_scores(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerBase, batch: Batch
) -> dict[str, float]:
    """Recall at 1, 5 and 10 of the picture's text and of the text's picture."""
    model.train(False)
    pictures = [Image.fromarray(pixels) for pixels in batch.pictures]
    shown, told = features_of(
        model, tokenizer, build_image_processor(), pictures, batch.texts, prefix=""
    )
    is_right = batch.is_same.numpy()
    found = {
        "text": recall(shown, told, is_right, IN_TRAINING),
        "picture": recall(told, shown, is_right.T, IN_TRAINING),
    }
    return {f"{what}_at_{k}": of[k].value for what, of in found.items() for k in of}


def save(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerBase, output: Path
) -> VisionTextDualEncoderModel:
    """Writes the checkpoint in half precision; returns it as it reads back."""
    deepcopy(model).half().save_pretrained(output, max_shard_size="8MB")
    tokenizer.save_pretrained(output)
    build_image_processor().save_pretrained(output)
    training.forget_paths(output)
    return VisionTextDualEncoderModel.from_pretrained(output, dtype=torch.float32)


def write_card(
    model: VisionTextDualEncoderModel,
    scores: Mapping[str, float],
    count: int,
    run: training.Run,
) -> None:
    """``README.md`` of the checkpoint."""
    output, texts = run.options.output, model.config.get_text_config()
    rows = [f"| recall: {name.replace('_', ' ')} | {v:.3f} |" for name, v in scores.items()]
    text = CARD.format(
        name=output.name,
        dimensions=model.config.projection_dim,
        millions=model.num_parameters() / 1e6,
        depths=" and ".join(map(str, cast(Any, model.config.vision_config).depths)),
        layers=texts.num_hidden_layers,
        words=texts.vocab_size,
        steps=run.step,
        batch_size=run.options.batch_size,
        count=count,
        scores="\n".join(rows),
    )
    (output / "README.md").write_text(text, encoding="utf-8")


def begin_with(
    options: training.Options, tokenizer: PreTrainedTokenizerFast, encoder: Path
) -> tuple[VisionTextDualEncoderModel, bool]:
    """A model, and whether its pictures' tower has learned before.

    That is the one that ``--init-from`` names, or a blank one with the encoder of the
    captioner in ``encoder``, or, for a smoke run or where none is there, wholly blank.

    Raises:
        SystemExit: the one of ``--init-from`` has other words than this world.
    """
    if options.init_from is not None:
        known = PreTrainedTokenizerFast.from_pretrained(options.init_from)
        training.check_words(known, tokenizer, options.init_from)
        model = VisionTextDualEncoderModel.from_pretrained(options.init_from, dtype=torch.float32)
        return model, False  # both towers know each other, so neither needs to wait
    torch.manual_seed(options.seed)
    if options.smoke:
        return build(tokenizer, 32, (1, 1), 32, 1), False
    model = build(tokenizer)
    if not encoder.is_dir():
        return model, False
    captioner: Any = AutoModelForImageTextToText.from_pretrained(encoder, dtype=torch.float32)
    theirs = captioner.encoder.state_dict()
    model.vision_model.load_state_dict(
        {name: theirs[name] for name in model.vision_model.state_dict()}
    )
    return model, True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = training.parser(__doc__ or "", "clip", "emoji-clip", 128, 8e-4)
    parser.add_argument(
        "--encoder",
        type=Path,
        default=Path("assets/models/emoji-captioner"),
        help="a captioner whose encoder to begin with",
    )
    add_world_option(parser)
    parsed = parser.parse_args(arguments)
    options = training.options_from(parsed)
    world = world_named(parsed.world, options.smoke)
    tokenizer = build_tokenizer(scene_words(world))
    count = 16 if options.smoke else 512
    held_out = draw_batch(world, count, np.random.default_rng(HELD_OUT_SEED), held_out=True)

    model, has_learned = begin_with(options, tokenizer, parsed.encoder)
    model.set_attn_implementation("eager")  # on a processor a third faster than the fused one
    run = training.Run(options, Lesson(model, tokenizer), weight_decay=0.05)
    lesson, averaged = cast(Lesson, run.model), cast(Lesson, run.averaged.module)
    run.log(words=len(tokenizer), parameters=model.num_parameters())
    for rng in run.steps():
        batch = draw_batch(world, options.batch_size, rng)
        lesson.rest_encoder(has_learned and run.progress < ENCODER_RESTS)
        with run.accelerator.autocast():
            loss = lesson(batch)
        run.update(loss)
        if run.is_due(50):
            run.log(loss=loss.item(), scale=model.logit_scale.exp().item())
        if run.is_due(250):
            run.log(**held_out_scores(averaged.model, tokenizer, held_out))

    best = save(averaged.model, tokenizer, options.output)
    scores = held_out_scores(best, tokenizer, held_out)
    run.log(**scores)
    training.keep_log(options)
    write_card(best, scores, count, run)


if __name__ == "__main__":
    main()
