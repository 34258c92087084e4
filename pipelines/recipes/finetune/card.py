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


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the fine-tune, on the same held-out samples."""

    metric: str
    base: Score
    tuned: Score


@dataclass(frozen=True)
class Facts:
    """What the card tells beside the plan."""

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
    tuned, base = facts.tuned, plan.base
    what = "Every weight was trained" if plan.rank is None else f"A LoRA of rank {plan.rank}"
    opening = f"{what}: `{base.reference}` (commit `{base.commit}`) after `{plan.data.name}`."
    early = ", stopped early" if tuned.stopped_early else ""
    rows = [
        ("base", f"`{base.reference}`"),
        ("data", f"`{plan.data.name}`, {facts.data_size}, SHA-256 `{facts.data_sha256}`"),
        ("trained", f"{tuned.trained_parameters:,} parameters"),
        ("recipe", "`pipelines/recipes/finetune`"),
        ("command", f"`{plan.command()}`"),
        ("steps", f"{tuned.steps:,} of {plan.options.batch_size}{early}"),
        ("time", f"{tuned.seconds / 60:.1f} minutes"),
        ("hardware", hardware()),
        ("date", datetime.now(UTC).date().isoformat()),
    ]
    table = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n\n".join([opening, "\n".join(table), _scores(plan, facts), _shown(facts.samples)])


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


def _shown(samples: str) -> str:
    if samples.endswith(".png"):
        return f"## Samples\n\nThe base above, the fine-tune below.\n\n![samples]({samples})"
    return f"## Samples\n\nThe same prompts before and after are in [{samples}]({samples})."
