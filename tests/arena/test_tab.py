"""The panel on a page of its own: what reaches the browser before a vote, and after it."""

from __future__ import annotations

import io
import json
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from PIL import Image

from pipelines.arena.ballot import from_lines
from pipelines.arena.card import ballots_of, card
from pipelines.arena.duel_form import SCENE, TALE
from pipelines.arena.link import decode, encode
from pipelines.arena.log import VoteLog
from pipelines.arena.setup import Setup
from pipelines.arena.tab import build
from pipelines.runtime.receipts import hash_text
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Limits, Settings
from pipelines.sharing.tab import wire_openings
from tests.arena.ballots import duels
from tests.arena.conftest import NAMES
from tests.page.conftest import free_port


class Page:
    """A running page with nothing but the panel, and the raw text of what it sends."""

    def __init__(self, url: str, studio: Studio) -> None:
        self.url = url
        self.client = Client(url, verbose=False)
        self.studio = studio
        self.log = VoteLog(studio.settings.data_dir / "votes.sqlite3")
        self.runs = 0

    def listener(self, elem_id: str) -> int:
        """The number of the handler that listens to a component."""
        config = self.client.config
        (target,) = (c["id"] for c in config["components"] if c["props"].get("elem_id") == elem_id)
        for dependency in config["dependencies"]:
            if dependency["targets"] and dependency["targets"][0][0] == target:
                return int(dependency["id"])
        raise AssertionError(f"nobody listens to {elem_id}")

    def sent(self, elem_id: str, *data: Any) -> str:
        """All that the server sends when a component is used, as a browser gets it."""
        self.runs += 1
        session = {"session_hash": f"session{self.runs}"}
        call = {"data": data, "fn_index": self.listener(elem_id), **session}
        httpx.post(f"{self.url}gradio_api/queue/join", json=call).raise_for_status()
        lines = []
        with httpx.stream(
            "GET", f"{self.url}gradio_api/queue/data", params=session, timeout=120
        ) as stream:
            for line in stream.iter_lines():
                lines.append(line)
                if '"process_completed"' in line:
                    break
        return "\n".join(lines)

    def upload(self, picture: Image.Image) -> dict[str, Any]:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return self.upload_file("mine.png", buffer.getvalue())

    def upload_file(self, name: str, content: bytes) -> dict[str, Any]:
        files = {"files": (name, content)}
        (path,) = httpx.post(f"{self.url}gradio_api/upload", files=files).json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def secrets(self) -> list[str]:
        """Names, commits and folders of all models that were loaded."""
        keys = [resident.key.partition("@") for resident in self.studio.residency.residents()]
        assert len(keys) >= 2
        parts = [part for name, _, commit in keys for part in (name, commit)]
        return [*parts, str(self.studio.settings.models_dir), str(ROOT)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, duel_models_dir: Path) -> Iterator[Page]:
    data = tmp_path_factory.mktemp("votes-page")
    with pytest.MonkeyPatch.context() as patch:  # as app.py has it
        patch.setenv("GRADIO_TEMP_DIR", str(data / "tmp"))
        yield from running_page(data, duel_models_dir)


def running_page(data: Path, duel_models_dir: Path) -> Iterator[Page]:
    studio = Studio(Settings(models_dir=duel_models_dir, data_dir=data, hub_enabled=False))
    with gr.Blocks() as blocks, gr.Tab() as tab:
        compute = {"concurrency_id": "compute", "concurrency_limit": 1}
        opening = build(studio, compute, tab.select)
        (from_link,) = wire_openings(studio.settings, [opening])
        text = gr.Textbox(elem_id="link")
        inputs = [text, *opening.inputs]
        text.submit(from_link, inputs, opening.fields, api_visibility="private")
    blocks.queue(api_open=False)
    _, url, _ = blocks.launch(
        server_port=free_port(), prevent_thread_lock=True, quiet=True, ssr_mode=False,
        allowed_paths=[str(data / "tmp")], show_error=True, max_file_size=10**6,
    )  # fmt: skip
    running = Page(url, studio)
    yield running
    running.client.close()
    blocks.close()


def token_in(sent: str) -> str:
    (token,) = set(re.findall(r'"data": ?\["([\w-]{32})"', sent))
    return str(token)


@pytest.mark.parametrize("task", NAMES)
def test_no_name_commit_or_path_reaches_the_browser_before_the_vote(page: Page, task: str) -> None:
    picture = page.upload(Image.new("RGB", (64, 64), "teal")) if task == "describe" else None
    sent = page.sent("votes-run", task, "a cat", list(NAMES[task]), 5, picture)

    assert '"success":true' in sent.replace(" ", "")
    assert [secret for secret in page.secrets() if secret in sent] == []
    assert not re.search(r"receipt|output_sha256|seconds_left|load time", sent)
    urls = set(re.findall(r'"url": ?"([^"]+)"', sent))
    assert len(urls) == (2 if task == "paint" else 0)
    for url in urls:
        assert re.fullmatch(r"[0-9a-f]{32}\.png", url.rpartition("/")[2]), "a random name"
        content = httpx.get(url).content
        chunks = set(re.findall(rb"IHDR|IDAT|IEND|[tiz]TXt|tEXt|eXIf|tIME", content))
        assert chunks == {b"IHDR", b"IDAT", b"IEND"}, "pixels alone"
        assert Image.open(io.BytesIO(content)).info == {}

    receipt = page.client.predict(token_in(sent), "A", api_name="/vote")
    shown = [each["model"]["reference"] for each in receipt["outputs"]]
    assert sorted(shown) == sorted(NAMES[task])
    assert page.log.ballots()[-1].best is not None


