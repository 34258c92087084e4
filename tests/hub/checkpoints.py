"""Folders that look like checkpoints, as far as configuration and files go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LLAMA = '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'


def checkpoint(parent: Path, name: str, config: str | dict[str, Any], *files: str) -> Path:
    """A configuration and files: safetensors of one number each, others of 64 zero bytes."""
    folder = parent / name
    folder.mkdir(parents=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)
    for file in files:
        if file.endswith(".safetensors"):
            save_file({"weight": np.zeros(1, np.float32)}, folder / file)
        else:
            (folder / file).write_bytes(b"\0" * 64)
    return folder
