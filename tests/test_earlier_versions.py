"""What the version before the restructuring wrote still opens, and means what it meant.

The files were made by that version with the embedded models, on one processor. Elsewhere, with
other libraries or with models that were trained again, outputs may differ; then what differs has
to be told with its cause, and values that need no model have to be the same all the same.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.arena import link as vote_link
from pipelines.arena.ballot import Ballot
from pipelines.arena.card import ballots_of
from pipelines.arena.leaderboard import leaderboard
from pipelines.arena.log import VoteLog
from pipelines.arena.replay import VOTES, read_votes
from pipelines.arena.setup import setup_of as votes_setup
from pipelines.arena.setup import setup_of_duel
from pipelines.datasets.samples import embedded
from pipelines.evaluation import card as evaluation
from pipelines.evaluation import link as evaluate_link
from pipelines.evaluation import pipeline as evaluating
from pipelines.evaluation.replay import EVALUATION
from pipelines.evaluation.setup import setup_of as evaluation_setup
from pipelines.evaluation.store import FILE as STORE_FILE
from pipelines.evaluation.store import Store
from pipelines.events import with_result
from pipelines.files.images import open_picture
from pipelines.model_comparison import link as compare_link
from pipelines.model_comparison.replay import COMPARISON
from pipelines.runtime.receipts import hash_pictures, identity
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Limits, Settings
from pipelines.sharing.cards import Sources, kind_of
from pipelines.sharing.reading import read_object, receipt_in_picture, text_of
from pipelines.sharing.replay import Replayed, replay
from pipelines.tasks import TASKS
from pipelines.validation import OWN

KINDS = (COMPARISON, EVALUATION, VOTES)
DATA = ROOT / "tests/data"
LIMITS = Limits()
WRITERS = ("fairytale-gpt", "fairytale-gpt + fairytale-gpt-shakespeare")
PAINTERS = ("emoji-painter", "emoji-painter + emoji-painter-night")
KINDS_OF_LINKS = {kind.PARAMETER: kind for kind in (compare_link, evaluate_link, vote_link)}
LINKS: list[dict[str, Any]] = json.loads((DATA / "links.json").read_text(encoding="utf-8"))
EVALUATIONS = {
    "write": "card-evaluation.json",
    "paint": "card-evaluation-paint.json",
    "describe": "card-evaluation-describe.json",
}
LATER = {each.field for task in TASKS.values() for each in task.settings if each.is_later}
STORED_SAMPLES = 28
"""Four of each writer's texts and of its likelihoods, of each painter and of the captioner."""
STORED_PICTURES = 8


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The embedded models, kept in memory from one test to the next; no Hub."""
    return Studio(Settings(data_dir=tmp_path_factory.mktemp("earlier"), hub_enabled=False))


@pytest.fixture
def store_dir(tmp_path: Path) -> Path:
    """A copy of the kept samples: opening the database writes beside it."""
    return Path(shutil.copytree(DATA / "evaluation-store", tmp_path / "store"))


@pytest.fixture
def log(tmp_path: Path) -> VoteLog:
    """A copy of the log of votes."""
    return VoteLog(Path(shutil.copyfile(DATA / "votes.sqlite3", tmp_path / "votes.sqlite3")))


def done(run: Generator[Any, None, Any]) -> Any:
    """The result of a run; its events are passed over."""
    *_, result = with_result(run)
    return result


def receipt_of(name: str) -> dict[str, Any]:
    return read_object(text_of(DATA / name))


def card_of(name: str) -> dict[str, Any]:
    card: dict[str, Any] = read_object(text_of(DATA / name))
    assert kind_of(card, KINDS) in KINDS
    return card


def replay_card(studio: Studio, card: dict[str, Any], sources: Sources) -> Replayed:
    replayed: Replayed = done(kind_of(card, KINDS).replay(studio, card, sources))
    return replayed


def described() -> Image.Image:
    return open_picture(DATA / "described.png", LIMITS)


def flat(recorded: dict[str, Any]) -> dict[str, Any]:
    """A comparison's fields of the version before under the names that links have."""
    return {**recorded["shared"], "A": recorded["left"], "B": recorded["right"]}


def holds(recorded: dict[str, Any], fields: dict[str, Any]) -> bool:
    """Whether fields are as recorded; a card names an adapter's weight even where it is 1.

    A setting that was not there yet is left to the model.
    """
    return all(
        holds(recorded[name], value)
        if isinstance(value, dict)
        else recorded[name] == (value.removesuffix(":1.0") if isinstance(value, str) else value)
        if name in recorded
        else name in LATER and value in (None, OWN)
        for name, value in fields.items()
    )


def has_reason(replayed: Replayed) -> bool:
    """Whether the replay names a cause: other files of a model, versions, hardware, or another
    method of intervals, which is in a score's signature."""
    changed = [line.text for line in replayed.lines if not line.is_equal]
    causes = ("version of ", "device ", "model commit")
    return any(t.startswith(causes) or "files were" in t or ": signature of " in t for t in changed)


