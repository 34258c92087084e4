"""The scenes that evaluations are tested on."""

from tests.evaluation.conftest import scenes, scenes_dir

__all__ = ["scenes", "scenes_dir"]
