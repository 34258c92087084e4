"""The model card of a fine-tune: what it was made from, how, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from pipelines.device import hardware
from pipelines.hub.sources import Folder, card_entry
from pipelines.metrics.score import Score
from pipelines.recipes.finetune.plan import MODES, Plan
from pipelines.recipes.finetune.tuning import Tuned

METRICS = {
    "bits_per_byte": "bits per byte",
    "denoising_loss": "denoising loss, fixed noise",
    "fid": "FID",
    "kid": "KID",
    "bleu": "BLEU against one caption",
    "caption_loss": "caption loss, nats a token",
}

FEW = 8
"""Held-out samples, below which an interval says nothing."""

SIZES = ((0.01, "negligible"), (0.05, "small"), (0.2, "medium"), (float("inf"), "large"))
"""Words for a change relative to the base, each up to its bound."""


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the fine-tune, on the same held-out samples."""

    metric: str
    base: Score
    tuned: Score


@dataclass(frozen=True)
class Facts:
    """What the card tells beside the plan. ``samples`` is Markdown."""

    tuned: Tuned
    comparisons: Sequence[Comparison]
    data_sha256: str
    data_size: str
    samples: str


def write_card(plan: Plan, facts: Facts, folder: Path) -> None:
    """``README.md`` with front matter as the Hub reads it."""
    metadata = front_matter(plan, facts, folder.name).to_yaml()
    text = f"---\n{metadata}\n---\n\n# {folder.name}\n\n{_body(plan, facts)}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def front_matter(plan: Plan, facts: Facts, name: str) -> ModelCardData:
    """Licence, base, tags and the held-out scores as a ``model-index``."""
    is_adapter = plan.rank is not None
    library = "diffusers" if plan.mode == "painter" else "peft" if is_adapter else "transformers"
    tags = [*(["lora"] if is_adapter else []), "fine-tune"]
    return ModelCardData(
        license=licence_of(plan.base.path),
        library_name=library,
        pipeline_tag=MODES[plan.mode].hub_tags[0],
        base_model=plan.base.reference,
        base_model_relation="adapter" if is_adapter else "finetune",
        tags=tags,
        model_name=name,
        eval_results=[_result(plan, facts, comparison) for comparison in facts.comparisons],
    )


def _result(plan: Plan, facts: Facts, comparison: Comparison) -> EvalResult:
    score = comparison.tuned
    return EvalResult(
        task_type=MODES[plan.mode].hub_tags[0],
        dataset_type="text" if plan.mode == "writer" else "imagefolder",
        dataset_name=f"{plan.data.name}, held-out share of {plan.validation:g}",
        dataset_revision=facts.data_sha256,
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


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def licence_of(base: Path) -> str:
    """The base's licence, as its card says; ``unknown`` where it does not."""
    return card_entry(Folder(base.name, base), "license") or "unknown"


def _body(plan: Plan, facts: Facts) -> str:
    base = plan.base
    what = "Every weight was trained" if plan.rank is None else f"A LoRA of rank {plan.rank}"
    opening = f"{what}: `{base.reference}` (commit `{base.commit}`) after `{plan.data.name}`."
    effects = "\n".join(f"- {effect(comparison)}" for comparison in facts.comparisons)
    samples = f"## Samples\n\n{facts.samples}"
    return "\n\n".join([opening, effects, samples, _scores(plan, facts), _made(plan, facts)])


def effect(comparison: Comparison) -> str:
    """How far the fine-tune is from its base by one metric, in words."""
    base, tuned = comparison.base, comparison.tuned
    name = METRICS[comparison.metric]
    if tuned.samples < FEW:
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


def _scores(plan: Plan, facts: Facts) -> str:
    lines = [
        "## Scores",
        "",
        f"On the {plan.validation:.0%} of the data that were held out (seed {plan.options.seed}), "
        "from the saved half-precision files, base and fine-tune alike.",
        "",
        "| what | base | fine-tune | 95% interval | samples |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in facts.comparisons:
        score = each.tuned
        lines.append(
            f"| {METRICS[each.metric]} | {each.base.value:.4g} | {score.value:.4g} | "
            f"{score.low:.4g} to {score.high:.4g} | {score.samples} |"
        )
    lines += ["", *(f"- {c.tuned.warning}" for c in facts.comparisons if c.tuned.warning)]
    return "\n".join([*lines, *(f"- `{c.tuned.signature}`" for c in facts.comparisons)])


def _made(plan: Plan, facts: Facts) -> str:
    tuned = facts.tuned
    early = ", stopped early" if tuned.stopped_early else ""
    rows = [
        ("base", f"`{plan.base.reference}`"),
        ("data", f"`{plan.data.name}`, {facts.data_size}, SHA-256 `{facts.data_sha256}`"),
        ("trained", f"{tuned.trained_parameters:,} parameters"),
        ("steps", f"{tuned.steps:,}, each of {plan.options.batch_size} samples{early}"),
        ("time", f"{tuned.seconds / 60:.1f} minutes of training"),
        ("hardware", hardware()),
        ("date", datetime.now(UTC).date().isoformat()),
        ("recipe", "`pipelines/recipes/finetune`"),
        ("command", f"`{plan.command()}`"),
    ]
    table = [
        "| what | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    return "\n".join(["## How it was made", "", *table])
