"""Whose token is sent: nobody's, unless the owner is alone and wants it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.device import Device
from pipelines.errors import StudioError
from pipelines.hub.preflight import preflight
from pipelines.hub.search import search
from pipelines.image_captioning import pipeline as describing
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting
from tests.loopback_hub import MAIN, Hub, Repository
from tests.running import finished

SECRET = "hf_the_owners_secret_token"


def ask(hub: Hub, settings: Settings, home: Path, **options: Any) -> dict[str, Any]:
    """Resolves a private model in a fresh process whose owner is logged in at the Hub."""
    home.mkdir(parents=True)
    (home / "token").write_text(SECRET)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": SECRET,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    environment.pop("HF_HUB_DISABLE_IMPLICIT_TOKEN", None)  # the code's own refusal has to do
    environment.pop("HF_HUB_OFFLINE", None)
    paths = {"models_dir": str(settings.models_dir), "data_dir": str(home / "data")}
    task = {"settings": {**paths, **options}, "references": [["ada/own", "write"]]}
    child = subprocess.run(
        [sys.executable, "-m", "tests.hub_client"],
        cwd=ROOT,
        env=environment,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    (answer,) = json.loads(child.stdout)
    return dict(answer)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_own_token": True, "share": True},
        {"use_own_token": True, "host": "0.0.0.0"},
    ],
    ids=["by default", "shared", "open to others"],
)
def test_the_owners_token_is_not_sent(
    online: Settings, hub: Hub, tmp_path: Path, options: dict[str, Any]
) -> None:
    hub.repositories["ada/own"] = Repository(online.models_dir / "tiny-writer", private=SECRET)
    answer = ask(hub, online, tmp_path / "home", **options)
    assert answer["error"] == "ModelUnavailable"
    assert "no public model ada/own" in answer["message"]
    assert hub.requests
    for line, headers in hub.requests:
        assert "authorization" not in headers, line
        assert SECRET not in str(headers), line


@pytest.fixture
def logged_in(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's token lies where the Hub's client looks for it, and nothing forbids it to."""
    (tmp_path / "token").write_text(SECRET)
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_visitors_run_sends_no_token_from_the_search_to_the_result(
    online: Settings, hub: Hub, logged_in: None
) -> None:
    from huggingface_hub import HfApi

    for task in ("writer", "painter", "captioner"):
        hub.repositories[f"ada/{task}"] = Repository(online.models_dir / f"tiny-{task}")
    HfApi().model_info("ada/writer")  # whoever forgets to say "no token" sends the owner's
    assert hub.requests.pop()[1]["authorization"] == f"Bearer {SECRET}"

    search("write", "", online)
    preflight("ada/writer", "write", online, Device("cpu", "float32", ""))
    studio, picture = Studio(online), Image.new("RGB", (32, 32))
    finished(writing.generate, studio, writing.TextRequest("ada/writer", "Once", 2))
    finished(painting.generate, studio, painting.PaintRequest("ada/painter", "a cat", steps=1))
    request = describing.CaptionRequest("ada/captioner", picture, count=1, max_new_tokens=2)
    finished(describing.generate, studio, request)
    assert {"writer", "painter", "captioner"} == {path.split("/")[1] for path in hub.sent}
    for line, headers in hub.requests:
        assert "authorization" not in headers, line
        assert SECRET not in str(headers), line


def test_an_owner_who_is_alone_may_open_their_own(
    online: Settings, hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["ada/own"] = Repository(online.models_dir / "tiny-writer", private=SECRET)
    answer = ask(hub, online, tmp_path / "home", use_own_token=True)
    assert answer["commit"] == MAIN


def test_the_environment_tells_of_token_and_disk() -> None:
    chosen = Settings.from_env({"TRIPTYCH_OWN_TOKEN": "1", "TRIPTYCH_DISK_BUDGET_GIB": "2"})
    assert (chosen.use_own_token, chosen.disk_budget_bytes) == (True, 2 * 1024**3)
    default = Settings.from_env({})
    assert (default.use_own_token, default.disk_budget_bytes) == (False, 30 * 1024**3)
    with pytest.raises(StudioError, match="TRIPTYCH_DISK_BUDGET_GIB is 'x'"):
        Settings.from_env({"TRIPTYCH_DISK_BUDGET_GIB": "x"})
