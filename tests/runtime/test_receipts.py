"""A receipt is enough to make a result again, and tells what is not as it was."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from PIL import Image

from pipelines.device import hardware
from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.hub import Adapter, resolve
from pipelines.image_captioning import pipeline as describing
from pipelines.runtime.receipts import (
    SCHEMA,
    hash_pictures,
    hash_text,
    make_receipt,
    versions,
)
from pipelines.runtime.studio import Studio
from pipelines.sharing import replay
from pipelines.sharing.replay import request_fields
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting

Run = Callable[[Studio, Any], Generator[Any, None, Any]]
PICTURE = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
CASES: dict[str, tuple[Run, Any, dict[str, Any]]] = {
    "write": (writing.generate, writing.TextRequest("tiny-writer", "The wolf", 24), {}),
    "paint": (
        painting.generate,
        painting.PaintRequest("tiny-painter", "a cat", steps=4, count=2),
        {},
    ),
    "paint, ancestral": (
        painting.generate,
        painting.PaintRequest("tiny-painter", "a dog", steps=4, scheduler="Euler ancestral"),
        {},
    ),
    "describe": (
        describing.generate,
        describing.CaptionRequest("tiny-captioner", PICTURE, method="sampling", count=4),
        {"picture": PICTURE},
    ),
}


def result_of(run: Run, studio: Studio, request: Any) -> Any:
    *_, result = with_result(run(studio, request))
    return result


def through_json(receipt: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(receipt))
    return value


def again(name: str, receipt: dict[str, Any]) -> Any:
    """The request that a receipt tells, as it comes from a file."""
    _, request, not_in_receipt = CASES[name]
    fields = request_fields(through_json(receipt), receipt["task"])
    return type(request)(**fields, **not_in_receipt)


@pytest.mark.parametrize("name", CASES)
def test_a_receipt_run_again_gives_the_same_output(name: str, studio: Studio) -> None:
    run, request, _ = CASES[name]
    first = result_of(run, studio, request)  # without a seed: one is drawn
    second = result_of(run, studio, again(name, first.receipt))
    assert second.receipt["output_sha256"] == first.receipt["output_sha256"]
    assert output(second) == output(first)
    if name == "paint":
        # the size of the picture is written down, so a receipt stands on its own
        assert first.receipt["request"]["width"] == 128
    assert differences(first.receipt, second.receipt) == []


@pytest.mark.parametrize("name", CASES)
def test_a_receipt_run_again_beside_other_runs_gives_the_same_output(
    name: str, studio: Studio
) -> None:
    run, request, _ = CASES[name]
    first = result_of(run, studio, request)
    is_over = threading.Event()
    failures: list[BaseException] = []

    def disturb() -> None:
        seed = 0
        try:
            while not is_over.is_set():
                seed += 1
                result_of(run, studio, dataclasses.replace(request, seed=seed))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            second = result_of(run, studio, again(name, first.receipt))
            assert second.receipt["output_sha256"] == first.receipt["output_sha256"]
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.parametrize("name", CASES)
def test_another_seed_gives_another_output_and_the_receipt_says_so(
    name: str, studio: Studio
) -> None:
    run, request, _ = CASES[name]
    first = result_of(run, studio, dataclasses.replace(request, seed=1))
    second = result_of(run, studio, dataclasses.replace(request, seed=2))
    assert differences(first.receipt, second.receipt) == [
        "request seed: was 1, is 2",
        "the output itself",
    ]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [line.text for line in replay.differences(old, new) if not line.is_equal]


def output(result: Any) -> Any:
    """What the visitor gets, in comparable form."""
    if hasattr(result, "pictures"):
        return [picture.tobytes() for picture in result.pictures]
    return result.captions if hasattr(result, "captions") else result.text


def test_a_receipt_is_plain_json_with_all_that_is_needed(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", max_new_tokens=3, seed=0)
    result = result_of(writing.generate, studio, request)
    receipt = result.receipt
    assert through_json(receipt) == receipt
    assert receipt["schema"] == SCHEMA
    assert receipt["task"] == "write"
    assert receipt["model"]["reference"] == "tiny-writer"
    assert len(receipt["model"]["commit"]) == 40
    assert receipt["request"] == json.loads(json.dumps(dataclasses.asdict(request)))
    assert receipt["device"]["kind"] == studio.device.kind
    assert receipt["device"]["dtype"] == studio.device.dtype_name
    assert set(receipt["versions"]) == {
        "python",
        "torch",
        "transformers",
        "diffusers",
        "peft",
        "tokenizers",
    }
    assert set(receipt["timings_seconds"]) == {"load", "first_token", "total"}
    assert receipt["output_sha256"] == hash_text(result.text)


def test_the_seed_that_was_drawn_is_written_down(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", max_new_tokens=3)
    result = result_of(writing.generate, studio, request)
    assert result.receipt["request"]["seed"] == result.seed
    assert isinstance(result.seed, int)


def test_a_receipt_names_the_picture_and_does_not_hold_it(studio: Studio) -> None:
    request = describing.CaptionRequest("tiny-captioner", PICTURE, count=1, max_new_tokens=3)
    receipt = result_of(describing.generate, studio, request).receipt
    assert "picture" not in receipt["request"]
    assert receipt["request"]["picture_sha256"] == hash_pictures([PICTURE])


@pytest.mark.parametrize(
    "given",
    [None, 7, "{}", [], {}, {"schema": 2, "task": "write", "request": {}}, {"schema": "1"}],
)
def test_what_is_no_receipt_is_refused(given: object) -> None:
    with pytest.raises(InvalidValue, match=f"no receipt of this page.*schema {SCHEMA}"):
        request_fields(given, "write")


def test_a_receipt_of_another_task_is_refused() -> None:
    receipt = {"schema": SCHEMA, "task": "paint", "request": {}}
    with pytest.raises(InvalidValue, match="of the task 'paint'; here 'write' is needed"):
        request_fields(receipt, "write")


@pytest.mark.parametrize("fields", [None, [], "model", {"model": "m", "prompt": "p", "rm": "-rf"}])
def test_fields_that_no_request_has_are_refused(fields: object) -> None:
    receipt = {"schema": SCHEMA, "task": "write", "request": fields}
    with pytest.raises(
        InvalidValue, match=r"The receipt's request (is|has the unknown field 'rm')"
    ):
        request_fields(receipt, "write")


def test_a_field_that_there_was_not_yet_takes_its_default() -> None:
    fields: dict[str, Any] = {"model": "tiny-writer", "prompt": "Once", "seed": 3}
    receipt = {"schema": 1, "task": "write", "request": fields}
    made = writing.TextRequest(**request_fields(receipt, "write"))
    assert made == writing.TextRequest(**fields)


def test_differences_name_what_changed_and_leave_timings_out() -> None:
    old = {
        "task": "write",
        "model": {"reference": "m", "commit": "1"},
        "device": {"kind": "cpu"},
        "versions": {"torch": "2.12"},
        "request": {"seed": 1},
        "timings_seconds": {"total": 1.0},
        "output_sha256": "aa",
    }
    new = {
        "task": "write",
        "model": {"reference": "m", "commit": "2"},
        "device": {"kind": "cuda", "dtype": "float16"},
        "versions": {"torch": "2.13"},
        "request": {"seed": 1},
        "timings_seconds": {"total": 2.0},
        "output_sha256": "bb",
    }
    assert differences(old, old) == []
    assert differences(old, new) == [
        "model commit: was 1, is 2",
        "version of torch: was 2.12, is 2.13",
        "device dtype: was None, is float16",
        "device kind: was cpu, is cuda",
        "the output itself",
    ]


def test_a_field_that_requests_did_not_have_yet_had_its_default(studio: Studio) -> None:
    """A new setting made every older receipt of its task differ, though nothing had changed."""
    request = writing.TextRequest("tiny-writer", "Once", max_new_tokens=3, seed=0)
    snapshot = resolve("tiny-writer", "write", studio.settings)
    new = make_receipt("write", snapshot, request, 0, studio.device, {}, "aa")
    fields = {name: value for name, value in new["request"].items() if name != "top_k"}
    assert differences({**new, "request": fields}, new) == []
    other = {**new, "request": {**new["request"], "top_k": 7}}
    assert differences({**new, "request": fields}, other) == ["request top_k: was 50, is 7"]


def test_the_hardware_counts_where_the_receipt_tells_it(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", max_new_tokens=3, seed=0)
    snapshot = resolve("tiny-writer", "write", studio.settings)
    new = make_receipt("write", snapshot, request, 0, studio.device, {}, "aa")
    assert new["device"]["hardware"] == hardware()
    old = through_json(new)
    old["device"]["hardware"] = "another"
    assert differences(old, new) == [f"device hardware: was another, is {hardware()}"]
    del old["device"]["hardware"]
    assert differences(old, new) == []


def test_adapters_are_in_the_receipt_and_old_receipts_have_none(studio: Studio) -> None:
    request = writing.TextRequest("tiny-writer", "Once", max_new_tokens=3, seed=0)
    snapshot = resolve("tiny-writer", "write", studio.settings)
    adapter = Adapter("grimm", snapshot.path, "c" * 40, 0.5, 100)

    def receipt(adapters: tuple[Adapter, ...]) -> dict[str, Any]:
        used = dataclasses.replace(snapshot, adapters=adapters)
        made = make_receipt("write", used, request, 0, studio.device, {}, "aa")
        return through_json(made)

    bare, composed = receipt(()), receipt((adapter,))
    one = {"reference": "grimm", "commit": "c" * 40, "weight": 0.5}
    assert composed["model"] == {**bare["model"], "adapters": [one]}
    assert differences(composed, bare) == [f"model adapters: was {[one]}, is []"]
    weaker = receipt((dataclasses.replace(adapter, weight=0.25),))
    assert len(differences(composed, weaker)) == 1

    del bare["model"]["adapters"]
    assert differences(bare, receipt(())) == differences(receipt(()), bare) == []
    assert request_fields(bare, "write")["model"] == "tiny-writer"


def test_the_hash_of_pictures_is_of_their_pixels() -> None:
    one = Image.new("RGB", (2, 3), "red")
    assert hash_pictures([one]) == hash_pictures([one.copy()])
    assert hash_pictures([one]) == hash_pictures([one.convert("RGBA")])
    others = [
        [Image.new("RGB", (3, 2), "red")],
        [Image.new("RGB", (2, 3), "blue")],
        [one, one],
        [],
    ]
    assert len({hash_pictures([one]), *(hash_pictures(other) for other in others)}) == 5


def test_versions_are_those_of_the_libraries_that_compute() -> None:
    import torch

    assert versions()["torch"] == torch.__version__
