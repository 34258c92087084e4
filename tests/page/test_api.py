"""The page's named endpoints, called as programs call them: good input and bad."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from tests.page.conftest import ROOT, Server

WRITE = {
    "model": "fairytale-gpt",
    "prompt": "Once upon a time",
    "max_new_tokens": 12,
    "temperature": 0.8,
    "top_p": 0.95,
    "top_k": 50,
    "seed": 7,
}
PAINT = {
    "model": "emoji-painter",
    "prompt": "a red apple on a white background",
    "negative_prompt": "",
    "steps": 4,
    "guidance_scale": 4.0,
    "scheduler": "DDIM",
    "seed": 7,
    "count": 1,
    "width": 0,
    "height": 0,
}
PICTURE = ROOT / "assets/examples/2-big-pizza.png"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    client = Client(server.url, verbose=False)
    yield client
    client.close()


def describe_fields(path: Path = PICTURE, **changed: Any) -> dict[str, Any]:
    fields = {
        "model": "emoji-captioner",
        "picture": handle_file(str(path)),
        "method": "beams",
        "count": 3,
        "temperature": 0.7,
        "max_new_tokens": 30,
        "seed": 7,
        "prompt": "",
    }
    return {**fields, **changed}


def call(client: Client, api_name: str, fields: dict[str, Any]) -> tuple[Any, ...]:
    """By position: the endpoints' parameters are documented in this order."""
    result: tuple[Any, ...] = client.predict(*fields.values(), api_name=api_name)
    return result


def test_a_program_reads_an_error_as_it_is(client: Client) -> None:
    """The page reads errors as HTML and gets them escaped; a program got ``&lt;`` as well."""
    with pytest.raises(Exception, match="<b>") as raised:
        call(client, "/describe", describe_fields(model="<b>"))
    assert "&lt;" not in str(raised.value)


