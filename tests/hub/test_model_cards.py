"""What a card says of its model is read from its model-index; a broken card says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCardData

from pipelines.hub import model_cards
from pipelines.hub.model_cards import Claim, claims

HUGE = "0x" + "f" * 300
INDEX = "[{results: [{metrics: [{name: loss, value: 1}]}]}]"


def write_card(
    folder: Path, base: float | None, metrics: int = 1, warning: str | None = None
) -> None:
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="text",
            dataset_name=f"plays {index}",  # of one data set only the last value would be kept
            metric_type="bits_per_byte",
            metric_name="bits per byte",
            metric_value=2.0625 + index,
            metric_args={"base_value": base, "warning": warning},
        )
        for index in range(metrics)
    ]
    front = ModelCardData(model_name="plays", eval_results=results).to_yaml()
    (folder / "README.md").write_text(f"---\n{front}\n---\n\n# plays\n")


def test_a_score_is_told_beside_its_bases(tmp_path: Path) -> None:
    write_card(tmp_path, base=2.5)
    assert claims(tmp_path) == [Claim("bits per byte", 2.0625, 2.5)]
    assert str(claims(tmp_path)[0]) == "bits per byte 2.062 (its base 2.5)"


def test_a_card_without_the_bases_score_is_told_alone(tmp_path: Path) -> None:
    write_card(tmp_path, base=None)
    assert str(claims(tmp_path)[0]) == "bits per byte 2.062"


def test_a_score_that_must_not_be_ranked_is_no_claim(tmp_path: Path) -> None:
    """An FID of 59 samples in 256 dimensions stood beside its base's."""
    write_card(tmp_path, base=2.5, warning="too few samples")
    assert claims(tmp_path) == []


def test_of_many_scores_the_first_are_told(tmp_path: Path) -> None:
    write_card(tmp_path, base=None, metrics=5)
    assert [claim.value for claim in claims(tmp_path)] == [2.0625, 3.0625, 4.0625]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no front matter",
        "---\nmodel-index: {a: [\n---\n",
        "---\nmodel-index: none\n---\n",
        "---\nmodel-index: [{results: [{metrics: [{name: 3, value: 1}]}]}]\n---\n",
        "---\nmodel-index: [{results: [{metrics: [{name: loss, value: low}]}]}]\n---\n",
        "---\nmodel-index: [{results: [{metrics: [{name: loss, value: .nan}]}]}]\n---\n",
        f"---\nmodel-index: [{{results: [{{metrics: [{{name: x, value: {HUGE}}}]}}]}}]\n---\n",
        f"---\nmodel-index: [{{results: [{{metrics: [{{name: {'x' * 101}, value: 1}}]}}]}}]\n---\n",
        f"---\nother: {'x' * 70_000}\nmodel-index: {INDEX}\n---\n",
        "---\nx: &x {name: loss, value: 1}\n"
        "model-index: [{results: [{metrics: [{<<: *x}]}]}]\n---\n",
        f"---\nmodel-index: {'[' * 20_000}\n---\n",
        f"---\nnot: [*none]\nmodel-index: {INDEX}\n---\n",
        f"- a list\n- model-index: {INDEX}\n",
        f"---\n- a list\n- model-index: {INDEX}\n---\n",
        "---\nmodel-index: [7, {results: {}}, {results: [{metrics: 5}]}]\n---\n",
    ],
)
def test_a_broken_card_claims_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert claims(tmp_path) == []


def test_a_card_of_aliases_is_read_in_no_time(tmp_path: Path) -> None:
    lists = [
        f"a: &a {{metrics: [{', '.join(['7'] * 5000)}, {{name: late, value: 1}}]}}",
        f"b: &b {{results: [{', '.join(['*a'] * 5000)}]}}",
        f"model-index: [{', '.join(['*b'] * 5000)}]",
    ]
    (tmp_path / "README.md").write_text("\n".join(["---", *lists, "---", ""]))
    assert claims(tmp_path) == []


def test_a_claim_is_read_from_a_plain_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(f"---\r\nmodel-index: {INDEX}\r\n---\r\n".encode())
    assert claims(tmp_path) == [Claim("loss", 1, None)]


def test_a_folder_without_a_card_claims_nothing(tmp_path: Path) -> None:
    assert claims(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "front", "body"),
    [
        ("---\na: b\n---\n\n# T\n\n---\nrule\n", "a: b", "\n# T\n\n---\nrule\n"),
        ("---\r\na: b ---\r\n---\r\n# T\r\n", "a: b ---", "# T\n"),
        ("---\na: b\n", "", "---\na: b\n"),
        ("# T\n---\na: b\n---\n", "", "# T\n---\na: b\n---\n"),
    ],
    ids=["a rule in the text", "Windows", "no end", "not at the top"],
)
def test_front_matter_and_text_are_split_at_whole_lines_of_dashes(
    text: str, front: str, body: str
) -> None:
    assert model_cards.split(text) == (front, body)
