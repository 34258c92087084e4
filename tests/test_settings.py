"""Settings come from one mapping, and what cannot be read is named."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pipelines.errors import StudioError
from pipelines.settings import ROOT, Settings, gibibytes


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_the_embedded_models_are_found_wherever_the_page_is_started() -> None:
    assert Settings().models_dir == ROOT / "assets" / "models"
    assert (ROOT / "app.py").is_file()


def test_every_variable_reaches_its_field() -> None:
    settings = Settings.from_env(
        {
            "TRIPTYCH_HOST": "0.0.0.0",
            "TRIPTYCH_PORT": "8080",
            "TRIPTYCH_SHARE": "yes",
            "TRIPTYCH_PASSWORD": "sesame",
            "TRIPTYCH_MODEL_DIR": "/srv/models",
            "TRIPTYCH_DATA_DIR": "~/studio",
            "TRIPTYCH_MEMORY_BUDGET_GIB": "1.5",
            "TRIPTYCH_HUB": "0",
        }
    )
    assert settings == Settings(
        host="0.0.0.0",
        port=8080,
        share=True,
        password="sesame",
        extra_models_dir=Path("/srv/models"),
        data_dir=Path.home() / "studio",
        memory_budget_bytes=3 * 1024**3 // 2,
        hub_enabled=False,
    )


def test_a_space_names_its_host_by_gradios_variable() -> None:
    assert Settings.from_env({"GRADIO_SERVER_NAME": "0.0.0.0"}).host == "0.0.0.0"
    both = {"GRADIO_SERVER_NAME": "0.0.0.0", "TRIPTYCH_HOST": "10.0.0.1"}
    assert Settings.from_env(both).host == "10.0.0.1"


@pytest.mark.parametrize("empty", ["TRIPTYCH_PORT", "TRIPTYCH_PASSWORD", "TRIPTYCH_SHARE"])
def test_an_empty_variable_is_as_if_not_set(empty: str) -> None:
    assert Settings.from_env({empty: ""}) == Settings()


def test_blanks_set_no_switch_and_are_a_password() -> None:
    assert Settings.from_env({"TRIPTYCH_SHARE": " "}) == Settings()
    assert Settings.from_env({"TRIPTYCH_PASSWORD": " "}).password == " "


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRIPTYCH_PORT", "high"),
        ("TRIPTYCH_PORT", "-1"),
        ("TRIPTYCH_SHARE", "perhaps"),
        ("TRIPTYCH_HUB", "2"),
        ("TRIPTYCH_MEMORY_BUDGET_GIB", "0"),
        ("TRIPTYCH_MEMORY_BUDGET_GIB", "-4"),
        ("TRIPTYCH_MEMORY_BUDGET_GIB", "nan"),
        ("TRIPTYCH_MEMORY_BUDGET_GIB", "inf"),
        ("TRIPTYCH_MEMORY_BUDGET_GIB", "lots"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(StudioError, match=f"^{name} is '{value}'; give "):
        Settings.from_env({name: value})


def test_gibibytes_counts_in_units_of_1024() -> None:
    assert gibibytes("0.5", "x") == 512 * 1024**2


def test_settings_cannot_be_changed_after_the_start() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"TRIPTYCH_SHARE": "1"}, False),
        ({"TRIPTYCH_HOST": "0.0.0.0"}, False),
        ({"TRIPTYCH_HOST": "0.0.0.0", "TRIPTYCH_FINE_TUNE": "1"}, True),
        ({"TRIPTYCH_FINE_TUNE": "0"}, False),
    ],
)
def test_strangers_train_only_where_the_owner_says_so(
    environ: dict[str, str], expected: bool
) -> None:
    assert Settings.from_env(environ).may_fine_tune is expected
