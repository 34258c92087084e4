"""Resolves references in a process of its own: the Hub's client reads its environment once.

    echo '{"settings": {...}, "references": [["owner/repo", "write"]]}' | python -m tests.hub_client

Prints a JSON list: for each reference its snapshot, or the error that a visitor would see.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipelines.errors import StudioError
from pipelines.hub import resolve
from pipelines.settings import Settings


def main() -> None:
    task = json.load(sys.stdin)
    paths: dict[str, Any] = {
        name: Path(task["settings"].pop(name)) for name in ("models_dir", "data_dir")
    }
    settings = Settings(**paths, **task["settings"])
    answers = [answer(reference, kind, settings) for reference, kind in task["references"]]
    json.dump(answers, sys.stdout)


def answer(reference: str, kind: Any, settings: Settings) -> dict[str, Any]:
    try:
        snapshot = resolve(reference, kind, settings)
    except StudioError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"commit": snapshot.commit, "path": str(snapshot.path)}


if __name__ == "__main__":
    main()