def test_every_tab_is_a_named_endpoint_with_documented_parameters(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {
        "/write", "/chat", "/paint", "/describe", "/compare", "/evaluate", "/duel", "/vote",
        "/fine_tune", "/search_models", "/check_model",
    }  # fmt: skip
    for endpoint in endpoints.values():
        assert endpoint["description"]
        assert all(p["label"] for p in endpoint["parameters"])
    for name in endpoints:
        told = endpoints[name]["description"]
        assert all(f"{p['parameter_name']}:" in told for p in endpoints[name]["parameters"]), name


def test_the_types_of_the_api_are_what_the_server_takes(server: Server) -> None:
    """Models were one of a list where any reference is taken, and whole numbers any number."""
    info = httpx.get(f"{server.url.rstrip('/')}/gradio_api/info").json()["named_endpoints"]
    fields = [each for endpoint in info.values() for each in endpoint["parameters"]]
    whole = {"max_new_tokens", "steps", "count", "top_k", "sample_size", "steps_a", "captions_b"}
    references = {"model", "model_a", "model_b", "base", "clip", "extractor", "data"}
    assert whole | references <= {each["parameter_name"] for each in fields}
    for each in fields:
        name, declared = each["parameter_name"], each["type"]
        if name in whole:
            assert declared["type"] == "integer", name
        if name in references and declared.get("type") == "string":
            assert "enum" not in declared, name
        if "enum" in declared and each["parameter_has_default"]:
            assert each["parameter_default"] in declared["enum"], name


def test_write_gives_the_same_text_for_the_same_seed(client: Client) -> None:
    first, *_, receipt = call(client, "/write", WRITE)
    second, *_ = call(client, "/write", WRITE)
    assert first == second
    assert first.startswith(WRITE["prompt"])
    assert receipt["request"]["seed"] == 7


def test_write_streams_while_it_writes(client: Client) -> None:
    job = client.submit(*{**WRITE, "max_new_tokens": 120}.values(), api_name="/write")
    lengths = [len(part[0]) for part in job if isinstance(part[0], str)]
    assert len(set(lengths)) > 2
    assert lengths == sorted(lengths)


def test_paint_gives_the_same_pixels_for_the_same_seed(client: Client) -> None:
    one, two = (call(client, "/paint", PAINT)[-1]["output_sha256"] for _ in range(2))
    assert one == two


def test_describe_gives_captions_with_falling_probabilities(client: Client) -> None:
    best, _, _, table, _, receipt = call(client, "/describe", describe_fields())
    percentages = [float(row[1].rstrip(" %")) for row in table["data"]]
    assert best == table["data"][0][0]
    assert percentages == sorted(percentages, reverse=True)
    assert receipt["task"] == "describe"


BAD_WRITE = [
    ("prompt", "x" * 100_000, "100,000"),
    ("prompt", 12, "prompt"),
    ("max_new_tokens", 0, "New tokens|max_new_tokens"),
    ("max_new_tokens", 10_000, "New tokens|max_new_tokens"),
    ("max_new_tokens", 5.5, "max_new_tokens"),
    ("max_new_tokens", "many", "max_new_tokens|New tokens"),
    ("max_new_tokens", True, "max_new_tokens"),
    ("temperature", 7, "temperature"),
    ("temperature", False, "temperature"),
    ("temperature", -1, "Temperature|temperature"),
    ("top_k", None, "top_k"),
    ("seed", "seven", "seed|Seed"),
    ("seed", 2**64, "seed"),
    ("model", "no-such-model", "fairytale-gpt"),
    ("model", "", "fairytale-gpt"),
    ("model", None, "fairytale-gpt"),
    ("model", "emoji-painter", "paints pictures"),
    ("model", "/etc/passwd", "fairytale-gpt"),
    ("model", "../assets/models/fairytale-gpt", "fairytale-gpt"),
    ("model", str(ROOT / "assets/models/fairytale-gpt"), "fairytale-gpt"),
    ("model", "assets/models", "without it"),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD_WRITE)
def test_write_refuses_bad_input_with_words(
    client: Client, field: str, value: Any, words: str
) -> None:
    with pytest.raises(Exception, match=words):
        call(client, "/write", {**WRITE, field: value})


BAD_PAINT = [
    ("prompt", "x " * 50_000, "100,000"),
    ("steps", 0, "steps|Steps"),
    ("steps", -2, "steps|Steps"),
    ("steps", 10_000, "steps|Steps"),
    ("steps", "ten", "steps|Steps"),
    ("guidance_scale", 31, "guidance_scale"),
    ("scheduler", "magic", "magic"),
    ("count", True, "count"),
    ("count", 0, "count"),
    ("width", 100, "multiple of 8"),
    ("height", 4096, "height"),
    ("height", -8, "height"),
    ("model", "fairytale-gpt", "writes text"),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD_PAINT)
def test_paint_refuses_bad_input_with_words(
    client: Client, field: str, value: Any, words: str
) -> None:
    with pytest.raises(Exception, match=words):
        call(client, "/paint", {**PAINT, field: value})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("method", "guessing", "guessing"),
        ("count", 0, "count is 0"),
        ("prompt", "what is this?", "emoji-captioner takes none"),
        ("prompt", 12, "prompt is 12"),
    ],
)
def test_describe_refuses_bad_input_with_words(
    client: Client, field: str, value: Any, words: str
) -> None:
    with pytest.raises(Exception, match=words):
        call(client, "/describe", describe_fields(**{field: value}))


