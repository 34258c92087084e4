"""Holds what one card of an evaluation found against what another found, line by line.

Of everything that came out: outputs, scores, paired tests, the samples on which models differ
most, the verdict. Times and memory are left out: they are of one run each and never come twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.evaluation.card import Card
from pipelines.evaluation.scores import METRICS
from pipelines.evaluation.tables import comparison_table, figure
from pipelines.sharing.replay import Line, same_outputs

_DIGITS = (4, 6, 9, 17)
"""So many are shown until two numbers read differently; 17 tell any two apart."""
_CHANCES = ("bootstrap_p", "randomisation_p", "corrected_p")
_OF_A_TEST = ("metric", "difference", "low", "high", *_CHANCES)
_Found = dict[str, Any]
_InWords = Callable[[_Found, int], str]


def results(old: Card, new: Card) -> list[Line]:
    """A line for each model's outputs, for each score and each test, and for what they show.

    Raises what a damaged card leads to.
    """
    lines = []
    for before, after in zip(old["models"], new["models"], strict=True):
        outputs = same_outputs(before["name"], before["outputs"], after["outputs"])
        lines += [outputs, *_scores(before, after)]
    return [*lines, *_tests(old, new), *_differing(old["differing"], new["differing"]),
            *_verdict(old, new)]  # fmt: skip


def _scores(before: _Found, after: _Found) -> list[Line]:
    """Value, interval and warning of each metric, or why there is none; its samples' values."""
    lines = []
    for metric in dict.fromkeys([*before["scores"], *before["unscored"]]):
        was, now = _score(before, metric), _score(after, metric)
        text = f"{before['name']}: {METRICS[metric].label} {_told(_score_in_words, was, now)}"
        old, new = (model["values"].get(metric, []) for model in (before, after))
        moved = sum(one != other for one, other in zip(old, new, strict=False))
        if moved:
            text += f"; {moved} of {len(old)} samples have another value"
        lines.append(Line(was == now and old == new, text))
    return lines


def _score(model: _Found, metric: str) -> _Found:
    """What a score says, its signature left out: that is a cause."""
    found = model["scores"].get(metric)
    if found is None:
        return {"why_not": model["unscored"].get(metric)}
    return {name: found[name] for name in ("value", "low", "high", "samples", "warning")}


def _score_in_words(score: _Found, digits: int) -> str:
    if "why_not" in score:
        return f"not scored: {score['why_not']}"
    told = f"{_interval(score, 'value', digits)}, n = {score['samples']}"
    return told if score["warning"] is None else f"{told}, not to be compared: {score['warning']}"


def _tests(old: Card, new: Card) -> list[Line]:
    lines = []
    base = old["models"][0]["name"]
    tests = [list(zip(card["comparisons"], comparison_table(card)[1], strict=True))
             for card in (old, new)]  # fmt: skip
    for before, after in zip(*tests, strict=True):
        was, now = _test(*before), _test(*after)
        told = _told(_test_in_words, was, now) if was != now else f"{now['verdict']}, as before"
        about = f"{before[0]['model']} against {base}: {METRICS[was['metric']].label}"
        lines.append(Line(was == now, f"{about} {told}"))
    return lines


def _test(found: _Found, row: list[str]) -> _Found:
    """What a test says. ``row`` is its row of a table, which ends with what is shown."""
    return {name: found.get(name) for name in _OF_A_TEST} | {"verdict": row[-1]}


def _test_in_words(test: _Found, digits: int) -> str:
    if test["difference"] is None:
        return str(test["verdict"])
    chances = ", ".join(figure(test[name], digits) for name in _CHANCES)
    return (
        f"{test['verdict']}: {_interval(test, 'difference', digits)}, p {chances} (bootstrap, "
        "randomisation, Holm)"
    )


def _interval(found: _Found, name: str, digits: int) -> str:
    value, low, high = (figure(found[each], digits) for each in (name, "low", "high"))
    return f"{value} ({low} to {high})"


def _told(in_words: _InWords, was: _Found, now: _Found) -> str:
    """What is found now; beside it what it was, with as many digits as it takes to see it."""
    if was == now:
        return f"{in_words(now, _DIGITS[0])}, as before"
    for digits in _DIGITS:
        before, after = in_words(was, digits), in_words(now, digits)
        if before != after:
            break
    return f"{after}; was {before}"


def _differing(old: _Found, new: _Found) -> list[Line]:
    """The samples on which models are farthest apart, in their order, with all that they show."""
    was, now = old["samples"], new["samples"]
    if not was and not now:
        return []
    text = f"samples that differ most, by {new['by']}"
    if old == new:
        return [Line(True, f"{text}: the same {len(now)}, as before")]
    if old["by"] != new["by"]:
        text += f", were by {old['by']}"
    before, after = ([each["name"] for each in samples] for samples in (was, now))
    if before != after:
        return [Line(False, f"{text}: {_listed(after)}; were {_listed(before)}")]
    other = [one["name"] for one, two in zip(was, now, strict=True) if one != two]
    told = f"; other values or outputs in {_listed(other)}" if other else ""
    return [Line(False, f"{text}: the same {len(now)}{told}")]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _verdict(old: Card, new: Card) -> list[Line]:
    """What is read first has to follow from the tests, in the old card too."""
    names = {after["name"]: before["name"]
             for before, after in zip(old["models"], new["models"], strict=True)}  # fmt: skip
    was, now = old["verdict"], new["verdict"]
    for name in sorted(names, key=len, reverse=True):  # one may begin with another
        now = now.replace(name, names[name])  # models run again are named with their commits
    if was == now:
        return [Line(True, "verdict: as before")] if was else []
    return [Line(False, f"verdict: {_in_a_line(now)} Was: {_in_a_line(was)}")]


def _in_a_line(text: str) -> str:
    return " ".join(text.split())
