"""A checkpoint is loaded whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pipelines.errors import LoadFailed
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from tests.running import finished


def test_a_checkpoint_that_lacks_weights_is_refused(settings: Settings, tmp_path: Path) -> None:
    """transformers gave the missing layer random weights, and the page wrote nonsense."""
    folder = tmp_path / "extra" / "half-writer"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "down_proj" in name)
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    studio = Studio(replace(settings, extra_models_dir=folder.parent))
    with pytest.raises(LoadFailed, match=f"1 of its weights are missing, {lost}"):
        finished(generate, studio, TextRequest("half-writer", "Once", 4))
    assert finished(generate, studio, TextRequest("tiny-writer", "Once", 4)).new_tokens > 0


def test_a_configuration_chooses_no_kernel_and_no_other_file(
    settings: Settings, tmp_path: Path
) -> None:
    """It could name code on the Hub for its attention, and weights that nobody had looked at."""
    folder = tmp_path / "extra" / "writer"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    config = json.loads((folder / "config.json").read_text())
    wishes = {
        "attn_implementation": "eve/kernel",
        "_attn_implementation": "eve/kernel",
        "_attn_implementation_internal": "eve/kernel",
        "experts_implementation": "eve/kernel",
        "transformers_weights": "other.safetensors",
    }
    (folder / "config.json").write_text(json.dumps({**config, **wishes}))
    (folder / "other.safetensors").write_bytes(b"no weights")
    studio = Studio(replace(settings, extra_models_dir=folder.parent))
    request = TextRequest("writer", "Once", 4, seed=0)
    same = replace(request, model="tiny-writer")
    assert finished(generate, studio, request).text == finished(generate, studio, same).text
