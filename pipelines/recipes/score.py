"""How good the embedded models are, in one table.

    python -m pipelines.recipes.score --data BOOKS

Everything is computed from the saved half-precision files: the captioner and the painter
on the held-out scenes of ``assets/datasets/emoji-scenes``, and so is the CLIP, where it is
there; the writer on the books of ``--data`` that are held out; without ``--data`` the writer
is left out. ``--only`` takes one of them. The painter's pictures are read by the oracle,
which knows no model.
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
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.likelihood import bits_per_byte
from pipelines.metrics.proportion import proportion
from pipelines.metrics.retrieval import median_rank, recall
from pipelines.metrics.score import Score
from pipelines.recipes.captioner.reading import Reader, tells
from pipelines.recipes.captioner.train import captions_of
from pipelines.recipes.clip import model as clip
from pipelines.recipes.clip.data import equal_pairs
from pipelines.recipes.diffusion.checkpoint import PAINTED_AT_ONCE, paint
from pipelines.recipes.emoji_scenes.data import EDGE, Scene, World
from pipelines.recipes.emoji_scenes.dataset import HELD_OUT, Example, read_dataset
from pipelines.recipes.emoji_scenes.oracle import Finding, Oracle
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.extractor import MODELS, as_tensor, checksum, extractor_at_hand
from pipelines.recipes.gpt.baselines import KneserNey, compression, gzip_size, xz_size
from pipelines.recipes.gpt.data import HELD_OUT as HELD_OUT_BOOKS
from pipelines.recipes.gpt.data import passage, read_texts
from pipelines.recipes.gpt.originality import copied_sentences, copied_share, long_sentences
from pipelines.recipes.gpt.train import window_scores

PICTURES = 64
"""How many pictures of each kind the painter is asked for."""
SAMPLES = 20
"""Texts of the writer that are searched for copied sentences."""
ORACLE = "sprites matched"
_SEEN_SEED = 99


@dataclass(frozen=True)
class Row:
    """One line of the table. ``floor`` is the least that is asked for, or the most where
    less is better; None asks nothing."""

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
    """Whether greedy captions tell the scene (emoji, place, colour), and their BLEU."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)
    captions = captions_of(model, tokenizer, as_tensor(e.pixels() for e in examples))
    reader = Reader(everyday())
    told = [
        tells(reader.read(text), example.scene, example.boxes)
        for text, example in zip(captions, examples, strict=True)
    ]
    alone = [len(example.scene.items) == 1 for example in examples]
    singles = [right for right, single in zip(told, alone, strict=True) if single]
    pairs = [right for right, single in zip(told, alone, strict=True) if not single]
    references = [list(example.captions) for example in examples]
    judge = "captions read back"
    return [
        Row("captioner", "scene right, one emoji", proportion(singles, judge), 0.90),
        Row("captioner", "scene right, two emoji", proportion(pairs, judge), 0.75),
        Row("captioner", "BLEU against five wordings", corpus_bleu(captions, references)),
    ]