def test_outputs_come_all_at_once_and_only_then_can_be_voted_on(page: Page) -> None:
    sent = page.sent("votes-run", "write", "Once", list(NAMES["write"]), 5, None)
    generated = [line for line in sent.splitlines() if '"process_generating"' in line]
    assert len([line for line in generated if "Once" in line]) == 1
    is_open = re.compile(r'interactive"\]?[:,] ?true')
    assert [bool(is_open.search(line)) for line in generated] == ["Once" in x for x in generated]


def test_files_of_pictures_do_not_stay_beside_the_copies(page: Page) -> None:
    others = folders_of_duels()
    sent = page.sent("votes-run", "paint", "a cat", list(NAMES["paint"]), 5, None)
    deadline = time.monotonic() + 10
    while folders_of_duels() - others and time.monotonic() < deadline:
        time.sleep(0.1)
    assert folders_of_duels() <= others
    urls = set(re.findall(r'"url": ?"([^"]+)"', sent))
    assert [httpx.get(url).status_code for url in urls] == [200, 200], "the copies are there"


def folders_of_duels() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("triptych-duel-*"))


def test_two_endpoints_for_programs_are_documented(page: Page) -> None:
    endpoints = page.client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/duel", "/vote"}
    for endpoint in endpoints.values():
        assert endpoint["description"]
        assert all(parameter["label"] for parameter in endpoint["parameters"])


def test_a_program_can_duel_and_vote(page: Page) -> None:
    token, *outputs = page.client.predict(
        "write", "Once", list(NAMES["write"]), 5, None, api_name="/duel"
    )
    receipt = page.client.predict(token, "tie", api_name="/vote")
    assert [len(text) > len("Once") for text in outputs[:8]] == [True] * 3 + [False] * 5
    assert outputs[8:16] == [None] * 8
    hashes = [hash_text(text.removeprefix("Once")) for text in outputs[:3]]
    assert hashes == [each["output_sha256"] for each in receipt["outputs"]]
    with pytest.raises(Exception, match="no open duel"):
        page.client.predict(token, "tie", api_name="/vote")


def test_a_button_casts_the_vote_and_shows_who_was_who(page: Page) -> None:
    token = token_in(page.sent("votes-run", "write", "Once", list(NAMES["write"]), 5, None))
    sent = page.sent("votes-b-best", token)
    cast = page.log.ballots()[-1]
    assert cast.choice == "B"
    assert all(model.name in sent and model.commit[:12] in sent for model in cast.models)
    assert "too few votes" in sent
    again = page.sent("votes-b-best", token)
    assert "no open duel" in again
    assert page.log.ballots()[-1] == cast


@pytest.mark.parametrize(
    ("elem_id", "choice"), [("votes-tie", "tie"), ("votes-all-bad", "all bad")]
)
def test_none_may_be_best(page: Page, elem_id: str, choice: str) -> None:
    token = token_in(page.sent("votes-run", "write", "Once", list(NAMES["write"]), 5, None))
    page.sent(elem_id, token)
    assert page.log.ballots()[-1].choice == choice


def files_in(sent: str) -> dict[str, str]:
    return {url.rpartition("/")[2]: url for url in re.findall(r'"url": ?"([^"]+)"', sent)}


def test_card_reports_and_votes_of_the_task_can_be_had_as_files(page: Page) -> None:
    token = token_in(page.sent("votes-run", "write", "Once", list(NAMES["write"]), 5, None))
    page.client.predict(token, "A", api_name="/vote")
    files = files_in(page.sent("votes-export", "write"))
    assert {"card.json", "card.md", "report.html", "votes.jsonl"} <= set(files)
    votes = page.log.ballots("write")
    assert from_lines(httpx.get(files["votes.jsonl"]).text) == votes
    made = httpx.get(files["card.json"]).json()
    assert ballots_of(made) == votes
    assert made["log"]["votes"] == len(votes)


def test_files_say_nothing_of_a_duel_that_is_open(page: Page) -> None:
    token = token_in(page.sent("votes-run", "write", "Once", list(NAMES["write"]), 5, None))
    page.client.predict(token, "A", api_name="/vote")
    before = len(page.log.ballots("write"))
    sent = page.sent("votes-run", "write", "A secret prompt", list(NAMES["write"]), 987654, None)
    assert token_in(sent)
    files = files_in(page.sent("votes-export", "write"))
    made = httpx.get(files["card.json"])
    assert made.json()["log"]["votes"] == before
    assert "987654" not in made.text and hash_text("A secret prompt") not in made.text


