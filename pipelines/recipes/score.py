"""Scores of the embedded models, in one table.

    python -m pipelines.recipes.score --data BOOKS

Everything is computed from the saved half-precision files: captioner, painter and CLIP on the
held-out scenes of ``assets/datasets/emoji-scenes``, the writer on the held-out books of
``--data``. Without ``--data`` the writer is left out. An oracle that matches sprites, and no
model, recognises what the painter's pictures show.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
    LlamaForCausalLM,
)

from pipelines.metrics.bleu import corpus_bleu
from pipelines.metrics.frechet import frechet_distance
from pipelines.metrics.interval import in_words
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.likelihood import bits_per_byte
from pipelines.metrics.proportion import proportion
from pipelines.metrics.retrieval import median_rank, recall
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.captioner.train import captions_of
from pipelines.recipes.clip import model as clip
from pipelines.recipes.clip.data import equal_pairs
from pipelines.recipes.diffusion.checkpoint import paint
from pipelines.recipes.emoji_scenes.caption_parser import CaptionParser, describes
from pipelines.recipes.emoji_scenes.data import EDGE, Scene, World, as_images, plain_caption
from pipelines.recipes.emoji_scenes.dataset import HELD_OUT, Example, read_dataset
from pipelines.recipes.emoji_scenes.oracle import Finding, Oracle
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.extractor import MODELS, checksum, load_extractor
from pipelines.recipes.gpt.baselines import COMPRESSORS, KneserNey, compressed_bits
from pipelines.recipes.gpt.data import HELD_OUT as HELD_OUT_BOOKS
from pipelines.recipes.gpt.data import passage, read_texts
from pipelines.recipes.gpt.originality import copied_sentences, long_sentences
from pipelines.recipes.gpt.train import window_scores

PICTURES = 64
"""Pictures of each kind that the painter paints."""
SAMPLES = 20
"""Texts of the writer that are searched for copied sentences."""
ORACLE = "sprites matched"
_SEEN_SEED = 99

Kind = tuple[int, bool]
"""The number of items in a scene, and whether training may have shown it."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``floor`` is the least acceptable value, or the most where less is better.
    """

    model: str
    what: str
    score: Score
    floor: float | None = None

    @property
    def is_reached(self) -> bool:
        if self.floor is None:
            return True
        value = self.score.value
        return value >= self.floor if self.score.higher_is_better else value <= self.floor


def captioner_rows(path: Path, examples: Sequence[Example]) -> list[Row]:
    """The share of greedy captions that are right (emoji, place, colour), and their BLEU."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)
    captions = captions_of(model, tokenizer, as_images([each.pixels() for each in examples]))
    parser = CaptionParser(everyday())
    is_right: dict[int, list[bool]] = {1: [], 2: []}
    for text, each in zip(captions, examples, strict=True):
        right = describes(parser.parse(text), each.scene, each.boxes)
        is_right[len(each.scene.items)].append(right)
    references = [list(each.captions) for each in examples]
    judge = "captions read back"
    return [
        Row("captioner", "scene right, one emoji", proportion(is_right[1], judge), 0.90),
        Row("captioner", "scene right, two emoji", proportion(is_right[2], judge), 0.75),
        Row("captioner", "BLEU against five wordings", corpus_bleu(captions, references)),
    ]