def hollow_png(width: int, height: int) -> bytes:
    """A valid PNG of one-bit pixels, all black: tiny as a file, large when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def broken_files() -> dict[str, tuple[bytes, str]]:
    jpeg = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(jpeg, "JPEG")
    return {
        "empty.png": (b"", "empty|0 bytes"),
        "truncated.jpg": (jpeg.getvalue()[:2000], "damaged"),
        "bomb.png": (hollow_png(8000, 6250), "pixels"),
        "text.png": (b"not a picture at all", "no picture"),
    }


@pytest.mark.parametrize("name", sorted(broken_files()))
def test_describe_refuses_broken_pictures_within_bounded_memory(
    client: Client, server: Server, tmp_path: Path, name: str
) -> None:
    content, words = broken_files()[name]
    path = tmp_path / name
    path.write_bytes(content)
    call(client, "/describe", describe_fields())
    before = server.memory_bytes()
    with pytest.raises(Exception, match=words):
        call(client, "/describe", describe_fields(path))
    assert server.memory_bytes() - before < 150 * 1024**2
    call(client, "/describe", describe_fields())


def test_describe_samples_too_and_tells_a_stranger(client: Client, tmp_path: Path) -> None:
    _, _, note, table, _, receipt = call(
        client, "/describe", describe_fields(method="sampling", temperature=3)
    )
    assert 1 < len(table["data"]) <= 3, "captions that are drawn twice are told once"
    assert receipt["request"]["method"] == "sampling"
    assert "emoji scenes only" not in str(note)
    Image.effect_noise((128, 128), 120).convert("RGB").save(tmp_path / "noise.png")
    best, _, note, *_ = call(client, "/describe", describe_fields(tmp_path / "noise.png"))
    assert "emoji scenes only" in str(note)
    assert best


NOT_UPLOADED = [
    {"path": str(PICTURE)},  # a picture, and on the server
    {"path": "/etc/passwd"},
    {"path": "/nowhere.png"},
    {"path": ".."},
    {"path": "\0"},
    {},
    [],
    12,
    "abc",
]


@pytest.mark.parametrize("picture", NOT_UPLOADED, ids=repr)
def test_pictures_are_uploads_alone(server: Server, picture: Any) -> None:
    """Any picture on the server could be described: Gradio's check is of files with ``meta``."""
    values = [*{**describe_fields(), "picture": picture}.values(), -1, -1]
    assert "no file that was uploaded here" in posted(server, "describe", values)


def posted(server: Server, name: str, values: list[Any]) -> str:
    """The answer to a call by hand: the client of Gradio sends no wrong file."""
    address = f"{server.url}gradio_api/call/{name}"
    event = httpx.post(address, json={"data": values}, timeout=30).json()["event_id"]
    return httpx.get(f"{address}/{event}", timeout=60).text


def test_to_describe_takes_a_picture(client: Client) -> None:
    with pytest.raises(Exception, match="There is no picture yet"):
        call(client, "/describe", {**describe_fields(), "picture": None})


def compare_fields(client: Client, **changed: Any) -> dict[str, Any]:
    """The endpoint's own defaults, but for what is changed."""
    (endpoint,) = (
        e for name, e in client.view_api(return_format="dict")["named_endpoints"].items()
        if name == "/compare"
    )  # fmt: skip
    fields = {p["parameter_name"]: p["parameter_default"] for p in endpoint["parameters"]}
    assert set(changed) <= set(fields)
    return {**fields, "seed": 7, "max_new_tokens": 8, **changed}


def test_compare_writes_and_paints_with_both_models(client: Client) -> None:
    told = client.predict(**compare_fields(client), api_name="/compare")
    assert sum(isinstance(part, str) and part.startswith("Once upon") for part in told) == 2
    painted = compare_fields(
        client, task="paint", prompt="a red apple on a white background",
        model_a="emoji-painter", model_b="emoji-painter", steps_a=2, steps_b=3,
    )  # fmt: skip
    assert "steps" in str(client.predict(**painted, api_name="/compare"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"task": "sing"}, "sing"),
        ({"model_b": "no-such-model"}, "fairytale-gpt"),
        ({"model_a": "/etc/passwd"}, "fairytale-gpt"),
        ({"task": "describe", "model_a": "emoji-captioner", "model_b": "emoji-captioner"},
         "picture"),
        ({"prompt": "x" * 100_000}, "100,000"),
        ({"max_new_tokens": True}, "max_new_tokens"),
    ],
)  # fmt: skip
def test_compare_refuses_bad_input_with_words(
    client: Client, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        client.predict(**compare_fields(client, **changed), api_name="/compare")


def test_a_refused_request_does_not_disturb_a_run(client: Client) -> None:
    alone, *_ = call(client, "/write", {**WRITE, "max_new_tokens": 60})
    job = client.submit(*{**WRITE, "max_new_tokens": 60}.values(), api_name="/write")
    with pytest.raises(Exception, match=r"steps|Steps"):
        call(client, "/paint", {**PAINT, "steps": 0})
    text, *_ = job.result()
    assert text == alone


def test_a_cancelled_job_frees_the_queue(client: Client) -> None:
    job = client.submit(*{**WRITE, "max_new_tokens": 400}.values(), api_name="/write")
    next(iter(job))
    job.cancel()
    text, *_ = call(client, "/write", WRITE)
    assert text.startswith(WRITE["prompt"])
