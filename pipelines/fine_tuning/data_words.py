"""What is said of a visitor's data before it is trained on."""

from __future__ import annotations

from pipelines.device import mebibytes
from pipelines.files.imagefolder import DataReport
from pipelines.files.texts import TextReport, few_notes, held_out_count


def in_words(report: TextReport | DataReport, windows: str | None = None) -> str:
    """What there is, what has to be mended, and what is held out, a line each.

    Args:
        windows: how many tokens texts have, in a sentence.
    """
    if isinstance(report, TextReport):
        lines = [
            f"{_counted(report.files, 'text')}, {report.words:,} words, "
            f"{report.characters:,} characters",
            *([windows] if windows else []),
            _split(report.passages, report.held_out, "passages"),
        ]
        notes = report.notes
    else:
        sizes = ", ".join(f"{count} of {size}" for size, count in list(report.sizes.items())[:3])
        held_out = held_out_count(report.usable)
        lines = [
            f"{report.usable:,} usable pictures of {report.pictures:,}"
            + (f" ({sizes}), {mebibytes(report.bytes)}" if sizes else ""),
            _split(report.usable, held_out, "pictures"),
            *_several(*report.captions_each),
        ]
        notes = (*report.notes, *(() if report.problems else few_notes(held_out)))
    if report.problems:
        return "\n".join([lines[0], "To mend before training:", *report.problems, *notes])
    return "\n".join([*lines, *notes])


def _several(fewest: int, most: int) -> list[str]:
    """A line where pictures have more captions than one."""
    if most == 1:
        return []
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    return [f"{count} captions a picture, one drawn at each showing."]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _split(count: int, held_out: int, what: str) -> str:
    return f"Enough to train: {count - held_out:,} {what} to train on, {held_out:,} held out."
