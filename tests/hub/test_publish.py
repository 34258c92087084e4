"""Publishing: what is refused here, what the Hub refuses, and what can be opened again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.errors import InvalidValue
from pipelines.hub.publish import PublishFailed, check_folder, publish
from pipelines.settings import ROOT
from tests.loopback_hub import MAIN
from tests.loopback_uploads import Uploads, serve_uploads

TOKEN = "hf_a_token_to_write_with"
OWNERS = "hf_the_owners_secret_token"
OPEN = """
import sys
from pathlib import Path
from pipelines.hub import resolve
from pipelines.settings import Settings
opened = resolve(sys.argv[1], "write", Settings(data_dir=Path(sys.argv[2])))
print(opened.commit, opened.path, sep="\\n")
"""
CARD = "---\nlicense: apache-2.0\nbase_model: tiny-writer\n---\n\n# A fine-tune\n"


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path) -> Path:
    """A whole tiny writer with a card."""
    path = tmp_path / "tuned"
    path.mkdir()
    for file in (models_dir / "tiny-writer").iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    (path / "README.md").write_text(CARD)
    (path / "training_log.jsonl").write_text('{"step": 0}\n')
    return path


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    """A Hub to upload to, with the owner of this machine logged in somewhere else."""
    from huggingface_hub import constants

    with serve_uploads(tmp_path / "store", TOKEN) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        monkeypatch.setenv("HF_TOKEN", OWNERS)
        yield running


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


# What is not fit to be published


def test_a_fine_tune_with_card_and_safetensors_is_fit(folder: Path) -> None:
    check_folder(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "state.pt", "model.ckpt", "a.pkl", "modeling.py", "run.sh", "x.h5"),
        *("deeper/model.pickle", ".env", ".git/config", "weights"),
    ],
)
def test_pickles_code_and_hidden_files_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"anything")
    with pytest.raises(InvalidValue, match=r"is not published: allowed are \.safetensors"):
        check_folder(folder)


def test_links_are_refused_wherever_they_lead(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "notes.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InvalidValue, match=r"notes\.txt is a link"):
        check_folder(folder)
    (folder / "notes.txt").unlink()
    (folder / "inside").symlink_to(tmp_path)
    with pytest.raises(InvalidValue, match="inside is a link"):
        check_folder(folder)
    (tmp_path / "other").symlink_to(folder)
    with pytest.raises(InvalidValue, match="other is a link"):
        check_folder(tmp_path / "other")


def test_weights_and_card_must_be_there(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("# no front matter")
    with pytest.raises(InvalidValue, match="begins with front matter"):
        check_folder(folder)
    (folder / "README.md").unlink()
    with pytest.raises(InvalidValue, match=r"no README\.md"):
        check_folder(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidValue, match="no safetensors weights"):
        check_folder(folder)
    with pytest.raises(InvalidValue, match="no folder 'gone'"):
        check_folder(tmp_path / "gone")


@pytest.mark.parametrize("key", ["_name_or_path", "base_model_name_or_path"])
@pytest.mark.parametrize("place", ["/mnt/disk/model", "~/model", "../model", "C:\\model", "./m"])
def test_a_path_for_a_base_is_refused(folder: Path, key: str, place: str) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({key: place}))
    with pytest.raises(InvalidValue, match=r"adapter_config\.json names .* a path of this machine"):
        check_folder(folder)
    (folder / "adapter_config.json").write_text(json.dumps({key: "owner/repo"}))
    check_folder(folder)


def test_a_path_in_the_card_or_the_log_is_refused(folder: Path) -> None:
    (folder / "README.md").write_text(CARD.replace("tiny-writer", "/mnt/disk/model"))
    with pytest.raises(InvalidValue, match=r"README\.md names '/mnt/disk/model'"):
        check_folder(folder)
    (folder / "README.md").write_text(f"{CARD}\nTrained on {Path.home()}/diary.txt\n")
    if len(Path.home().parts) > 1:
        with pytest.raises(InvalidValue, match=r"README\.md names"):
            check_folder(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "samples.txt").write_text(f"from {folder.parent}/texts")
    with pytest.raises(InvalidValue, match=r"samples\.txt names"):
        check_folder(folder)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_texts_are_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InvalidValue, match=r"config\.json is not"):
        check_folder(folder)


@pytest.mark.parametrize(
    "repo",
    [
        *("", "ada", "ada/", "/x", "ada/x/y", "../x/y", "ada/..", "a--b/c", "ada/x@v1"),
        *("https://hf.co/ada/x", None, 7, True, float("nan"), ["ada/x"], "x" * 10_000),
    ],
)
def test_a_name_that_is_no_repository_is_refused(folder: Path, repo: Any) -> None:
    with pytest.raises(InvalidValue, match="give owner/name") as caught:
        publish(folder, repo, TOKEN)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("token", ["", " ", None, True, False])
def test_no_token_is_ever_taken_for_granted(folder: Path, uploads: Uploads, token: Any) -> None:
    with pytest.raises(InvalidValue, match="There is no token to publish with"):
        publish(folder, "ada/tuned", token)
    assert uploads.hub.requests == []


# On a Hub


def test_what_is_published_lies_there_byte_for_byte(folder: Path, uploads: Uploads) -> None:
    assert publish(folder, "ada/tuned", TOKEN, message="First try") == f"ada/tuned@{MAIN}"
    assert files_in(uploads.folder("ada/tuned")) == files_in(folder)
    assert uploads.private == {"ada/tuned": True}
    assert uploads.messages == ["First try"]
    sent = [headers.get("authorization") for _, headers in uploads.hub.requests]
    assert f"Bearer {TOKEN}" in sent
    assert OWNERS not in str(sent)


def test_publishing_again_replaces_and_stays_private(folder: Path, uploads: Uploads) -> None:
    publish(folder, "ada/tuned", TOKEN)
    (folder / "samples.txt").write_text("better")
    publish(folder, "ada/tuned", TOKEN)
    assert files_in(uploads.folder("ada/tuned"))["samples.txt"] == b"better"


def test_what_is_to_be_private_never_goes_to_a_public_repository(
    folder: Path, uploads: Uploads
) -> None:
    publish(folder, "ada/shown", TOKEN, private=False)
    assert uploads.private == {"ada/shown": False}
    (folder / "samples.txt").write_text("a secret")
    with pytest.raises(InvalidValue, match="is there already and is public"):
        publish(folder, "ada/shown", TOKEN)
    assert "samples.txt" not in files_in(uploads.folder("ada/shown"))
    publish(folder, "ada/shown", TOKEN, private=False)
    assert "samples.txt" in files_in(uploads.folder("ada/shown"))


def test_the_hub_s_refusals_say_what_to_do(folder: Path, uploads: Uploads) -> None:
    with pytest.raises(PublishFailed, match="does not know the token"):
        publish(folder, "ada/tuned", "hf_unknown")
    with pytest.raises(PublishFailed, match="may not write to eve/tuned"):
        publish(folder, "eve/tuned", TOKEN)
    uploads.fails = 400
    with pytest.raises(PublishFailed, match=r"refused ada/tuned \(Not now\)"):
        publish(folder, "ada/tuned", TOKEN)


def test_a_hub_that_cannot_be_reached_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.utils._http as transport
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(transport, "time", SimpleNamespace(sleep=lambda seconds: None))
    with pytest.raises(PublishFailed, match="could not be reached for ada/tuned"):
        publish(folder, "ada/tuned", TOKEN)


def test_what_the_command_published_is_opened_again_by_its_reference(
    folder: Path, tmp_path: Path
) -> None:
    """Both in processes of their own: the Hub's client reads its environment once."""
    with serve_uploads(tmp_path / "store", TOKEN) as running:
        environment = {**os.environ, "HF_ENDPOINT": running.endpoint, "HF_HOME": str(tmp_path)}
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-m", "pipelines.recipes.finetune", "publish"]
        options = ["--folder", str(folder), "--repo", "ada/tuned"]
        tokenless = run([*command, *options], {**environment, "HF_TOKEN": ""})
        assert tokenless.returncode == 1
        assert "There is no token" in tokenless.stderr
        assert "Traceback" not in tokenless.stderr
        published = run([*command, *options, "--public"], {**environment, "HF_TOKEN": TOKEN})
        assert published.returncode == 0, published.stderr[-2000:]
        reference = published.stdout.strip().splitlines()[-1]
        assert reference == f"ada/tuned@{MAIN}"
        opened = run([sys.executable, "-c", OPEN, reference, str(tmp_path / "data")], environment)
        assert opened.returncode == 0, opened.stderr[-2000:]
    commit, path = opened.stdout.splitlines()[-2:]
    assert commit == MAIN
    weights = Path(path) / "model.safetensors"
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
