"""A Hub on loopback: as much of huggingface.co as a plain download needs, and its refusals.

Repositories are folders. It remembers every request's headers, so that a test can prove
what was not sent.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

MAIN = "a" * 40
"""The commit of every repository's main branch."""

V1 = "b" * 40
"""The commit of its tag ``v1``."""

_REVISIONS = {"main": MAIN, MAIN: MAIN, "v1": V1, V1: V1}


@dataclass
class Repository:
    """A folder of files and how it answers.

    ``gated`` refuses all but the file list; ``drops`` ends each download of weights
    half way; ``v1`` lies in a folder of its own where one is given.
    """

    main: Path
    v1: Path | None = None
    gated: bool = False
    drops: bool = False

    def folder(self, commit: str) -> Path:
        return self.v1 if commit == V1 and self.v1 is not None else self.main


@dataclass
class Hub:
    """A running Hub: its address, and what it was asked."""

    endpoint: str
    repositories: dict[str, Repository]
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def asked_for(self, part: str) -> list[str]:
        return [line for line, _ in self.requests if part in line]


def files_of(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def refusal(status: int, code: str, message: str) -> Response:
    """An error as the Hub sends it: the client reads the header."""
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    return JSONResponse({"error": message}, status_code=status, headers=headers)


def build(hub: Hub) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def remember(request: Request, call_next: Any) -> Any:
        hub.requests.append((f"{request.method} {request.url.path}", dict(request.headers)))
        return await call_next(request)

    def find(name: str, revision: str) -> tuple[Repository, str] | Response:
        repository = hub.repositories.get(name)
        if repository is None:
            return refusal(401, "RepoNotFound", "Repository not found")
        commit = _REVISIONS.get(revision)
        if commit is None:
            return refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    @app.get("/api/models/{owner}/{name}")
    @app.get("/api/models/{owner}/{name}/revision/{revision:path}")
    async def info(owner: str, name: str, revision: str = "main") -> Response:
        found = find(f"{owner}/{name}", revision)
        if isinstance(found, Response):
            return found
        repository, commit = found
        siblings = [{"rfilename": path} for path in files_of(repository.folder(commit))]
        value = {"id": f"{owner}/{name}", "sha": commit, "siblings": siblings, "private": False}
        return JSONResponse({**value, "gated": "auto" if repository.gated else False, "tags": []})

    @app.get("/api/models/{owner}/{name}/tree/{revision}")
    async def tree(owner: str, name: str, revision: str) -> Response:
        found = find(f"{owner}/{name}", revision)
        if isinstance(found, Response):
            return found
        repository, commit = found
        folder = repository.folder(commit)
        rows = [
            {"type": "file", "path": p, "size": (folder / p).stat().st_size, "oid": oid(folder / p)}
            for p in files_of(folder)
        ]
        return JSONResponse(rows)

    @app.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    async def resolve(
        request: Request, owner: str, name: str, revision: str, path: str
    ) -> Response:
        found = find(f"{owner}/{name}", revision)
        if isinstance(found, Response):
            return found
        repository, commit = found
        if repository.gated:
            return refusal(403, "GatedRepo", "Access to this model is restricted")
        file = repository.folder(commit) / path
        if not file.is_file():
            return refusal(404, "EntryNotFound", "Entry not found")
        content = file.read_bytes()
        headers = {
            "ETag": f'"{oid(file)}"',
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(content)),
            "Content-Length": str(len(content)),
        }
        if request.method == "HEAD":
            return Response(headers=headers)
        if repository.drops and path.endswith(".safetensors"):
            return StreamingResponse(half_of(content), headers=headers)
        return Response(content, headers=headers, media_type="application/octet-stream")

    return app


async def half_of(content: bytes) -> AsyncIterator[bytes]:
    """Half of what was announced; the server then closes the connection."""
    yield content[: len(content) // 2]
    raise ConnectionResetError("dropped on purpose")


def oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@contextmanager
def serve(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """A Hub with these repositories on a free port of loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        hub = Hub(f"http://127.0.0.1:{listener.getsockname()[1]}", repositories)
        server = uvicorn.Server(uvicorn.Config(build(hub), log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join(10)
