"""Trains the common embedding space on emoji scenes that are drawn for every step.

    python -m pipelines.recipes.clip.train --minutes 10

starts with the lower layers of the captioner's encoder if ``--encoder`` has one. The state
stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderModel,
)

from pipelines.metrics.retrieval import recall
from pipelines.recipes import command_line, results, training
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip.data import Batch, draw_batch
from pipelines.recipes.clip.model import build, contrastive_loss, encode, features_of
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import parse, scene_words

FROZEN_UNTIL = 0.1
"""The share of the budget in which a trained encoder is frozen: a text tower that knows
nothing yet would only spoil it."""
HELD_OUT_SEED = 1234
_UNSAVED = "emoji-clip@00000000"
"""Stands for the model in signatures of scores during training, when its weights have no hash."""

ABOUT = """\
Embeds emoji scenes and their captions in one space of {dimensions} dimensions: a picture's \
features are near those of its captions. A `VisionTextDualEncoderModel` of {millions:.1f} \
million parameters, in half precision: a Swin encoder of {depths} layers, and a BERT of \
{layers} layers with {words} words. It knows nothing but emoji scenes.

```python
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

path = "assets/models/{name}"
model = AutoModel.from_pretrained(path, dtype="float32")
words = AutoTokenizer.from_pretrained(path)(captions, padding=True, return_tensors="pt")
pixels = AutoImageProcessor.from_pretrained(path)(pictures, return_tensors="pt").pixel_values
model(pixel_values=pixels, **words).logits_per_image
```"""


def loss_of(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerBase, batch: Batch
) -> torch.Tensor:
    """The contrastive loss in nats."""
    device = model.logit_scale.device
    words = {name: ids.to(device) for name, ids in encode(tokenizer, batch.texts).items()}
    pictures = model.get_image_features(batch.images().to(device)).pooler_output
    texts = model.get_text_features(**words).pooler_output
    return contrastive_loss(pictures, texts, model.logit_scale.exp(), batch.is_same.to(device))


def held_out_scores(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerBase, batch: Batch
) -> dict[str, float]:
    """Recall at 1, 5 and 10: of a picture's text, and of a text's picture."""
    pictures = [Image.fromarray(pixels) for pixels in batch.pictures]
    of_pictures, of_texts = features_of(
        model.train(False), tokenizer, build_image_processor(), pictures, batch.texts, prefix=""
    )
    is_right = batch.is_same.numpy()
    recalls = {
        "text": recall(of_pictures, of_texts, is_right, _UNSAVED),
        "picture": recall(of_texts, of_pictures, is_right.T, _UNSAVED),
    }
    return {f"{what}_at_{k}": of[k].value for what, of in recalls.items() for k in of}


def describe(
    model: VisionTextDualEncoderModel, scores: Mapping[str, float], count: int, run: training.Run
) -> None:
    """``README.md`` of the checkpoint, with the scores on ``count`` held-out scenes."""
    folder, vision = run.options.output, model.config.vision_config
    texts = model.config.get_text_config()
    about = ABOUT.format(
        name=folder.name,
        dimensions=model.config.projection_dim,
        millions=model.num_parameters() / 1e6,
        depths=" and ".join(map(str, vision.depths)),  # type: ignore[union-attr]
        layers=texts.num_hidden_layers,
        words=texts.vocab_size,
    )
    rows = {f"recall: {name.replace('_', ' ')}": value for name, value in scores.items()}
    write_card(
        run,
        "clip",
        "transformers",
        "zero-shot-image-classification",
        about,
        f"On {count} held-out scenes in their standard wording",
        rows,
    )


def starting_model(
    options: command_line.Options, tokenizer: PreTrainedTokenizerFast, encoder: Path
) -> tuple[VisionTextDualEncoderModel, bool]:
    """A model, and whether its picture tower is trained but its text tower is not.

    That is so for a new model with the encoder of the captioner in the folder ``encoder``,
    and not for one of ``--init-from``, in a smoke run, or without that folder.

    Raises:
        SystemExit: the checkpoint of ``--init-from`` has another vocabulary.
    """
    model = training.starting_model(
        options,
        VisionTextDualEncoderModel,
        lambda: build(tokenizer, 32, (1, 1), 32, 1) if options.smoke else build(tokenizer),
        tokenizer,
    )
    if options.init_from is not None or options.smoke or not encoder.is_dir():
        return model, False
    captioner: Any = AutoModelForImageTextToText.from_pretrained(encoder, dtype=torch.float32)
    model.vision_model.load_state_dict(  # which has only the lower layers
        {name: captioner.encoder.state_dict()[name] for name in model.vision_model.state_dict()}
    )
    return model, True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "clip", "emoji-clip", 128, 8e-4)
    parser.add_argument(
        "--encoder",
        type=Path,
        default=Path("assets/models/emoji-captioner"),
        help="a captioner whose encoder to start with",
    )
    parsed, options, world = parse(parser, arguments)
    tokenizer = build_tokenizer(scene_words(world))
    count = 16 if options.smoke else 512
    held_out = draw_batch(world, count, np.random.default_rng(HELD_OUT_SEED), held_out=True)

    model, is_half_trained = starting_model(options, tokenizer, parsed.encoder)
    model.set_attn_implementation("eager")  # a third faster than the fused one on a processor
    run = training.Run(options, model, weight_decay=0.05)
    run.log(words=len(tokenizer), parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        is_frozen = is_half_trained and run.progress < FROZEN_UNTIL
        model.vision_model.requires_grad_(not is_frozen)
        loss = loss_of(model, tokenizer, draw_batch(world, options.batch_size, rng))
        return loss, {"loss": loss, "scale": model.logit_scale.exp()}

    run.train(step, lambda: held_out_scores(run.average, tokenizer, held_out), 250)

    best = results.save(run.average, options.output, tokenizer, build_image_processor())
    scores = held_out_scores(best, tokenizer, held_out)
    run.log(**scores)
    results.keep_log(options)
    describe(best, scores, count, run)


if __name__ == "__main__":
    main()