# Receipts


@pytest.mark.parametrize(
    ("name", "output"),
    [
        (
            "receipt-write.json",
            "6356f28bb5cce2c1b505549f6a2beb1da92a9e24713a353c08f5a2ebc6c7933d",
        ),
        (
            "receipt-paint.json",
            "9de4d26a8b7a7376ddf07caf509781d017ba98bb82cd250898ac39218feb73bf",
        ),
        (
            "receipt-describe.json",
            "9f191eb4de14a90b8a9ff72e48edf94291ff32e449615f4bbbd0c5db8e6c1ce2",
        ),
    ],
)
def test_a_receipt_is_run_again(studio: Studio, name: str, output: str) -> None:
    old = receipt_of(name)
    assert (old["schema"], old["output_sha256"]) == (1, output)
    picture = described() if old["task"] == "describe" else None
    again = done(replay(studio, old, picture))
    assert again.is_equal or has_reason(again), again.lines
    assert set(again.made) >= set(old)


def test_a_painted_file_carries_its_receipt(studio: Studio) -> None:
    found = receipt_in_picture(DATA / "painted.png", LIMITS)
    assert found.pop("picture") == 1
    assert found == receipt_of("receipt-paint.json")
    assert found["request"]["prompt"] == "a red apple on a white background"
    assert (found["request"]["seed"], found["request"]["count"]) == (5, 2)


def test_a_duel_s_receipt_fills_the_panel_in() -> None:
    setup = setup_of_duel(receipt_of("receipt-duel.json"))
    assert (setup.task, setup.models) == ("write", WRITERS)
    assert (setup.prompt, setup.seed) == ("Once upon a time", 2)


# Cards of comparisons


@pytest.mark.parametrize("suffix", ["", "-paint", "-describe"])
def test_a_comparison_s_card_sets_the_page_up_as_its_link_does(suffix: str) -> None:
    found = card_of(f"card-comparison{suffix}.json")
    assert found["kind"] == COMPARISON.name
    linked = compare_link.decode(found["link"].removeprefix("?compare="), LIMITS)
    (recorded,) = [each["fields"] for each in LINKS if each["query"] == found["link"]]
    assert holds(flat(recorded), linked)
    assert holds(flat(recorded), COMPARISON.setup_of(found, LIMITS))


@pytest.mark.parametrize("suffix", ["", "-paint", "-describe"])
def test_a_comparison_s_card_is_run_again(studio: Studio, suffix: str) -> None:
    old = card_of(f"card-comparison{suffix}.json")
    again = replay_card(studio, old, Sources(picture=described()))
    texts = [line.text for line in again.lines]
    assert again.is_equal or has_reason(again), texts
    assert set(again.made) == set(old)
    if again.is_equal:
        assert again.made["outputs"] == old["outputs"]
        assert again.made["is_identical"] is old["is_identical"] is False


# Cards of evaluations, and the samples that were kept


@pytest.mark.parametrize(
    ("task", "models", "data", "values"),
    [
        ("write", WRITERS, "shakespeare", {"max_new_tokens": 8, "temperature": 0.8}),
        ("paint", PAINTERS, "emoji-scenes", {"steps": 3, "guidance_scale": 4.0}),
        ("describe", ("emoji-captioner",), "emoji-scenes",
         {"method": "sampling", "temperature": 0.7, "max_new_tokens": 12}),
    ],
)  # fmt: skip
def test_an_evaluation_s_card_sets_the_panel_up(
    task: str, models: tuple[str, ...], data: str, values: dict[str, Any]
) -> None:
    found = card_of(EVALUATIONS[task])
    setup = evaluation_setup(found, LIMITS)
    asked = setup.request
    assert (found["kind"], asked.task, setup.data) == (EVALUATION.name, task, data)
    assert (asked.models, asked.sample_size, asked.seed) == (models, 4, 3)
    assert list(asked.metrics) == found["request"]["metrics"] == list(found["metrics"])
    assert asdict(asked.settings) | values == asdict(asked.settings)  # type: ignore[arg-type]
    assert [note.partition(",")[0] for note in setup.notes] == (
        ["context is 64"] if task == "write" else []
    )
    (recorded,) = [
        each["fields"] for each in LINKS
        if each["parameter"] == "evaluate" and each["fields"]["request"]["task"] == task
        and each["fields"]["data"] == data
    ]  # fmt: skip
    assert holds(recorded["request"]["settings"], asdict(asked.settings))  # type: ignore[arg-type]


def test_an_evaluation_s_card_is_run_again(studio: Studio) -> None:
    old = card_of(EVALUATIONS["describe"])
    again = replay_card(studio, old, Sources())
    texts = [line.text for line in again.lines]
    assert again.is_equal or has_reason(again), texts


