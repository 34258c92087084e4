"""What the figures of all reports share: colours, fields without frames, and PNG files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (
    "#1f6663", "#c2703d", "#5a5247", "#7a4f8a", "#3d6fb0", "#a8434b", "#6b8e23", "#8c7a3d",
)  # fmt: skip


def fields(
    count: int = 1, width: float = 6.4, height: float = 3.6, left: float = 0.14
) -> tuple[Figure, list[Any]]:
    """A figure with so many fields, two in a row.

    Args:
        width: of a field, in inches; ``height`` likewise.
        left: the share of a field's width that its labels take.
    """
    from matplotlib.figure import Figure

    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows))
    # Fixed margins: a layout engine draws everything twice to find them.
    margins = {
        "bottom": 0.15 * 3.6 / height / rows, "top": 1 - 0.04 / rows,
        "left": left / columns, "right": 1 - 0.03 / columns, "wspace": 0.2,
    }  # fmt: skip
    drawn = figure.subplots(rows, columns, squeeze=False, gridspec_kw=margins).flatten()
    for unused in drawn[count:]:
        figure.delaxes(unused)
    for field in drawn[:count]:
        field.grid(alpha=0.3)
        field.spines[["top", "right"]].set_visible(False)
    return figure, list(drawn[:count])


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def plain(name: str) -> str:
    """A name escaped for matplotlib, where dollars begin a formula."""
    return name.replace("$", r"\$")
