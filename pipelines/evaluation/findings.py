"""What comparisons found, in words: how large a difference is, or how large one had to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.errors import listed
from pipelines.evaluation.scores import METRICS
from pipelines.metrics.paired import LEVEL, MOST_NEEDED, POWER, Difference

if TYPE_CHECKING:
    from pipelines.evaluation.result import Comparison

RULE = (
    "An effect is the difference over the standard deviation of the samples' differences: small "
    "from 0.2, medium from 0.5, large from 0.8 (Cohen, 1988). Numbers of samples are for a chance "
    f"of {POWER:.0%} to show a difference at {LEVEL:.0%}, after correction."
)
_EFFECTS = ((0.8, "a large effect"), (0.5, "a medium effect"), (0.2, "a small effect"))


def verdict(found: Sequence[Comparison]) -> str:
    """What all metrics found of one model against the first."""
    tested = [each for each in found if each.difference is not None]
    shown = [each for each in tested if each.difference and each.difference.is_shown]
    parts = [_shown(each) for each in shown]
    quiet = [f"{METRICS[each.metric].label} ({size(each)})" for each in tested if each not in shown]
    if quiet:
        parts.append(f"no difference shown in {listed(quiet)}")
    same = [each for each in found if each.is_identical]
    if same:
        labels = [METRICS[each.metric].label for each in same]
        where = "" if len(same) == len(found) else f", and so the same {listed(labels)}"
        parts.append(f"{same[0].why_not}{where}")
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.difference is None and not each.is_identical:
            reasons.setdefault(each.why_not, []).append(METRICS[each.metric].label)
    for why_not, labels in reasons.items():
        where = "" if len(labels) == len(found) else f" in {listed(labels)}"
        start = "no difference was tested" if why_not == next(iter(reasons)) else "nor"
        parts.append(f"{start}{where}: {why_not}")
    return "; ".join(part.removesuffix(".") for part in parts)


def size(comparison: Comparison) -> str:
    """How large a difference that was shown is, and otherwise which could have been."""
    difference = comparison.difference
    if difference is None:
        return ""
    if not difference.is_shown:
        return _could_be_shown(comparison, difference)
    parts = [_relative(difference)]
    if comparison.better_in is not None and comparison.worse_in is not None:
        is_better = comparison.better_in >= comparison.worse_in
        count = comparison.better_in if is_better else comparison.worse_in
        word = "better" if is_better else "worse"
        parts.append(f"{word} in {count} of {difference.samples} samples")
    if difference.effect is not None:
        name = next((word for least, word in _EFFECTS if abs(difference.effect) >= least), None)
        parts.append("a very small effect" if name is None else name)
    return ", ".join(part for part in parts if part)


def _shown(comparison: Comparison) -> str:
    difference, metric = comparison.difference, METRICS[comparison.metric]
    assert difference is not None
    is_better = (difference.difference > 0) == metric.higher_is_better
    details = [size(comparison), _p(difference.corrected_p)]
    return (
        f"{'better' if is_better else 'worse'} in {metric.label} by "
        f"{abs(difference.difference):.3g} ({', '.join(each for each in details if each)})"
    )


def _could_be_shown(comparison: Comparison, difference: Difference) -> str:
    if difference.detectable is None:
        return _alike(comparison, difference)
    needed = difference.needed
    wanted = f"more than {MOST_NEEDED:,}" if needed is None else f"about {needed:,}"
    if abs(difference.difference) >= difference.detectable:
        return f"{wanted} samples mostly show one as large as this, but these vary too unevenly"
    return (
        f"{difference.samples} samples show {difference.detectable:.2g} or more, "
        f"{wanted} one as large as this"
    )


def _alike(comparison: Comparison, difference: Difference) -> str:
    """Of samples that do not vary: nothing tells their spread, but so large a part of all samples
    may differ and not be among them with a chance of ``LEVEL``."""
    if difference.difference != 0:
        return ""
    if comparison.better_in is None:
        return "the same score"
    missed = 1 - LEVEL ** (1 / difference.samples)
    return f"the same on all {difference.samples} samples; up to {missed:.0%} of others may differ"


def _relative(difference: Difference) -> str:
    """Of the first model's score; nothing where that is not above 0."""
    if difference.second <= 0:
        return ""
    change = difference.difference / difference.second
    word = "more" if change > 0 else "less"
    return f"{abs(change):.1%} {word}" if abs(change) < 10 else f"{1 + change:.0f} times as much"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
