"""The model card of a fine-tune: read by people first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.metrics.score import Score
from pipelines.recipes.finetune.card import Comparison, effect
from pipelines.recipes.finetune.train import finetune
from pipelines.recipes.finetune.writer import Writer
from tests.recipes.finetune.conftest import PlanFor

BASE = Score(2.0, 1.9, 2.1, 20, "bits_per_byte|text", higher_is_better=False)


@pytest.mark.parametrize(
    ("tuned", "words"),
    [
        (replace(BASE, value=1.4, low=1.3, high=1.5),
         "bits per byte: 30.0% lower than the base's, a large improvement (2 before, 1.4 after). "
         "The 95% intervals do not overlap."),
        (replace(BASE, value=2.06, low=1.95, high=2.2),
         "bits per byte: 3.0% higher than the base's, a small worsening (2 before, 2.06 after). "
         "The 95% intervals overlap, so it may be chance."),
        (replace(BASE, value=1.99), "0.5% lower than the base's, a negligible improvement"),
        (replace(BASE, value=2.0), "bits per byte: 2 before, 2 after."),
        (replace(BASE, value=1.4, samples=2),
         "2 held-out samples are too few to say whether that is chance"),
    ],
)  # fmt: skip
def test_an_effect_is_told_in_words_with_its_size_and_certainty(tuned: Score, words: str) -> None:
    assert words in effect(Comparison("bits_per_byte", BASE, tuned))


def test_where_more_is_better_a_rise_is_good() -> None:
    base = replace(BASE, higher_is_better=True)
    tuned = replace(base, value=2.2, low=2.15, high=2.3)
    assert "10.0% higher than the base's, a medium improvement" in effect(
        Comparison("bleu", base, tuned)
    )
    nothing = effect(Comparison("bleu", replace(base, value=0.0), tuned))
    assert nothing == "BLEU against the captions: 0 before, 2.2 after."


def test_the_card_has_names_effect_and_samples(tale: Path, plan_for: PlanFor) -> None:
    data = tale.rename(tale.with_name("ship log.txt"))
    plan = plan_for("writer", data, "ship-log", steps=2)
    finetune(plan)
    card = (plan.options.output / "README.md").read_text(encoding="utf-8")
    assert "\n# ship-log-out\n" in card
    assert "`ship log.txt`" in card
    assert "--data 'ship log.txt'" in card
    effects, samples = card.index("bits per byte: "), card.index("| base | fine-tune |")
    assert effects < samples < card.index("## How it was made")
    assert card.count("Once upon a time") == 2, "by the base and by the fine-tune"
    assert "samples.txt" not in card


def test_no_character_of_a_sample_is_markup(tale: Path, plan_for: PlanFor, tmp_path: Path) -> None:
    writer = Writer(plan_for("writer", tale))
    text = "A | B\n**bold** <script> [link](http://a.b) `code`\n"
    table = writer.write_samples([text], [text], tmp_path)
    cell = r"A \| B<br>\*\*bold\*\* &lt;script&gt; \[link\]\(http\://a\.b\) \`code\`"
    assert table.splitlines()[2] == f"| {cell} | {cell} |"
