"""Adapters count in the memory budget beside the model that they are put on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import OutOfBudget
from pipelines.hub import resolve
from pipelines.hub.preflight import preflight
from pipelines.runtime.adapters import memory_of
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation import pipeline as writing
from pipelines.text_generation.pipeline import TextDelta, TextRequest
from tests import tiny_models
from tests.running import finished
from tests.runtime.test_residency import held, names, ready


def test_adapters_count_while_they_are_on_and_no_longer(settings: Settings, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        base = settings.models_dir / "tiny-writer"
        tiny_models.make_text_lora(tmp_path / "own" / name, base, seed)
    studio = Studio(replace(settings, extra_models_dir=tmp_path / "own"))
    request = TextRequest("tiny-writer", "Once", 8, seed=1)
    finished(writing.generate, studio, request)
    bare = held(studio.residency)
    each = memory_of(resolve("tiny-writer + a", "write", studio.settings).adapters, studio.device)
    run = writing.generate(studio, replace(request, model="tiny-writer + a + b:0.5"))
    while not isinstance(next(run), TextDelta):
        pass
    assert held(studio.residency) == bare + 2 * sum(each.values()) > bare
    run.close()
    assert held(studio.residency) == bare


def test_the_budget_holds_with_several_adapters(settings: Settings, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        base = settings.models_dir / "tiny-writer"
        tiny_models.make_text_lora(tmp_path / "own" / name, base, seed)
    own = replace(settings, extra_models_dir=tmp_path / "own")
    composed = "tiny-writer + a + b"
    needed = preflight(composed, "write", own, Studio(own).device).expected_memory_bytes
    request = TextRequest(composed, "Once", 4, seed=1)
    with pytest.raises(OutOfBudget, match="tiny-writer with its adapters needs about"):
        finished(writing.generate, Studio(replace(own, memory_budget_bytes=needed - 1)), request)
    studio = Studio(replace(own, memory_budget_bytes=int(1.1 * needed)))
    other = ready(studio.residency.lease("other", lambda: 0, lambda _: needed // 2))
    with pytest.raises(OutOfBudget):
        finished(writing.generate, studio, request)
    other.release()
    finished(writing.generate, studio, request)
    assert names(studio.residency)[0].startswith("tiny-writer@")
    assert len(names(studio.residency)) == 1
