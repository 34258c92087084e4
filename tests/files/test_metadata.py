"""Lists of pictures and their texts: what is read, and which line is at fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InvalidValue
from pipelines.files import metadata
from pipelines.files.metadata import Row, list_in, read_rows


def jsonl(folder: Path, *rows: Any) -> Path:
    path = folder / "metadata.jsonl"
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def table(folder: Path, content: str) -> Path:
    path = folder / "metadata.csv"
    path.write_bytes(content.encode())
    return path


APPLE = {"file_name": "0.png", "text": "a red apple"}


def test_lines_are_rows_and_blank_ones_are_none(tmp_path: Path) -> None:
    other = {"file_name": "in/1.png", "text": "", "wordings": ["a", "b"], "size": 3}
    path = jsonl(tmp_path, APPLE, "", " ", other, "")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_rows(path, 2) == [
        Row("0.png", "a red apple"),
        Row("in/1.png", "", ("a", "b")),
    ]


def test_a_text_with_a_line_separator_is_whole(tmp_path: Path) -> None:
    """``str.splitlines`` cuts at these; JSON does not."""
    row = {**APPLE, "text": "one\u2028two\u0085three"}
    path = jsonl(tmp_path, json.dumps(row, ensure_ascii=False))
    assert read_rows(path, 1) == [Row("0.png", row["text"])]


def test_a_table_has_quotes_and_other_columns(tmp_path: Path) -> None:
    path = table(tmp_path, '\ufeffid,text,file_name\r\n1,"a cat, ""big""\r\nand red",0.png\r\n')
    assert read_rows(path, 5) == [Row("0.png", 'a cat, "big"\nand red')]


def test_json_lines_come_before_a_table(tmp_path: Path) -> None:
    assert list_in(tmp_path) is None
    second = table(tmp_path, "file_name,text\n")
    assert list_in(tmp_path) == second
    first = jsonl(tmp_path, APPLE)
    assert list_in(tmp_path) == first


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "null", "7", '{"file_name": "00.png"}', '{"text": "a"}', "[" * 100_000),
        *('{"file_name": "00.png", "text": null}', '{"file_name": "00.png", "text": 7}'),
        '{"file_name": "00.png", "text": "half of a pair: \\ud83d"}',
    ],
    ids=lambda line: line[:20],
)
def test_a_malformed_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidValue, match=r"Line 3 of metadata\.jsonl is .* file_name") as caught:
        read_rows(jsonl(tmp_path, APPLE, "", line), 9)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file_name,words\n0.png,a\n", r"Line 2 of metadata\.csv is .*needs a file_name and a"),
        ("file_name,text\n0.png,a\n1.png\n", r"Line 3 of metadata\.csv"),
        ("file_name,text\n0.png," + "a" * 200_000, r"metadata\.csv cannot be read"),
        ("", "has 0 lines"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        read_rows(table(tmp_path, content), 9)


@pytest.mark.parametrize("wordings", ["b", [None], [" "], ["a"] * 21, {"a": 1}, 0, ["\ud83d"]])
def test_wordings_are_a_short_list_of_texts(tmp_path: Path, wordings: Any) -> None:
    with pytest.raises(InvalidValue, match=r"wordings in line 1 .* at most 20 texts"):
        read_rows(jsonl(tmp_path, {**APPLE, "wordings": wordings}), 9)
    assert read_rows(jsonl(tmp_path, {**APPLE, "wordings": None}), 9) == [
        Row("0.png", "a red apple")
    ]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x.png", None, 7, True, ["a"]])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(InvalidValue, match="inside of the folder"):
        read_rows(jsonl(tmp_path, {**APPLE, "file_name": name}), 9)


def test_what_is_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**APPLE, "file_name": f"{i}.png"} for i in range(3)]
    with pytest.raises(InvalidValue, match="has 3 lines; give from 1 to 2"):
        read_rows(jsonl(tmp_path, *rows), 2)
    for long in ({"text": "a" * 10_000}, {"wordings": ["a" * 10_000]}):
        with pytest.raises(InvalidValue, match=r"line 1 .* has 10,000 characters; at most 2,000"):
            read_rows(jsonl(tmp_path, {**APPLE, **long}), 2)
    monkeypatch.setattr(metadata, "MOST_BYTES", 10)
    with pytest.raises(InvalidValue, match=r"metadata\.jsonl has .* are allowed"):
        read_rows(jsonl(tmp_path, *rows), 9)


@pytest.mark.parametrize("column", ["caption", "captions", "caption_text", "prompt", "Caption "])
@pytest.mark.parametrize("name", ["file_name", "image", "File"])
def test_a_caption_is_read_under_any_usual_name(tmp_path: Path, column: str, name: str) -> None:
    row = Row("0.png", "a red apple", column=column.strip().lower())
    assert read_rows(jsonl(tmp_path, {name: "0.png", column: "a red apple"}), 9) == [row]
    assert read_rows(table(tmp_path, f"{name},{column}\n0.png,a red apple\n"), 9) == [row]


def test_several_captions_of_a_picture_are_its_wordings(tmp_path: Path) -> None:
    several = {"file_name": "1.png", "captions": ["a cat", "one cat"], "wordings": ["a pet"]}
    assert read_rows(jsonl(tmp_path, APPLE, several, {**APPLE, "text": "an apple"}, APPLE), 9) == [
        Row("0.png", "a red apple", ("an apple",)),
        Row("1.png", "a cat", ("one cat", "a pet"), "captions"),
    ]


def test_too_many_captions_of_a_picture_are_refused_and_not_dropped(tmp_path: Path) -> None:
    rows = [{**APPLE, "text": f"caption {number}"} for number in range(22)]
    with pytest.raises(InvalidValue, match=r"wordings in 0\.png .* at most 20 texts"):
        read_rows(jsonl(tmp_path, *rows), 99)


@pytest.mark.parametrize("captions", [[], [" "], [7], {"a": 1}])
def test_a_list_of_captions_has_some_and_no_blank_one(tmp_path: Path, captions: Any) -> None:
    with pytest.raises(InvalidValue, match="needs a file_name and a text"):
        read_rows(jsonl(tmp_path, {"file_name": "0.png", "captions": captions}), 9)


def test_other_bytes_than_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InvalidValue, match="not UTF-8"):
        read_rows(path, 9)
