"""The model card of a fine-tune: its base, its data, its command and its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from pipelines.device import hardware
from pipelines.hub.sources import Folder, card_entry
from pipelines.metrics.interval import FEWEST, in_words
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.finetune.lesson import Lesson
from pipelines.recipes.finetune.plan import MODES, Plan
from pipelines.recipes.finetune.tuning import Tuned

METRICS = {
    "bits_per_byte": "bits per byte",
    "denoising_loss": "denoising loss, fixed noise",
    "fid": "FID",
    "kid": "KID",
    "bleu": "BLEU against the captions",
    "caption_loss": "caption loss, nats a token",
}

SIZES = ((0.01, "negligible"), (0.05, "small"), (0.2, "medium"), (float("inf"), "large"))
"""Words for a change relative to the base, each up to its bound."""


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the fine-tune, on the same held-out samples."""

    metric: str
    base: Score
    tuned: Score


def write_card(
    plan: Plan, lesson: Lesson, tuned: Tuned, comparisons: Sequence[Comparison], samples: str
) -> None:
    """``README.md`` of the output folder, with the scores as a ``model-index``.

    Args:
        samples: of base and fine-tune, in Markdown.
    """
    base, folder, is_adapter = plan.base, plan.options.output, plan.rank is not None
    library = "diffusers" if plan.mode == "painter" else "peft" if is_adapter else "transformers"
    metadata = ModelCardData(
        license=licence_of(base.path),
        library_name=library,
        pipeline_tag=MODES[plan.mode].hub_tags[0],
        base_model=base.reference,
        base_model_relation="adapter" if is_adapter else "finetune",
        tags=[*(["lora"] if is_adapter else []), "fine-tune"],
        model_name=folder.name,
        eval_results=[_result(plan, lesson.data_sha256, each) for each in comparisons],
    )
    what = f"A LoRA of rank {plan.rank}" if is_adapter else "Every weight was trained"
    results.write_card(
        folder,
        metadata,
        f"{what}: `{base.reference}` (commit `{base.commit}`) after `{plan.data.name}`.",
        "\n".join(f"- {effect(each)}" for each in comparisons),
        f"## Samples\n\n{samples}",
        _scores(plan, comparisons),
        _how_it_was_made(plan, lesson, tuned),
    )


def _result(plan: Plan, data_sha256: str, comparison: Comparison) -> EvalResult:
    score = comparison.tuned
    return EvalResult(
        task_type=MODES[plan.mode].hub_tags[0],
        dataset_type="text" if plan.mode == "writer" else "imagefolder",
        dataset_name=f"{plan.data.name}, held-out share of {plan.validation:g}",
        dataset_revision=data_sha256,
        dataset_split="held out",
        metric_type=comparison.metric,
        metric_name=METRICS[comparison.metric],
        metric_value=_rounded(score.value),
        metric_args={
            "samples": score.samples,
            "interval_95": [_rounded(score.low), _rounded(score.high)],
            "base_value": _rounded(comparison.base.value),
            "signature": score.signature,
            **({"warning": score.warning} if score.warning else {}),
        },
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.5g}")


def licence_of(base: Path) -> str:
    """The licence in the base's card, or ``unknown``."""
    return card_entry(Folder(base.name, base), "license") or "unknown"


def effect(comparison: Comparison) -> str:
    """How large the effect of the fine-tune is by one metric, in a sentence."""
    base, tuned = comparison.base, comparison.tuned
    name = METRICS[comparison.metric]
    if tuned.samples < FEWEST:
        return (
            f"{name}: {base.value:.4g} before, {tuned.value:.4g} after. {tuned.samples} held-out "
            "samples are too few to say whether that is chance; hold out more, or give more data."
        )
    if tuned.value == base.value or base.value <= 0:
        return f"{name}: {base.value:.4g} before, {tuned.value:.4g} after."
    change = tuned.value / base.value - 1
    size = next(word for most, word in SIZES if abs(change) < most)
    way = "improvement" if (change > 0) == tuned.higher_is_better else "worsening"
    apart = tuned.low > base.high or tuned.high < base.low
    certainty = (
        "The 95% intervals do not overlap."
        if apart
        else "The 95% intervals overlap, so it may be chance."
    )
    return (
        f"{name}: {abs(change):.1%} {'higher' if change > 0 else 'lower'} than the base's, a "
        f"{size} {way} ({base.value:.4g} before, {tuned.value:.4g} after). {certainty}"
    )


def _scores(plan: Plan, comparisons: Sequence[Comparison]) -> str:
    rows, notes = [], []
    for each in comparisons:
        score = each.tuned
        values = f"{each.base.value:.4g}", f"{score.value:.4g}"
        interval = in_words(score.low, score.high)
        rows.append((METRICS[each.metric], *values, interval, score.samples))
        notes += [f"- {score.warning}"] if score.warning else []
    notes += [f"- `{each.tuned.signature}`" for each in comparisons]
    table = results.table(("what", "base", "fine-tune", "95% interval", "samples"), rows)
    conditions = (
        f"On the {plan.validation:.0%} of the data that were held out (seed {plan.options.seed}), "
        "from the saved half-precision files, base and fine-tune alike."
    )
    return "\n\n".join(["## Scores", conditions, table, "\n".join(notes)])


def _how_it_was_made(plan: Plan, lesson: Lesson, tuned: Tuned) -> str:
    early = ", stopped early" if tuned.stopped_early else ""
    rows = [
        ("base", f"`{plan.base.reference}`"),
        ("data", f"`{plan.data.name}`, {lesson.data_size}, SHA-256 `{lesson.data_sha256}`"),
        ("trained", f"{tuned.trained_parameters:,} parameters"),
        ("steps", f"{tuned.steps:,}{early}"),
        ("batch size", plan.options.batch_size),
        *([] if lesson.window is None else [("window", f"{lesson.window:,} tokens")]),
        ("time", f"{tuned.seconds / 60:.1f} minutes of training"),
        ("hardware", hardware()),
        ("date", datetime.now(UTC).date().isoformat()),
        ("recipe", "`pipelines/recipes/finetune`"),
        ("command", f"`{plan.command()}`"),
    ]
    return f"## How it was made\n\n{results.table(('what', 'value'), rows)}"
