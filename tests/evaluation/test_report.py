"""Cards and reports: whole, escaped, and the same wherever they are shown."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.datasets.samples import DataSet, embedded, from_texts, read_folder
from pipelines.device import hardware
from pipelines.errors import InvalidValue
from pipelines.evaluation import plots, report
from pipelines.evaluation.card import card, request_of
from pipelines.evaluation.link import decode
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.report import (
    html_report,
    markdown,
    model_index,
    pasted,
)
from pipelines.evaluation.request import Describing, EvaluationRequest, Painting
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.scores import METRICS
from pipelines.evaluation.tables import (
    comparison_table,
    cost_table,
    differing_table,
    score_table,
)
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.sharing import documents, figures
from pipelines.sharing.documents import as_json
from pipelines.sharing.reading import read_object
from tests.running import finished

EVIL = '<img src=x onerror="alert(1)">|`*[a](b)`</title><script>'


@pytest.fixture(scope="module")
def described(
    tmp_path_factory: pytest.TempPathFactory, pairs_dir: Path, scenes_dir: Path
) -> EvaluationResult:
    data_dir = tmp_path_factory.mktemp("data")
    studio = Studio(Settings(models_dir=pairs_dir, data_dir=data_dir, hub_enabled=False))
    models = ("emoji-captioner", "other-captioner")
    request = EvaluationRequest(
        "describe", read_folder(scenes_dir), models, sample_size=9,
        settings=Describing(max_new_tokens=6),
    )  # fmt: skip
    result: EvaluationResult = finished(generate, studio, request)
    return result


def with_evil_text(result: EvaluationResult) -> EvaluationResult:
    """The same findings of a data set and a model whose words are an attack."""
    sample = replace(result.differing[0].sample, text=EVIL, name=EVIL)
    outputs = {
        "caption": [replace(o, text=EVIL) for o in result.models[0].outputs.by_generator["caption"]]
    }
    changed = replace(result.models[0].outputs, by_generator=outputs)
    first = replace(result.models[0], outputs=changed)
    differing = (replace(result.differing[0], sample=sample),)
    return replace(result, models=(first, *result.models[1:]), differing=differing, notes=(EVIL,))


def test_a_card_is_json_and_makes_its_request_again(described: EvaluationResult) -> None:
    found = read_object(as_json(card(described)))

    assert found == card(described)
    assert request_of(found, described.request.data) == described.request
    assert found["verdict"] == described.verdict
    assert found["data"]["sha256"] == described.request.data.sha256
    first = found["models"][0]
    assert first["commit"] == described.models[0].snapshot.commit
    assert first["scores"]["bleu"]["signature"].startswith("BLEU|")
    assert len(first["outputs"]) == len(first["values"]["cider"]) == len(found["samples"]) == 9
    assert found["versions"]["sacrebleu"]


def test_numbers_that_json_has_not_become_nothing(described: EvaluationResult) -> None:
    score = replace(described.models[0].scores["cider"], value=math.inf, high=math.nan)
    scores = {**described.models[0].scores, "cider": score}
    first = replace(described.models[0], scores=scores)
    found = card(replace(described, models=(first, *described.models[1:])))

    assert found["models"][0]["scores"]["cider"]["value"] is None
    assert "–" in score_table(found)[1][0][1]
    assert json.loads(as_json(found)) == found
    assert figures.as_png(plots.quality_against_cost(found)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changed",
    [
        {"request": None},
        {"request": {}},
        {"task": "sing"},
        {"task": None},
        {"data": []},
        {"data": {"sha256": "0" * 64}},
    ],
    ids=str,
)
def test_a_damaged_card_makes_no_request(described: EvaluationResult, changed: Any) -> None:
    with pytest.raises(InvalidValue):
        request_of({**card(described), **changed}, described.request.data)


def test_another_data_set_is_not_the_card_s(described: EvaluationResult) -> None:
    other = from_texts("other", b"a\nb", Settings().limits)
    with pytest.raises(InvalidValue, match=other.sha256[:16]):
        request_of(card(described), other)


def test_tables_have_a_cell_for_everything(described: EvaluationResult) -> None:
    found = card(described)
    for headers, rows in (
        score_table(found), comparison_table(found), cost_table(found), differing_table(found)
    ):  # fmt: skip
        assert rows
        assert all(len(row) == len(headers) for row in rows)
    assert score_table(found)[0] == ["model", "CIDEr ↑", "BLEU ↑", "ROUGE-L ↑", "Exact match ↑"]
    shown = {row[-1] for row in comparison_table(found)[1]}
    assert shown <= {"better", "worse", "no difference shown"}


def test_directions_are_those_of_the_scores(described: EvaluationResult) -> None:
    for name, score in described.models[0].scores.items():
        assert METRICS[name].higher_is_better == score.higher_is_better
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"kid", "fid", "bits_per_byte", "perplexity", "self_bleu"}


def test_the_report_is_one_file_without_scripts_or_links(described: EvaluationResult) -> None:
    page = html_report(described)

    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "default-src 'none'" in page
    assert page.count("data:image/png;base64,") == 2 + len(described.differing)
    assert all(model.name in page for model in described.models)
    assert described.models[0].scores["cider"].signature in page
    assert described.differing[0].sample.text in page
    assert "in brackets" not in page, "values stand under the outputs here"
    assert f"By {described.differing_by}." in page


def test_words_of_models_and_data_are_escaped(described: EvaluationResult) -> None:
    evil = with_evil_text(described)
    page, text = html_report(evil), markdown(card(evil))

    assert "<img src=x" not in page
    assert "<script" not in page
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in page
    assert r"\<img src=x" in text
    assert re.search(r"(?<!\\)[<`]", text) is None


def test_markdown_tells_how_it_was_made(described: EvaluationResult) -> None:
    text = markdown(card(described))

    assert text.startswith("# Describing: 2 models on 9 samples of scenes\n")
    assert described.request.data.sha256 in text
    assert described.models[1].snapshot.commit in text
    assert "| model | CIDEr ↑ |" in text
    assert "no difference shown, which is not the same as none" in " ".join(text.split())


def test_a_report_names_the_figures_beside_it_and_the_samples_that_differ(
    described: EvaluationResult, tmp_path: Path
) -> None:
    paths = {path.name: path for path in report.write(described, card(described), tmp_path)}
    text = paths["report.md"].read_text(encoding="utf-8")
    named = re.findall(r"!\[[A-Z][\w ]+\]\((\S+)\)", text)

    assert sorted(named) == sorted(name for name in paths if name.endswith(".png"))
    assert named[0] == plots.QUALITY
    assert f"By {described.differing_by}, whose values" in text
    assert documents.markdown_table(documents.Table(*differing_table(card(described)))) in text
    assert "](" not in markdown(card(described)), "without files there is nothing to name"
    assert "differ most" not in markdown(card(replace(described, differing=())))


def test_a_model_alone_is_measured_and_held_against_none(described: EvaluationResult) -> None:
    request = replace(described.request, models=described.request.models[:1])
    alone = replace(
        described, request=request, models=described.models[:1], comparisons=(), differing=()
    )
    told, page = markdown(card(alone)), html_report(alone)

    assert alone.verdict == (
        "emoji-captioner was measured alone: there is no other model to hold it against."
    )
    for text in (told, page):
        assert "Describing: 1 model on 9 samples of scenes" in text
        assert alone.verdict in text
        assert "Intervals are of 95%" in text
        assert "Differences" not in text
        assert "Holm" not in text
    assert alone.verdict in pasted(card(alone))


def test_a_card_tells_the_hardware(described: EvaluationResult) -> None:
    found = card(described)

    assert found["device"]["hardware"] == hardware()
    assert found["device"]["kind"] == "cpu"
    assert f"device cpu, float32, {hardware()}" in html_report(described)


def test_a_table_to_paste_has_intervals_and_says_of_what(described: EvaluationResult) -> None:
    text = pasted(card(described))
    headers, rows = score_table(card(described))

    lines = text.splitlines()
    assert lines[0] == f"| {' | '.join(headers)} |"
    assert lines[2:4] == [f"| {' | '.join(row)} |" for row in rows]
    assert re.search(r"\| \d\S* \(\d\S* to \d\S*\) \|", lines[2])
    assert described.verdict in text
    assert described.request.data.sha256[:16] in text
    assert f"`{described.models[0].scores['cider'].signature}`" in text
    assert "2 models on 9 samples" in text
    assert "seed 0" in text
    assert r"repetition\_penalty each model's own" in text
    evil = card(with_evil_text(described))
    evil["models"][0]["scores"]["cider"]["signature"] = "a`<b>`"
    text = pasted(evil)
    assert r"\<img src=x" in text
    assert "`a'<b>'`" in text


def curves_of(result: EvaluationResult, *curves: dict[str, Any]) -> EvaluationResult:
    models = zip(result.models, curves, strict=True)
    return replace(result, models=tuple(replace(model, curves=own) for model, own in models))


def test_curves_of_training_are_shown_where_there_are_logs(described: EvaluationResult) -> None:
    loss = [(0, 4.0), (50, 2.0)]
    first = dict.fromkeys(("a", "b", "c", r"$\frac{", "z"), loss)
    result = curves_of(described, first, {"z": [(0, 3.0), (9, 1.0)]})
    found = read_object(as_json(card(result)))

    figure = plots.training_curves(found)
    assert figure is not None
    shown: Any = figure.axes
    assert len(shown) == plots.MOST_FIELDS
    assert shown[0].get_ylabel() == "z"  # both have it
    assert [line.get_xydata().tolist() for line in shown[0].lines] == [
        [[0, 4], [50, 2]],
        [[0, 3], [9, 1]],
    ]
    assert [len(field.lines) for field in shown[1:]] == [1, 1, 1]
    assert figures.as_png(figure).startswith(b"\x89PNG")
    assert plots.TRAINING in plots.drawn(found)
    count = html_report(described).count("data:image/png;base64,")
    assert html_report(result).count("data:image/png;base64,") == count + 1
    for model in found["models"]:
        del model["curves"]  # a card of an earlier version
    assert plots.training_curves(found) is None
    assert plots.training_curves(card(described)) is None


def test_a_model_card_gets_a_section_that_the_hub_reads(described: EvaluationResult) -> None:
    from huggingface_hub import ModelCard

    section = model_index(card(described), "other-captioner")
    read: Any = ModelCard(f"---\n{section}\n---\n").data
    results = {result.metric_type: result for result in read.eval_results or []}

    assert read.model_name == "other-captioner"
    assert set(results) == {"cider", "bleu", "rouge_l", "exact_match"}
    assert results["rouge_l"].metric_value == described.models[1].scores["rouge_l"].value
    assert results["rouge_l"].task_type == "image-to-text"
    assert results["rouge_l"].dataset_revision == described.request.data.sha256
    assert "ranked" not in section
    with pytest.raises(InvalidValue, match="nobody"):
        model_index(card(described), "nobody")


def test_a_score_with_a_warning_is_not_published_without_it(described: EvaluationResult) -> None:
    from huggingface_hub import ModelCard

    found = card(described)
    found["models"][0]["scores"]["bleu"]["warning"] = "6 samples; give more."
    read: Any = ModelCard(f"---\n{model_index(found, 'emoji-captioner')}\n---\n").data
    names = {result.metric_type: result.metric_name for result in read.eval_results or []}

    assert names["bleu"].endswith("n = 9. Not to be ranked: 6 samples; give more.")
    assert names["cider"].endswith("n = 9")


def test_plots_have_what_there_is(described: EvaluationResult) -> None:
    found = card(described)
    found["models"][1]["costs"]["is_of_this_run"] = False
    quality, spread = plots.quality_against_cost(found), plots.distribution(found)

    legend: Any = quality.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "emoji-captioner", "other-captioner (timed earlier)"
    ]  # fmt: skip
    assert [line.get_fillstyle() for line in quality.axes[0].lines[::3]] == ["full", "none"]
    assert spread is not None
    assert len(spread.axes[0].lines) == 2
    assert spread.axes[0].get_ylim()[1] >= 1
    for model in found["models"]:
        model["values"], model["name"] = {}, r"$\frac{"
    assert plots.distribution(found) is None
    assert figures.as_png(plots.quality_against_cost(found)).startswith(b"\x89PNG")


def test_files_are_written_with_safe_names(described: EvaluationResult, tmp_path: Path) -> None:
    evil = replace(described.models[1], name="../../x y")
    request = replace(described.request, models=("emoji-captioner", "../../x y"))
    comparisons = tuple(replace(c, model="../../x y") for c in described.comparisons)
    result = replace(
        described, models=(described.models[0], evil), request=request, comparisons=comparisons
    )
    paths = report.write(result, card(result), tmp_path / "out")

    assert sorted(path.name for path in paths) == sorted(
        ["card.json", "report.md", "report.html", "quality.png", "distribution.png", "samples.png",
         "model-index-1-emoji-captioner.yaml", "model-index-2-x-y.yaml"]
    )  # fmt: skip
    assert sorted((tmp_path / "out").iterdir()) == sorted(paths)


def test_a_report_of_painters_shows_what_each_painted(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    request = EvaluationRequest(
        "paint", scenes, ("painter-a", "painter-b"), ("diversity",), 5, settings=Painting(steps=1)
    )
    result = finished(generate, studio, request)
    page = html_report(result)

    assert page.count("data:image/png;base64,") == 1 + 2 * len(result.differing)
    written = {path.name: path for path in report.write(result, card(result), tmp_path)}
    text = written["report.md"].read_text(encoding="utf-8")
    assert "![Samples that differ most](samples.png)" in text
    assert "a row for each sample and a column for each model" in text
    with Image.open(written["samples.png"]) as shown:
        first, second = (plots.small(file) for file, _ in plots.files_of(result)[-1])
        top = shown.height - first.height
        assert shown.height == len(result.differing) * (first.height + 8) - 8
        assert shown.width == 2 * first.width + 8
        below = [shown.crop((left, top, left + first.width, shown.height))
                 for left in (0, first.width + 8)]  # fmt: skip
        assert [each.tobytes() for each in below] == [first.tobytes(), second.tobytes()]


def test_pictures_that_were_described_stand_side_by_side(
    described: EvaluationResult, tmp_path: Path
) -> None:
    content = plots.sheet(described)[plots.SHEET]
    (tmp_path / "sheet.png").write_bytes(content)
    with Image.open(tmp_path / "sheet.png") as shown:
        assert shown.size == (40 * len(described.differing) - 8, 32)
    assert "The pictures, in the order of the rows." in markdown(card(described), [plots.SHEET])


def test_without_pictures_or_without_differences_there_is_no_sheet(
    described: EvaluationResult,
) -> None:
    assert plots.sheet(replace(described, differing=())) == {}
    assert plots.sheet(replace(described, request=replace(described.request, task="write"))) == {}


def test_a_report_tells_how_to_open_it_and_to_run_it_again(described: EvaluationResult) -> None:
    found = card(described)
    for text in (markdown(found), html_report(described)):
        assert "python -m pipelines.model" in text and "page's address" not in text
    scenes = embedded("emoji-scenes")
    text = markdown({**found, "data": {"name": scenes.name, "sha256": scenes.sha256}})
    (address,) = re.findall(r"page's address: ?\?evaluate=([\w\\-]+)", text)
    setup = decode(address.replace("\\", ""), Limits())
    assert setup.data == "emoji-scenes"
    assert setup.request.models == described.request.models


@pytest.mark.parametrize(("difference", "verdict"), [(0.5, "better"), (-0.5, "worse")])
def test_a_difference_that_is_shown_is_told_by_its_direction(
    described: EvaluationResult, difference: float, verdict: str
) -> None:
    found = card(described)
    shown = {**found["comparisons"][0], "is_shown": True, "difference": difference}
    assert found["metrics"][shown["metric"]]["higher_is_better"]
    assert comparison_table({**found, "comparisons": [shown]})[1][0][-1] == verdict
