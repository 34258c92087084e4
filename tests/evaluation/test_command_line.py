"""The command line: one command evaluates, another does it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.model_comparison.__main__ import main
from tests.evaluation.conftest import zipped


def arguments(pairs_dir: Path, tmp_path: Path, *more: str) -> list[str]:
    places = ["--model-dir", str(pairs_dir), "--data-dir", str(tmp_path / "data"), "--no-hub"]
    return [*more, *places]


def test_an_evaluation_is_written_and_can_be_run_again(
    pairs_dir: Path, scenes_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    command = [
        "evaluate", "--task", "describe", "--data", str(scenes_dir), "--samples", "6",
        "--models", "other-captioner", "other-captioner + none", "--output", str(output),
    ]  # fmt: skip
    assert main(arguments(pairs_dir, tmp_path, *command)) == 2
    assert "none" in capsys.readouterr().err

    command[command.index("other-captioner + none")] = "third"
    (tmp_path / "models").mkdir()
    for name, source in (("other-captioner", "other-captioner"), ("third", "emoji-captioner")):
        (tmp_path / "models" / name).symlink_to(pairs_dir / source)
    command += ["--set", "max_new_tokens=6", "--metrics", "bleu"]
    assert main(arguments(tmp_path / "models", tmp_path, *command)) == 0
    told = capsys.readouterr()
    assert told.out.startswith("# Describing: 2 models on 6 samples of scenes")
    assert "of 6 samples" in told.err
    card = json.loads((output / "card.json").read_text())
    assert card["request"]["settings"]["max_new_tokens"] == 6
    assert (output / "report.html").is_file()
    assert main(arguments(tmp_path / "models", tmp_path, *command, "--table")) == 0
    assert capsys.readouterr().out.startswith("| model | BLEU ↑ |")

    again = ["--replay", str(output / "card.json"), "--data", str(scenes_dir)]
    assert main(arguments(tmp_path / "models", tmp_path, *again)) == 0
    assert "equal    third: 6 of 6 outputs are equal" in capsys.readouterr().out
    card["models"][0]["outputs"][0] = "0" * 16
    (output / "card.json").write_text(json.dumps(card))
    assert main(arguments(tmp_path / "models", tmp_path, *again)) == 1
    assert "differs  other-captioner: 5 of 6" in capsys.readouterr().out


def test_a_model_alone_has_a_table_and_can_be_run_again(
    pairs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tales.txt").write_text("once upon a time\na king and a queen\n")
    data = ["--data", str(tmp_path / "tales.txt")]
    command = ["evaluate", "--task", "write", *data, "--samples", "2", "--models", "writer-a",
               "--table", "--output", str(tmp_path / "out")]  # fmt: skip
    assert main(arguments(pairs_dir, tmp_path, *command)) == 0
    told = capsys.readouterr().out
    assert told.startswith("| model | Bits per byte ↓ | Perplexity ↓ |")
    assert "writer-a was measured alone" in told
    again = ["replay", str(tmp_path / "out" / "card.json"), *data]
    assert main(arguments(pairs_dir, tmp_path, *again)) == 0
    assert "equal    writer-a: 2 of 2 outputs are equal" in capsys.readouterr().out


def test_a_file_of_texts_or_a_zip_is_data_too(
    pairs_dir: Path, scenes_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tales.txt").write_text("once upon a time\na king and a queen\n")
    zipped(scenes_dir, tmp_path / "scenes.zip")
    for data in ("tales.txt", "scenes.zip"):
        command = [
            "evaluate", "--task", "write", "--data", str(tmp_path / data), "--samples", "2",
            "--models", "writer-a", "writer-b",
        ]  # fmt: skip
        assert main(arguments(pairs_dir, tmp_path, *command)) == 0
        assert f"2 samples of {data[:-4]}" in capsys.readouterr().out


def test_an_extractor_can_be_named(
    pairs_dir: Path, scenes_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "evaluate", "--task", "paint", "--data", str(scenes_dir), "--samples", "2",
        "--models", "painter-a", "painter-b", "--extractor", "InceptionV3-2015-12-05",
    ]  # fmt: skip
    assert main(arguments(pairs_dir, tmp_path, *command)) == 2
    assert "InceptionV3-2015-12-05" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--set", "steps=3"], "no setting 'steps'"),
        (["--set", "steps"], "NAME=VALUE"),
        (["--set", "temperature=hot"], "temperature is 'hot'"),
        (["--samples", "1"], "sample_size"),
    ],
)
def test_a_fault_ends_with_2_and_its_reason(
    pairs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    command = ["evaluate", "--task", "write", "--data", "emoji-scenes", "--models", "a", "b", *more]
    assert main(arguments(pairs_dir, tmp_path, *command)) == 2
    assert words in capsys.readouterr().err


def test_a_card_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "card.json").write_bytes(b"\xff\xfe")
    for name, words in (("none.json", "cannot be read"), ("card.json", "not valid JSON")):
        assert main(["replay", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err


def test_help_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "describe: cider, bleu" in told
    assert "continues where it stopped" in " ".join(told.split())
