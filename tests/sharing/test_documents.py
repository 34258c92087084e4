"""A document says the same as Markdown and as HTML, and nothing in it is taken for markup."""

from __future__ import annotations

import base64
import re
from html import escape

import pytest
import yaml
from markdown_it import MarkdownIt

from pipelines.sharing.documents import (
    Cell,
    Document,
    Items,
    Measured,
    Picture,
    Quote,
    Section,
    Table,
    as_html,
    as_markdown,
    escaped,
    model_index,
)

EVIL = '<script>alert("1")</script> | [x](javascript:1) `c` ![i](http://x/y.png)'
PNG = b"\x89PNG not really"
RENDERERS = (as_html, as_markdown)
DOCUMENT = Document(
    "A & B",
    "A was *faster*.",
    [
        Section("Out", [Quote("One\n\n- two"), Picture("a-1.png", PNG, "Of A"), "A paragraph."]),
        Section("All", [Table(["name", "value"], [[EVIL, "1"]]), Items([EVIL, "second"])]),
    ],
)


def test_html_holds_everything_and_asks_for_nothing() -> None:
    told = as_html(DOCUMENT)
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in told
    assert set(re.findall(r'(?:src|href)="([^"]{5})', told)) == {"data:"}
    assert "default-src 'none'" in told
    assert "<title>A &amp; B</title>" in told
    assert "<blockquote>One\n\n- two</blockquote>" in told


def test_nothing_in_a_document_is_markup() -> None:
    told = as_html(DOCUMENT)
    assert "<script" not in told
    assert told.count("&lt;script&gt;") == 2
    markdown = as_markdown(DOCUMENT)
    for mark in ("<script", " | [", "](java", " `c`", " ![i]", "*faster"):
        assert re.search(rf"(?<!\\){re.escape(mark.strip())}", markdown) is None, mark


@pytest.mark.parametrize("line", ["- a", "+ a", "1. a", "12) a", "---", "===", "=", "-"])
def test_a_line_of_others_begins_no_list_rule_or_heading(line: str) -> None:
    """What a model wrote became a heading where its second line was of equals signs."""
    renderer = MarkdownIt()
    document = Document("T", "", [Section("S", [line, Quote(f"Foo\n{line}"), Items([line])])])
    html = renderer.render(as_markdown(document))
    assert html.count("<li>") == 1
    assert not [tag for tag in ("<ol", "<hr", "<h1>Foo", "<h2>Foo") if tag in html]
    assert html.count(escape(line)) == 3
    assert escaped("-0.5") == "-0.5", "a number stays as it is"


def test_the_title_of_a_page_is_text() -> None:
    told = as_html(Document("<b>", "", []))
    assert "<title>&lt;b&gt;</title>" in told
    assert "<h1>&lt;b&gt;</h1>" in told


def test_a_cell_has_its_remark_and_in_html_its_picture() -> None:
    table = Table(["a", "b"], [[Cell("<i>", "0.5", PNG), Cell("", "0.1")]])
    told, markdown = (render(Document("", "", [Section("S", [table])])) for render in RENDERERS)
    assert told.count("data:image/png") == 1
    assert '&lt;i&gt;<br><span class="small">0.5</span>' in told
    assert "| \\<i\\> (0.5) | 0.1 |" in markdown


def test_markdown_names_its_pictures_as_files() -> None:
    markdown = as_markdown(DOCUMENT)
    assert "![Of A](a-1.png)" in markdown
    assert DOCUMENT.pictures == {"a-1.png": PNG}
    assert "| name | value |\n| --- | --- |\n| " in markdown
    assert markdown.startswith(
        "# A \\& B\n\nA was \\*faster\\*.\n\n## Out\n\n> One\\\n> \\\n> \\- two"
    )
    assert markdown.count("\n- ") == 2


def test_an_index_section_is_what_a_model_card_takes() -> None:
    told = model_index(
        "owner/x", "paint", ("blind votes", "ab" * 32), [Measured("rate", "Rate", 2.5, "cpu|n:1")]
    )
    (entry,) = yaml.safe_load(told)["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "owner/x"
    assert result["task"]["type"] == "text-to-image"
    assert result["dataset"] == {
        "name": "blind votes", "type": "blind-votes", "revision": "ab" * 32,
    }  # fmt: skip
    assert result["metrics"][0]["value"] == 2.5
