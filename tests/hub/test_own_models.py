"""The table of this repository's own classes."""

from __future__ import annotations

import inspect

import pytest

from pipelines.hub.own_models import CLASSES, own_class


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_of_the_table_is_defined_in_a_recipes_model(name: str) -> None:
    kind = own_class(name)
    assert inspect.isclass(kind)
    assert kind.__module__ == CLASSES[name]
    assert kind.__module__.startswith("pipelines.recipes.") and kind.__module__.endswith(".model")
    assert hasattr(kind, "from_pretrained")


@pytest.mark.parametrize("name", [None, 7, "", "torch", "pipelines.recipes.patches.model"])
def test_what_is_not_in_the_table_is_no_class_of_ours(name: object) -> None:
    assert own_class(name) is None
