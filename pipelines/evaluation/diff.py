"""Compares the results in two cards of one evaluation, line by line.

Everything that came out is compared: outputs, scores, paired tests, the samples on which models
differ most, the verdict. Times and memory are left out: they are of one run each and never come
twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.evaluation.card import Card
from pipelines.evaluation.scores import METRICS
from pipelines.evaluation.tables import comparison_table, figure
from pipelines.sharing.replay import Line, same_outputs

_DIGITS = (4, 6, 9, 17)
"""Significant digits: the fewest that show a difference; with 17 any two numbers differ."""
_CHANCES = ("bootstrap_p", "randomisation_p", "corrected_p")
_OF_A_TEST = ("metric", "difference", "low", "high", *_CHANCES)
_Part = dict[str, Any]
_InWords = Callable[[_Part, int], str]


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


def _scores(before: _Part, after: _Part) -> list[Line]:
    """Value, interval and warning of each metric, or why there is none; its samples' values."""
    lines = []
    for metric in dict.fromkeys([*before["scores"], *before["unscored"]]):
        was, now = _score(before, metric), _score(after, metric)
        text = f"{before['name']}: {METRICS[metric].label} {_beside(_score_in_words, was, now)}"
        old, new = (model["values"].get(metric, []) for model in (before, after))
        moved = sum(one != other for one, other in zip(old, new, strict=False))
        if moved:
            text += f"; {moved} of {len(old)} samples have another value"
        lines.append(Line(was == now and old == new, text))
    return lines


def _score(model: _Part, metric: str) -> _Part:
    """What a score says, its signature left out: that is a cause."""
    score = model["scores"].get(metric)
    if score is None:
        return {"why_not": model["unscored"].get(metric)}
    return {name: score[name] for name in ("value", "low", "high", "samples", "warning")}


def _score_in_words(score: _Part, digits: int) -> str:
    if "why_not" in score:
        return f"not scored: {score['why_not']}"
    text = f"{_interval(score, 'value', digits)}, n = {score['samples']}"
    return text if score["warning"] is None else f"{text}, not to be compared: {score['warning']}"


def _tests(old: Card, new: Card) -> list[Line]:
    lines = []
    base = old["models"][0]["name"]
    tests = [list(zip(card["comparisons"], comparison_table(card)[1], strict=True))
             for card in (old, new)]  # fmt: skip
    for before, after in zip(*tests, strict=True):
        was, now = _test(*before), _test(*after)
        same = f"{now['verdict']}, as before"
        text = same if was == now else _beside(_test_in_words, was, now)
        about = f"{before[0]['model']} against {base}: {METRICS[was['metric']].label}"
        lines.append(Line(was == now, f"{about} {text}"))
    return lines


def _test(test: _Part, row: list[str]) -> _Part:
    """What a test says. ``row`` is its row of a table, which ends with what is shown."""
    return {name: test.get(name) for name in _OF_A_TEST} | {"verdict": row[-1]}


def _test_in_words(test: _Part, digits: int) -> str:
    if test["difference"] is None:
        return str(test["verdict"])
    chances = ", ".join(figure(test[name], digits) for name in _CHANCES)
    return (
        f"{test['verdict']}: {_interval(test, 'difference', digits)}, p {chances} (bootstrap, "
        "randomisation, Holm)"
    )


def _interval(part: _Part, name: str, digits: int) -> str:
    value, low, high = (figure(part[each], digits) for each in (name, "low", "high"))
    return f"{value} ({low} to {high})"


def _beside(in_words: _InWords, was: _Part, now: _Part) -> str:
    """The new value, and beside it the old one, with as many digits as show the difference."""
    if was == now:
        return f"{in_words(now, _DIGITS[0])}, as before"
    for digits in _DIGITS:
        before, after = in_words(was, digits), in_words(now, digits)
        if before != after:
            break
    return f"{after}; was {before}"


def _differing(old: _Part, new: _Part) -> list[Line]:
    """The samples on which models are farthest apart, in their order, with all that they show."""
    was, now = old["samples"], new["samples"]
    if not was and not now:
        return []
    text = f"samples that differ most, by {new['by']}"
    if old == new:
        return [Line(True, f"{text}: the same {len(now)}, as before")]
    if old["by"] != new["by"]:
        text += f", were by {old['by']}"
    before, after = (
        ", ".join(each["name"] for each in samples) or "none" for samples in (was, now)
    )
    if before != after:
        return [Line(False, f"{text}: {after}; were {before}")]
    other = [one["name"] for one, two in zip(was, now, strict=True) if one != two]
    which = f"; other values or outputs in {', '.join(other)}" if other else ""
    return [Line(False, f"{text}: the same {len(now)}{which}")]


def _verdict(old: Card, new: Card) -> list[Line]:
    """Whether the old card's verdict is what follows from the tests."""
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
