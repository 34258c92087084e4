"""Every type of language model that transformers has writes, or a table says why not.

Two dozen of them run always, the ones that break first; ``--every-type`` runs them all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.device import Device
from pipelines.hub import resolve
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from pipelines.text_generation.writer import load_writer
from tests.running import finished
from tests.text_generation.every_type import CANNOT, TYPES, make

ALWAYS = {
    "causal": """bloom gemma2 gpt2 gpt_neo gpt_oss lfm2 llama mamba opt qwen3_5_text rwkv
        xlnet""".split(),
    "seq2seq": "bart led longt5 m2m_100 mt5 switch_transformers t5gemma".split(),
    "fill-mask": "deberta-v2 electra longformer modernbert mpnet xlm".split(),
}
README = ROOT / "pipelines/text_generation/README.md"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        types = TYPES if metafunc.config.getoption("--every-type") else ALWAYS
        cases = [
            pytest.param(family, kind, id=f"{family}-{kind}")
            for family, kinds in types.items()
            for kind in kinds
            if kind not in CANNOT[family]
        ]
        metafunc.parametrize(("family", "kind"), cases)


def _settings(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", data_dir=tmp_path / "data", hub_enabled=False)


def test_it_writes(tmp_path: Path, family: str, kind: str) -> None:
    make(kind, family, tmp_path / "models" / "tiny")
    gap = " <mask>" if family == "fill-mask" else ""
    request = TextRequest("tiny", f"the wolf went to the{gap}", max_new_tokens=3, seed=0)
    result: Any = finished(generate, Studio(_settings(tmp_path)), request)
    assert 1 <= result.new_tokens <= 3
    assert (result.family == "fill-mask") == (result.finish_reason == "gaps filled")


@pytest.mark.parametrize(
    ("name", "attention"), [("llama", "sdpa"), ("gpt_oss", "eager"), ("mamba", "eager")]
)
def test_attention_is_sdpa_where_the_model_supports_it(
    tmp_path: Path, name: str, attention: str
) -> None:
    make(name, "causal", tmp_path / "models" / "tiny")
    snapshot = resolve("tiny", "write", _settings(tmp_path))
    model = load_writer(snapshot, Device("cpu", "float32", "")).model
    assert model.config._attn_implementation == attention


def test_the_readme_has_all_types_that_do_not_write() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", README.read_text(), re.MULTILINE)
    expected = {
        (kind, family, reason) for family, why in CANNOT.items() for kind, reason in why.items()
    }
    assert set(rows) == expected
    assert all(kind in TYPES[family] for kind, family, _ in expected)
