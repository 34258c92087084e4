"""The upload side of a Hub on loopback: what ``create_repo`` and ``upload_folder`` ask for.

It stores into folders that ``loopback_hub`` serves, so that what was published is opened
from there again. Weights and pictures go by LFS, as on the Hub; the rest in the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.loopback_hub import MAIN, Hub, Repository, build, refusal

LFS_ENDINGS = (".safetensors", ".png")
OWNER = "ada"


@dataclass
class Uploads:
    """A running Hub that takes uploads from one account.

    ``private`` says so of each repository that was made; ``fails`` answers the commit with
    this status.
    """

    hub: Hub
    store: Path
    token: str
    private: dict[str, bool] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    fails: int | None = None

    @property
    def endpoint(self) -> str:
        return self.hub.endpoint

    def folder(self, repo: str) -> Path:
        return self.store / repo.replace("/", "--")


def add_uploads(app: FastAPI, uploads: Uploads) -> None:
    """Adds the routes to a Hub; they come before its own."""
    before = list(app.router.routes)
    objects: dict[str, bytes] = {}

    def refused(request: Request, owner: str) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {uploads.token}":
            return refusal(401, "", "Invalid credentials in Authorization header")
        if owner != OWNER:
            return refusal(403, "", f"You don't have the rights to write to {owner}")
        return None

    @app.get("/api/agent-harnesses")
    async def harnesses() -> Response:
        return Response(status_code=404)

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Response:
        content = (await request.json())["content"]
        named = "license:" in content and content.startswith("---\n")
        errors = [] if named else [{"message": "no licence"}]
        return JSONResponse({"errors": errors, "warnings": []}, 200 if named else 400)

    @app.post("/api/repos/create")
    async def create(request: Request) -> Response:
        asked = await request.json()
        owner, name = asked.get("organization", OWNER), asked["name"]
        if (answer := refused(request, owner)) is not None:
            return answer
        repo = f"{owner}/{name}"
        url = {"url": f"{uploads.endpoint}/{repo}"}
        if repo in uploads.private:
            return JSONResponse({**url, "error": "You already created this model repo"}, 409)
        uploads.private[repo] = bool(asked.get("private") or asked.get("visibility") == "private")
        uploads.folder(repo).mkdir(parents=True)
        uploads.hub.repositories[repo] = Repository(uploads.folder(repo))
        return JSONResponse(url)

    @app.get("/api/models/{owner}/{name}")
    async def info(request: Request, owner: str, name: str) -> Response:
        repo = f"{owner}/{name}"
        authorised = request.headers.get("authorization") == f"Bearer {uploads.token}"
        if repo not in uploads.private or (uploads.private[repo] and not authorised):
            return refusal(401, "RepoNotFound", "Repository not found")
        value = {"id": repo, "sha": MAIN, "private": uploads.private[repo], "tags": []}
        return JSONResponse({**value, "siblings": [], "gated": False})

    @app.post("/api/models/{owner}/{name}/preupload/main")
    async def preupload(request: Request, owner: str, name: str) -> Response:
        if (answer := refused(request, owner)) is not None:
            return answer
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_ENDINGS) else "regular",
                "shouldIgnore": False,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": files})

    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request, owner: str, name: str) -> Response:
        if (answer := refused(request, owner)) is not None:
            return answer
        rows = [
            {**row, "actions": {"upload": {"href": f"{uploads.endpoint}/lfs/{row['oid']}"}}}
            for row in (await request.json())["objects"]
        ]
        media = "application/vnd.git-lfs+json"
        return JSONResponse({"transfer": "basic", "objects": rows}, media_type=media)

    @app.put("/lfs/{oid}")
    async def put(request: Request, oid: str) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            return Response(status_code=400)
        objects[oid] = content
        return Response()

    @app.post("/api/models/{owner}/{name}/commit/main")
    async def commit(request: Request, owner: str, name: str) -> Response:
        if (answer := refused(request, owner)) is not None:
            return answer
        if uploads.fails is not None:
            return refusal(uploads.fails, "", "Not now")
        folder = uploads.folder(f"{owner}/{name}")
        for line in (await request.body()).splitlines():
            _apply(json.loads(line), folder, objects, uploads.messages)
        url = f"{uploads.endpoint}/{owner}/{name}/commit/{MAIN}"
        return JSONResponse({"commitOid": MAIN, "commitUrl": url, "hookOutput": ""})

    added = [route for route in app.router.routes if route not in before]
    app.router.routes[:] = [*added, *before]


def _apply(
    line: dict[str, Any], folder: Path, objects: dict[str, bytes], messages: list[str]
) -> None:
    value = line["value"]
    match line["key"]:
        case "header":
            messages.append(value["summary"])
        case "file":
            _write(folder / value["path"], base64.b64decode(value["content"]))
        case "lfsFile":
            _write(folder / value["path"], objects[value["oid"]])


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextmanager
def serve_uploads(store: Path, token: str) -> Iterator[Uploads]:
    """A Hub without repositories on a free port of loopback, that takes uploads."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        hub = Hub(f"http://127.0.0.1:{listener.getsockname()[1]}", {})
        uploads = Uploads(hub, store, token)
        app = build(hub)
        add_uploads(app, uploads)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield uploads
        finally:
            server.should_exit = True
            thread.join(10)
