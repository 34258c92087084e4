"""The model card of what was trained on emoji scenes, from the scores of the saved files."""

from __future__ import annotations

from collections.abc import Mapping

from huggingface_hub import ModelCardData

from pipelines.recipes import results
from pipelines.recipes.training import Run

DATA = """scenes drawn during training by `pipelines/recipes/emoji_scenes` from the glyphs of \
Noto Color Emoji (SIL Open Font License 1.1); a tenth of the emoji-and-colour combinations and \
all pairs with twenty emoji are held out"""


def write_card(
    run: Run,
    recipe: str,
    library: str,
    pipeline_tag: str,
    about: str,
    evaluated: str,
    scores: Mapping[str, float],
) -> None:
    """``README.md`` of the run's checkpoint.

    Args:
        recipe: the name of its folder.
        library: whose format the files have, ``transformers`` or ``diffusers``.
        about: what the model is and how it is used, in Markdown.
        evaluated: on what ``scores`` were measured, a clause without a full stop.
    """
    metadata = ModelCardData(
        license="apache-2.0",
        library_name=library,
        pipeline_tag=pipeline_tag,
        tags=["emoji-scenes"],
    )
    rows = [(name, f"{value:.3f}") for name, value in scores.items()]
    results.write_run_card(
        run,
        recipe,
        metadata,
        DATA,
        f"{run.options.batch_size} pictures",
        about,
        f"{evaluated}, from the saved files:",
        results.table(("what", "value"), rows),
    )
