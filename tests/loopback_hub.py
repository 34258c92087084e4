"""A Hub on loopback: as much of huggingface.co as looking, searching and fetching need.

Repositories are folders. It remembers every request's headers, so that a test can prove
what was not sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
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

    ``gated`` refuses all but the file list; ``private`` is there for its owner's token alone;
    ``drops`` ends each download of weights half way, or the first so many of them, and
    ``refuses_ranges_of_downloads`` lets none be taken up again; ``slow`` is a pause between
    pieces, in seconds; ``v1`` lies in a folder of its own where one is given; ``card`` is what
    the README's front matter says, and ``facts`` what a search tells beside it; ``weights`` is
    how the names of files end that downloads of weights are of.

    ``pulls`` are open pull requests by number, each with its title and its files.

    A data set goes by ``datasets/owner/name``.
    """

    main: Path
    v1: Path | None = None
    gated: bool = False
    private: str | None = None
    drops: bool | int = False
    refuses_ranges_of_downloads: bool = False
    slow: float = 0.0
    commit: str = MAIN
    card: dict[str, Any] = field(default_factory=dict)
    pulls: dict[int, tuple[str, Path]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    weights: str = ".safetensors"

    def folder(self, commit: str) -> Path:
        if commit.startswith("refs/pr/"):
            return self.pulls[int(commit.removeprefix("refs/pr/"))][1]
        return self.v1 if commit == V1 and self.v1 is not None else self.main


@dataclass
class Hub:
    """A running Hub: its address, and what it was asked."""

    endpoint: str
    repositories: dict[str, Repository]
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes of content sent, by path."""

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

    def find(request: Request, name: str, revision: str) -> tuple[Repository, str] | Response:
        repository = hub.repositories.get(name)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if repository is None or repository.private not in (None, bearer):
            return refusal(401, "RepoNotFound", "Repository not found")
        own = {"main": repository.commit, repository.commit: repository.commit}
        own |= {f"refs/pr/{number}": f"refs/pr/{number}" for number in repository.pulls}
        commit = own.get(revision) or _REVISIONS.get(revision)
        if commit is None:
            return refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    @app.get("/api/models")
    async def search(search: str = "", pipeline_tag: str = "", limit: int = 20) -> Response:
        rows = [
            {"id": name, "cardData": repository.card, **repository.facts}
            for name, repository in hub.repositories.items()
            if search in name and repository.facts.get("pipeline_tag") == pipeline_tag
        ]
        return JSONResponse(rows[:limit])

    @app.get("/api/models/{owner}/{name}")
    @app.get("/api/models/{owner}/{name}/revision/{revision:path}")
    async def info(request: Request, owner: str, name: str, revision: str = "main") -> Response:
        found = find(request, f"{owner}/{name}", revision)
        if isinstance(found, Response):
            return found
        repository, commit = found
        folder = repository.folder(commit)
        siblings = [
            {"rfilename": path, "size": (folder / path).stat().st_size} for path in files_of(folder)
        ]
        value = {
            "id": f"{owner}/{name}",
            "sha": commit,
            "siblings": siblings,
            "private": repository.private is not None,
            "gated": "auto" if repository.gated else False,
            "cardData": repository.card,
            "tags": [],
        }
        return JSONResponse(value)

    @app.get("/api/models/{owner}/{name}/discussions")
    async def discussions(owner: str, name: str) -> Response:
        rows = [
            {
                "title": title, "num": number, "author": {"name": "bot"}, "status": "open",
                "createdAt": "2026-01-01T00:00:00.000Z", "isPullRequest": True,
                "repo": {"name": f"{owner}/{name}", "type": "model"},
            }
            for number, (title, _) in hub.repositories[f"{owner}/{name}"].pulls.items()
        ]  # fmt: skip
        return JSONResponse({"discussions": rows, "count": len(rows), "start": 0})

    @app.get("/api/models/{owner}/{name}/tree/{revision}")
    async def tree(request: Request, owner: str, name: str, revision: str) -> Response:
        found = find(request, f"{owner}/{name}", revision)
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
        found = find(request, f"{owner}/{name}", revision)
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
            "Accept-Ranges": "bytes",
        }
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(len(content))})
        status, first, last = 200, 0, len(content) - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if match is not None:
            status, first = 206, int(match[1])
            last = min(last, int(match[2] or last))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        headers["Content-Length"] = str(len(part))
        is_resumed = status == 206 and first > 0 and not match[2] if match else False
        if is_resumed and repository.refuses_ranges_of_downloads:
            return refusal(503, "", "Try again later")
        is_cut = path.endswith(repository.weights) and bool(repository.drops) and status == 200
        if is_cut and repository.drops is not True:
            repository.drops -= 1
        pieces = sent(hub, f"{owner}/{name}/{path}", part, is_cut, repository.slow)
        return StreamingResponse(pieces, status_code=status, headers=headers)

    @app.get("/api/datasets/{owner}/{name}")
    @app.get("/api/datasets/{owner}/{name}/revision/{revision:path}")
    async def data_info(
        request: Request, owner: str, name: str, revision: str = "main"
    ) -> Response:
        return await info(request, f"datasets/{owner}", name, revision)

    @app.api_route(
        "/datasets/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"]
    )
    async def resolve_data(
        request: Request, owner: str, name: str, revision: str, path: str
    ) -> Response:
        return await resolve(request, f"datasets/{owner}", name, revision, path)

    return app


async def sent(
    hub: Hub, path: str, content: bytes, is_cut: bool, pause_seconds: float
) -> AsyncIterator[bytes]:
    """The content in pieces; half of it where the connection is then to be cut."""
    whole = len(content)
    for begin in range(0, whole // 2 if is_cut else whole, 16_384):
        piece = content[begin : begin + 16_384]
        hub.sent[path] = hub.sent.get(path, 0) + len(piece)
        yield piece
        await asyncio.sleep(pause_seconds)
    if is_cut:
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