def painter_rows(
    path: Path, models: Path, examples: Sequence[Example], count: int = PICTURES
) -> list[Row]:
    """What the oracle recognises in painted scenes, and FID and KID of the held-out ones.

    20 steps of the saved scheduler, guidance 4, picture i from seed i, plain captions.
    """
    extractor = load_extractor(EDGE, models)
    if extractor is None:
        raise SystemExit(f"--models: FID and KID need emoji-captioner in {models}")
    world = World()
    oracle = Oracle(world)
    pipeline = StableDiffusionPipeline.from_pretrained(path, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    scenes = scenes_to_paint(world, examples, count)
    began = time.perf_counter()
    painted = {kind: paint(pipeline, [*map(plain_caption, of)]) for kind, of in scenes.items()}
    seconds = (time.perf_counter() - began) / sum(map(len, scenes.values()))
    findings = {
        kind: [oracle.recognise(np.asarray(picture)) for picture in pictures]
        for kind, pictures in painted.items()
    }
    unseen = extractor.features([*painted[1, False], *painted[2, False]])
    real = extractor.features([each.pixels() for each in examples])
    print(f"painter: {seconds:.2f} s a picture", flush=True)
    return [
        *recognition_rows(scenes, findings),
        Row("painter", "FID", frechet_distance(unseen, real, extractor.name)),
        Row("painter", "KID", kernel_distance(unseen, real, extractor.name)),
    ]


def scenes_to_paint(
    world: World, examples: Sequence[Example], count: int
) -> dict[Kind, list[Scene]]:
    """``count`` scenes of each kind."""
    rng = np.random.default_rng(_SEEN_SEED)
    scenes: dict[Kind, list[Scene]] = {(n, seen): [] for n in (1, 2) for seen in (True, False)}
    for example in examples:
        scenes[len(example.scene.items), False].append(example.scene)
    while min(len(scenes[n, True]) for n in (1, 2)) < count:
        scene = world.sample(rng)
        scenes[len(scene.items), True].append(scene)
    return {kind: of_kind[:count] for kind, of_kind in scenes.items()}


def recognition_rows(
    scenes: dict[Kind, list[Scene]], findings: dict[Kind, list[Finding]]
) -> list[Row]:
    """How often the right emoji, colours and places were recognised."""

    def row(what: str, hits: list[bool], floor: float | None = None) -> Row:
        return Row("painter", what, proportion(hits, ORACLE), floor)

    rows = []
    for items, what, floor in ((1, "the emoji is there", 0.70), (2, "both emoji are there", 0.35)):
        for seen, which in ((True, "as in training"), (False, "never in training")):
            kind = items, seen
            right = [*map(Finding.shows_items, findings[kind], scenes[kind])]
            rows.append(row(f"{what}, {which}", right, floor))
    every = [pair for kind in scenes for pair in zip(findings[kind], scenes[kind], strict=True)]
    placed = [f.is_placed(s) for f, s in every if len(s.items) == 2 and f.shows_items(s)]
    rows.append(row("the background's colour", [f.colour == s.colour for f, s in every], 0.98))
    if placed:
        rows.append(row("their place, where both are there", placed))
    return rows


def clip_rows(path: Path, examples: Sequence[Example]) -> list[Row]:
    """Retrieval of each picture's standard caption among all, and the reverse."""
    model: Any = AutoModel.from_pretrained(path, dtype=torch.float32)
    tokenizer, processor = (c.from_pretrained(path) for c in (AutoTokenizer, AutoImageProcessor))
    pictures = [Image.fromarray(example.pixels()) for example in examples]
    texts = [example.captions[0] for example in examples]
    ours, theirs = clip.features_of(model, tokenizer, processor, pictures, texts, prefix="")
    is_right = equal_pairs([example.scene for example in examples]) | equal_pairs(texts)
    name = f"emoji-clip-without-prefix@{checksum(path)}"
    rows = []
    for way, features in (
        ("picture to text", (ours, theirs, is_right, name)),
        ("text to picture", (theirs, ours, is_right.T, name)),
    ):
        scores = {f"recall@{k}": score for k, score in recall(*features).items()}
        scores["median rank"] = median_rank(*features)
        rows += [Row("clip", f"{way}, {what}", score) for what, score in scores.items()]
    return rows


def writer_rows(path: Path, folder: Path) -> list[Row]:
    """Bits per byte of the held-out books, and the share of copied sentences in samples.

    The floors: the best of gzip, xz and a 5-gram model with the same training books; and the
    share of the held-out books' long sentences that stand in the training books as well.
    """
    texts, held_out = read_texts(folder, HELD_OUT_BOOKS)
    seen, unseen = "\n\n".join(texts), "\n\n".join(held_out)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model: Any = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)
    nats, sizes = window_scores(model, [passage(tokenizer, text) for text in held_out])
    books = f"held-out-books@{hashlib.sha256(unseen.encode()).hexdigest()[:16]}"
    score = bits_per_byte(nats.tolist(), sizes.tolist(), books)
    known = seen.encode(), unseen.encode()
    floors = [min(compressed_bits(compress, *known)) for compress in COMPRESSORS.values()]
    floors.append(KneserNey(known[0], 5).bits_per_byte(known[1]))
    samples = "\n\n".join(write(model, tokenizer))
    copied = set(copied_sentences(samples, seen))
    faults = [sentence in copied for sentence in long_sentences(samples)]
    by_chance = len(copied_sentences(unseen, seen)) / len(long_sentences(unseen))
    copies = proportion(faults, "training books", higher_is_better=False)
    return [
        Row("writer", "bits per byte, windows of 512 tokens", score, min(floors)),
        Row("writer", "long sentences copied", copies, by_chance),
    ]


@torch.no_grad()
def write(model: Any, tokenizer: Any) -> list[str]:
    """Twenty samples of 200 tokens from nothing, at temperature 0.8, from seed 0."""
    torch.manual_seed(0)
    start = torch.full((SAMPLES, 1), tokenizer.eos_token_id)
    ids = model.generate(
        start,
        attention_mask=torch.ones_like(start),
        max_new_tokens=200,
        do_sample=True,
        temperature=0.8,
        top_k=0,
        top_p=1.0,
    )
    texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, with the floors, warnings and signatures."""
    lines = []
    for row in rows:
        score, floor = row.score, ""
        if row.floor is not None:
            floor = f"{row.floor:.4g}{'' if row.is_reached else ' (not reached)'}"
        interval = in_words(score.low, score.high)
        lines.append((row.model, row.what, f"{score.value:.4g}", interval, score.samples, floor))
    header = ("model", "what", "value", "95% interval", "samples", "floor")
    warnings = [f"- {row.what}: {row.score.warning}" for row in rows if row.score.warning]
    signatures = dict.fromkeys(f"- `{row.score.signature}`" for row in rows)
    return "\n".join([results.table(header, lines), "", *warnings, *signatures])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--dataset", type=Path, default=HELD_OUT)
    parser.add_argument("--data", type=Path, help="folder of books, for the writer")
    parser.add_argument("--only", choices=["painter", "captioner", "clip", "writer"])
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of each of four kinds")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parsed = parser.parse_args()
    examples = read_dataset(parsed.dataset)
    rows: list[Row] = []
    if parsed.only in (None, "captioner"):
        rows += captioner_rows(parsed.models / "emoji-captioner", examples)
    if parsed.only in (None, "painter"):
        path = parsed.models / "emoji-painter"
        rows += painter_rows(path, parsed.models, examples, parsed.pictures)
    clip_path = parsed.models / "emoji-clip"
    if parsed.only == "clip" or (parsed.only is None and clip_path.is_dir()):
        rows += clip_rows(clip_path, examples)
    if parsed.only in (None, "writer") and parsed.data is not None:
        rows += writer_rows(parsed.models / "fairytale-gpt", parsed.data)
    print(table(rows))
    if parsed.json is not None:
        parsed.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