def opened(page: Page, found: dict[str, Any]) -> str:
    file = page.upload_file("card.json", json.dumps(found).encode())
    return page.sent("votes-open", file, "my own prompt")


def test_a_card_fills_task_and_models_in_and_says_that_it_holds_no_prompt(page: Page) -> None:
    sent = opened(page, card(duels(2, 9, task="paint"), "paint"))

    data = last_data(sent)
    updates = [each for each in data if isinstance(each, dict)]
    assert updates[0]["value"] == "paint", "the task"
    assert ["y", "x"] in [each.get("value") for each in updates]
    assert "my own prompt" in [each.get("value") for each in updates]
    assert "holds no prompts" in sent


def last_data(sent: str) -> list[Any]:
    (data,) = (
        json.loads(line.removeprefix("data:"))["output"]["data"]
        for line in sent.splitlines()
        if '"process_completed"' in line
    )
    assert isinstance(data, list)
    return data


def test_the_link_of_a_duel_comes_with_the_vote_and_is_gone_with_the_next(page: Page) -> None:
    start = ("votes-run", "write", "Once", list(NAMES["write"]), -1, None)
    before = page.sent(*start)
    assert "?vote=" not in before
    after = page.sent("votes-a-best", token_in(before))
    (address,) = set(re.findall(r"\?vote=([\w-]+)", after))
    setup = decode(address, Limits())
    assert setup == Setup(
        "write", tuple(sorted(NAMES["write"])), "Once", page.log.ballots()[-1].seed
    )
    hidden = {"value": None, "visible": False, "__type__": "update"}
    generating = [json.loads(line.removeprefix("data:"))["output"]["data"]
                  for line in page.sent(*start).splitlines()
                  if '"process_generating"' in line]  # fmt: skip
    assert generating[0][-1] == hidden


def test_a_duel_too_long_for_a_link_is_told_to_have_none(page: Page) -> None:
    start = ("votes-run", "paint", "時" * 1_500, list(NAMES["paint"]), 5, None)
    sent = page.sent("votes-tie", token_in(page.sent(*start)))
    assert "?vote=" not in sent and "at most 4,000 are allowed. Shorten the prompt" in sent


def test_a_link_fills_every_field_in(page: Page) -> None:
    setup = Setup("paint", NAMES["paint"], TALE, 7)
    data = last_data(page.sent("link", encode(setup), TALE))
    values = [each.get("value") if isinstance(each, dict) else each for each in data]
    assert "paint" in values and 7 in values
    assert TALE in values, "the words of the link, though they begin another task"
    assert list(NAMES["paint"]) in values
    values = [
        each.get("value") if isinstance(each, dict) else each
        for each in last_data(page.sent("link", encode(replace(setup, prompt=None)), TALE))
    ]
    assert SCENE in values, "where it has none there is the task's own"
    assert "The link holds" in page.sent("link", "<b>", TALE)


def test_a_card_of_another_kind_is_refused_with_words(page: Page) -> None:
    sent = opened(page, {"schema": 1, "kind": "evaluation"})
    assert "its kind is 'evaluation', and votes can be read" in sent
    assert '"success":false' in sent.replace(" ", "")


BAD: list[tuple[int, Any, str]] = [
    (0, "sing", "sing"),
    (1, None, "prompt is None"),
    (1, "x" * 30_000, "30,000 characters"),
    (2, None, "give a list"),
    (2, ["quick-brown-writer"], "choose 2 to 8"),
    (2, "quick-brown-writer", "give a list"),
    (2, ["quick-brown-writer", 7], "One of the models is 7"),
    (2, ["quick-brown-writer", "/etc/passwd"], "There is no model"),
    (2, ["quick-brown-writer", "ochre-painter"], "paints pictures"),
    (3, True, "seed is True"),
]


@pytest.mark.parametrize(("index", "value", "words"), BAD)
def test_bad_input_is_refused_with_words(page: Page, index: int, value: Any, words: str) -> None:
    fields: list[Any] = ["write", "Once", list(NAMES["write"]), 5, None]
    fields[index] = value
    with pytest.raises(Exception, match=words):
        page.client.predict(*fields, api_name="/duel")


@pytest.mark.parametrize(("token", "choice"), [(None, "A"), (7, "A"), ({"a": 1}, None)])
def test_a_bad_vote_is_refused_with_words(page: Page, token: Any, choice: Any) -> None:
    with pytest.raises(Exception, match="no open duel"):
        page.client.predict(token, choice, api_name="/vote")


def test_the_page_itself_begins_with_no_outputs_and_no_votes(page: Page) -> None:
    props = {c["props"].get("elem_id"): c["props"] for c in page.client.config["components"]}
    assert [props[f"votes-{place}-best"]["interactive"] for place in "abcdefgh"] == [False] * 8
    assert not props["votes-tie"]["interactive"]
    assert len(props["votes-models"]["value"]) == 2