def painter_rows(
    path: Path, models: Path, examples: Sequence[Example], count: int = PICTURES
) -> list[Row]:
    """What the oracle finds in painted scenes, seen and never seen in training, and FID.

    20 steps of the saved scheduler, guidance 4, picture i from seed i, plain captions.
    """
    extractor = extractor_at_hand(EDGE, models)
    if extractor is None:
        raise SystemExit(f"--models: FID and KID need emoji-captioner in {models}")
    world = World()
    oracle = Oracle(world)
    pipeline = StableDiffusionPipeline.from_pretrained(path, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    scenes = _asked_for(world, examples, count)
    began = time.perf_counter()
    painted = {kind: paint(pipeline, asked) for kind, asked in scenes.items()}
    seconds = (time.perf_counter() - began) / sum(map(len, scenes.values()))
    found = {kind: [oracle.read(p) for p in pictures] for kind, pictures in painted.items()}
    rows = _oracle_rows(scenes, found)
    unseen = [p for (_, seen), pictures in painted.items() if not seen for p in pictures]
    ours, theirs = (extractor.features(p) for p in (unseen, [e.pixels() for e in examples]))
    rows += [
        Row("painter", "FID", frechet_distance(ours, theirs, extractor.name)),
        Row("painter", "KID", kernel_distance(ours, theirs, extractor.name)),
    ]
    print(f"painter: {seconds:.2f} s a picture in batches of {PAINTED_AT_ONCE}", flush=True)
    return rows


def _asked_for(
    world: World, examples: Sequence[Example], count: int
) -> dict[tuple[int, bool], list[Scene]]:
    """Scenes by number of items, and whether training may have shown them."""
    rng = np.random.default_rng(_SEEN_SEED)
    asked: dict[tuple[int, bool], list[Scene]] = {(n, s): [] for n in (1, 2) for s in (True, False)}
    for example in examples:
        asked[len(example.scene.items), False].append(example.scene)
    while min(len(asked[n, True]) for n in (1, 2)) < count:
        scene = world.sample(rng)
        asked[len(scene.items), True].append(scene)
    return {kind: found[:count] for kind, found in asked.items()}


def _oracle_rows(
    scenes: dict[tuple[int, bool], list[Scene]], found: dict[tuple[int, bool], list[Finding]]
) -> list[Row]:
    rows = []
    things = {
        kind: [f.shows_things(s) for f, s in zip(found[kind], scenes[kind], strict=True)]
        for kind in scenes
    }
    for items, what, floor in ((1, "the emoji is there", 0.70), (2, "both emoji are there", 0.35)):
        for seen, which in ((True, "as in training"), (False, "never in training")):
            score = proportion(things[items, seen], ORACLE)
            rows.append(Row("painter", f"{what}, {which}", score, floor))
    every = [(f, s) for kind in scenes for f, s in zip(found[kind], scenes[kind], strict=True)]
    placed = [f.is_placed(s) for f, s in every if len(s.items) == 2 and f.shows_things(s)]
    coloured = [f.colour == s.colour for f, s in every]
    rows.append(Row("painter", "the background's colour", proportion(coloured, ORACLE), 0.98))
    if placed:
        rows.append(Row("painter", "their place, where both are there", proportion(placed, ORACLE)))
    return rows


def clip_rows(path: Path, examples: Sequence[Example]) -> list[Row]:
    """Whether a picture finds its standard caption among all, and a caption its picture."""
    model: Any = AutoModel.from_pretrained(path, dtype=torch.float32)
    tokenizer, processor = (c.from_pretrained(path) for c in (AutoTokenizer, AutoImageProcessor))
    pictures = [Image.fromarray(example.pixels()) for example in examples]
    texts = [example.captions[0] for example in examples]
    shown, told = clip.features_of(model, tokenizer, processor, pictures, texts, prefix="")
    is_right = equal_pairs([example.scene for example in examples]) | equal_pairs(texts)
    name = f"emoji-clip-without-prefix@{checksum(path)}"
    ways = {
        "picture to text": (shown, told, is_right, name),
        "text to picture": (told, shown, is_right.T, name),
    }
    rows = []
    for way, asked in ways.items():
        found = {f"recall@{k}": score for k, score in recall(*asked).items()}
        found["median rank"] = median_rank(*asked)
        rows += [Row("clip", f"{way}, {what}", score) for what, score in found.items()]
    return rows


def writer_rows(path: Path, folder: Path) -> list[Row]:
    """Bits per byte on the held-out books beside what needs no model, and what is copied.

    The floors are those of gzip, xz and a 5-gram model trained on the same books, the best
    of them; and the share of long sentences that the held-out books themselves have in
    common with the training books.
    """
    texts, held_out = read_texts(folder, HELD_OUT_BOOKS)
    seen, unseen = "\n\n".join(texts), "\n\n".join(held_out)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model: Any = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)
    windows = [w for text in held_out for w in window_scores(model, passage(tokenizer, text))]
    books = f"held-out-books@{hashlib.sha256(unseen.encode()).hexdigest()[:16]}"
    score = bits_per_byte([w[0] for w in windows], [w[2] for w in windows], books)
    known = seen.encode(), unseen.encode()
    bests = [compression(size, *known).best for size in (gzip_size, xz_size)]
    floor = min(*bests, KneserNey(known[0], 5).bits_per_byte(known[1]))
    samples = write(model, tokenizer)
    written = [sentence for sample in samples for sentence in long_sentences(sample)]
    copied = set(copied_sentences("\n\n".join(samples), seen))
    faults = proportion([s in copied for s in written], "training books", higher_is_better=False)
    return [
        Row("writer", "bits per byte, windows of 512 tokens", score, floor),
        Row("writer", "long sentences copied", faults, copied_share(unseen, seen)),
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
    """The rows as Markdown, with the floors and whether they are reached."""
    lines = [
        "| model | what | value | 95% interval | samples | floor |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        floor = ""
        if row.floor is not None:
            floor = f"{row.floor:.4g}{'' if row.is_reached else ' (not reached)'}"
        score = row.score
        lines.append(
            f"| {row.model} | {row.what} | {score.value:.4g} | "
            f"{score.low:.4g} to {score.high:.4g} | {score.samples} | {floor} |"
        )
    warnings = [f"- {row.what}: {row.score.warning}" for row in rows if row.score.warning]
    signatures = dict.fromkeys(row.score.signature for row in rows)
    return "\n".join([*lines, "", *warnings, *(f"- `{signature}`" for signature in signatures)])


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