def test_kept_samples_are_found_with_their_pictures(store_dir: Path) -> None:
    with closing(sqlite3.connect(store_dir / STORE_FILE)) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM samples")]
        costs = [key for (key,) in database.execute("SELECT key FROM costs")]
    assert len(keys) == STORED_SAMPLES
    with closing(Store(store_dir)) as store:
        found = store.load(keys)
        assert len(found) == STORED_SAMPLES
        assert all((cost := store.cost(key)) and cost.peak_bytes > 0 for key in costs)
        painted = {output.picture for output in found.values() if output.picture}
        assert len(painted) == STORED_PICTURES
        for name in painted:
            with Image.open(store.picture_file(name)) as picture:
                assert hash_pictures([picture]) == name


@pytest.mark.parametrize("task", EVALUATIONS)
def test_what_was_kept_is_not_computed_again(
    studio: Studio, store_dir: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    old = card_of(EVALUATIONS[task])
    here = {"kind": studio.device.kind, "dtype": studio.device.dtype_name}
    if not here.items() <= old["device"].items():
        pytest.skip("samples are kept for the kind of device that made them")
    # So that libraries may be newer than the file: this is about what the keys are made of.
    then = card_of("card-comparison.json")["versions"]  # an evaluation's card tells more of them
    assert then.items() <= old["versions"].items()
    monkeypatch.setattr(evaluating, "versions", lambda: then)
    request = evaluation.request_of(old, embedded(old["data"]["name"]))
    result = done(evaluating.generate(studio, request, store_dir))
    new = json.loads(json.dumps(evaluation.card(result)))
    for model, was in zip(result.models, old["models"], strict=True):
        if identity(model.snapshot) != {name: was[name] for name in identity(model.snapshot)}:
            pytest.skip(f"{model.name} is another one by now")
    assert [model.computed for model in result.models] == [0] * len(old["models"])
    assert new["samples"] == old["samples"]
    assert "no difference was tested" in new["verdict"] or len(old["models"]) == 1, "of 4 samples"
    for now, was in zip(new["models"], old["models"], strict=True):
        assert now["outputs"] == was["outputs"]
        for metric, score in was["scores"].items():
            assert now["scores"][metric]["value"] == pytest.approx(score["value"], rel=1e-3)


# Votes


def check_board(ballots: list[Ballot]) -> None:
    board = leaderboard(ballots, "write")
    assert (board.votes, board.ties, board.all_bad) == (12, 2, 1)
    assert [each.model for each in board.standings] == list(WRITERS)
    assert [each.best for each in board.standings] == [6, 3]
    for standing, points in zip(board.standings, (1057.55, 942.45), strict=True):
        assert standing.rating is not None
        assert standing.rating.points == pytest.approx(points, abs=0.01)
        assert standing.verdict.startswith("no difference shown")


def test_the_log_of_votes_opens_and_takes_more(log: VoteLog) -> None:
    ballots = log.ballots()
    check_board(ballots)
    log.append(ballots[0])
    assert log.ballots("write") == [*ballots, ballots[0]]
    assert log.ballots("paint") == []


def test_exported_votes_and_a_card_s_are_those_of_the_log(log: VoteLog) -> None:
    found = card_of("card-votes.json")
    assert read_votes(DATA / "votes.jsonl") == log.ballots() == ballots_of(found)
    check_board(ballots_of(found))


def test_a_card_of_votes_is_worked_out_again_from_the_log(studio: Studio, log: VoteLog) -> None:
    old = card_of("card-votes.json")
    again = replay_card(studio, old, Sources(data=str(DATA / "votes.sqlite3"), is_owner=True))
    (method,) = (line for line in again.lines if line.text.startswith("signature: was "))
    assert "ci:bootstrap-1000" in method.text and "ci:profile-likelihood" in method.text
    ratings = [line.text for line in again.lines if line.text.startswith(WRITERS)]
    assert len(ratings) == len(WRITERS)
    assert all(
        text.partition(": ")[2].split()[0] == text.partition(", was ")[2].split()[0]
        for text in ratings
    ), "the same points, with intervals of another method"
    assert again.made["log"] == old["log"]
    setup = votes_setup(old, LIMITS)
    assert (setup.task, setup.models) == ("write", WRITERS)
    linked = vote_link.decode(old["link"].removeprefix("?vote="), LIMITS)
    assert (linked.task, linked.models) == ("write", WRITERS)


# Links


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link['parameter']}-{link['text'][:9]}")
def test_a_link_holds_the_fields_that_it_held(link: dict[str, Any]) -> None:
    kind: Any = KINDS_OF_LINKS[link["parameter"]]
    setup = kind.decode(link["text"], LIMITS)
    fields = setup if isinstance(setup, dict) else json.loads(json.dumps(asdict(setup)))
    assert holds(flat(link["fields"]) if kind is compare_link else link["fields"], fields)
    text = kind.encode(setup)
    assert kind.decode(text, LIMITS) == setup
    assert text == link["text"] or any(name in str(fields) for name in LATER)
    assert link["query"] == f"?{kind.PARAMETER}={link['text']}"
