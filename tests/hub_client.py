"""Resolves references in a process of its own: the Hub's client reads its environment once.

    echo '{"settings": {...}, "references": [["owner/repo", "write"]]}' | python -m tests.hub_client

Prints a JSON list: for each reference its snapshot, or the error that a visitor would see.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines.errors import StudioError
from pipelines.hub import resolve
from pipelines.settings import Settings


def main() -> None:
    task = json.load(sys.stdin)
    import huggingface_hub.utils._http as transport

    transport.time = SimpleNamespace(sleep=lambda seconds: None)  # type: ignore[attr-defined]
    settings = Settings(**{name: Path(path) for name, path in task["settings"].items()})
    answers = [answer(reference, kind, settings) for reference, kind in task["references"]]
    json.dump(answers, sys.stdout)


def answer(reference: str, kind: Any, settings: Settings) -> dict[str, Any]:
    lines: list[str] = []
    try:
        snapshot = resolve(reference, kind, settings, lines.append)
    except StudioError as error:
        return {"error": type(error).__name__, "message": str(error), "lines": lines}
    files = sorted(f.relative_to(snapshot.path).as_posix() for f in snapshot.path.rglob("*.*"))
    return {**asdict(snapshot), "path": str(snapshot.path), "files": files, "lines": lines}


if __name__ == "__main__":
    main()
