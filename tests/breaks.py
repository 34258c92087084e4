"""Breaks one line in each of thirty functions and checks that a test fails each time.

    python -m tests.breaks [--only WORD]

The tests ran green before: a break that no test notices is a hole in them. All happens in a
copy of the tree; what ``--only`` names is a part of a file's or a function's name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.settings import ROOT


@dataclass(frozen=True)
class Break:
    """A line of ``pipelines/file`` in ``function`` made wrong, and the tests that must notice.

    ``right`` occurs once in the file.
    """

    file: str
    function: str
    right: str
    wrong: str
    tests: str


BREAKS = (
    Break("validation.py", "whole_number", "not low <= value <= high:\n        raise InvalidValue(\n            f\"{name} is {abbreviated(value)}; give a whole", "not low <= value < high:\n        raise InvalidValue(\n            f\"{name} is {abbreviated(value)}; give a whole", "test_validation.py"),
    Break("settings.py", "is_private", "not self.share and", "not self.share or", "test_settings.py"),
    Break("settings.py", "gibibytes", "not 0 < value", "not 0 <= value", "test_settings.py"),
    Break("device.py", "mebibytes", "count < 100 * _MIB else", "count > 100 * _MIB else", "test_device.py"),
    Break("hub/references.py", "parse_reference", 'or ".." in text', 'or "..." in text', "hub/test_references.py"),
    Break("hub/references.py", "composed_name", "reference if weight == 1 else", "reference if weight == 0 else", "hub/test_references.py"),
    Break("hub/offline_index.py", "record_commit", "if c != commit]", "]", "hub/test_offline.py"),
    Break("hub/disk.py", "make_room", "for one in reversed(there):", "for one in there:", "hub/test_disk.py"),
    Break("hub/selection.py", "_one_copy", 'order = ["fp16", ""] if half', 'order = ["fp16", ""] if not half', "hub/test_selection.py"),
    Break("hub/model_cards.py", "claims", 'if arguments.get("warning"):', 'if not arguments.get("warning"):', "hub/test_model_cards.py"),
    Break("runtime/residency.py", "lease", "if needed_bytes > self.budget_bytes:", "if needed_bytes > 2 * self.budget_bytes:", "runtime/test_residency.py"),
    Break("runtime/sampling.py", "processors", "if top_p < 1:", "if top_p > 1:", "runtime/test_sampling.py"),
    Break("files/archive.py", "safe_name", 'or ".." in parts', "", "files/test_archive.py"),
    Break("files/images.py", "on_white", '"white")', '"black")', "files/test_images.py"),
    Break("metrics/rouge.py", "_f_measure", "recall = max(", "recall = min(", "metrics/test_captions.py"),
    Break("metrics/paired.py", "holm", "(len(p_values) - rank)", "len(p_values)", "metrics/test_paired.py"),
    Break("datasets/samples.py", "DataSet.drawn", "default_rng(seed)", "default_rng(0)", "datasets/test_samples.py"),
    Break("text_generation/pipeline.py", "tokens_left", "self.context_tokens - 1 - self.new_tokens", "self.context_tokens - self.new_tokens", "text_generation/test_families.py"),
    Break("text_generation/gaps.py", "_with_best", 'word.removeprefix("##")', "word", "text_generation/test_families.py"),
    Break("text_to_image/families.py", "family_of", "and family.steps > steps:", "and family.steps >= steps:", "text_to_image/test_families.py"),
    Break("text_to_image/world.py", "notes", "unknown[:3]:", "unknown[:2]:", "text_to_image/test_world.py"),
    Break("image_captioning/search.py", "_log_probabilities", "- chosen.logsumexp(1, keepdim=True)", "", "image_captioning/test_pipeline.py"),
    Break("model_comparison/report.py", "_faster", "if max(left.seconds, right.seconds)", "if min(left.seconds, right.seconds)", "model_comparison/test_report.py"),
    Break("evaluation/conclude.py", "_differing", "if spread[place] > 0]", "if spread[place] >= 0]", "evaluation/test_pipeline.py -k held_against"),
    Break("evaluation/tables.py", "_comparison", '(found["difference"] > 0)', '(found["difference"] < 0)', "evaluation/test_report.py"),
    Break("arena/leaderboard.py", "_tally", "(place, TIE, ALL_BAD)", "(place, TIE)", "arena/test_leaderboard.py"),
    Break("arena/seating.py", "shuffled", "if most - fewest >= AHEAD:", "if most - fewest > AHEAD:", "arena/test_seating.py"),
    Break("sharing/links.py", "packed", "if len(text) > MOST_CHARACTERS:\n        raise InvalidValue(\n            f\"A link to", "if len(text) >= 2 * MOST_CHARACTERS:\n        raise InvalidValue(\n            f\"A link to", "model_comparison/test_link.py"),
    Break("sharing/replay.py", "Replayed.is_equal", "return all(", "return any(", "sharing/test_replay.py"),
    Break("fine_tuning/pipeline.py", "_checked_files", "(not takes_texts and len(files) > 1)", "(takes_texts and len(files) > 1)", "fine_tuning/test_pipeline.py -k counted"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    chosen = [each for each in BREAKS if only in f"{each.file} {each.function}"]
    with tempfile.TemporaryDirectory(prefix="triptych-breaks-") as folder:
        tree = copied(Path(folder))
        verdicts = [checked(each, tree) for each in chosen]
    print(f"{verdicts.count('caught')} of {len(chosen)} breaks were caught")
    return 0 if set(verdicts) <= {"caught"} else 1


def copied(tree: Path) -> Path:
    """A tree whose code is a copy; the models are linked, for nothing writes to them."""
    unwanted = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in ("pipelines", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for name in ("app.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "assets").symlink_to(ROOT / "assets")
    return tree


def checked(broken: Break, tree: Path) -> str:
    """``caught``, ``SURVIVED``, or that the line is not there; printed with the time it took."""
    file = tree / "pipelines" / broken.file
    text = file.read_text("utf-8")
    began = time.monotonic()
    if text.count(broken.right) == 1:
        file.write_text(text.replace(broken.right, broken.wrong), "utf-8")
        verdict = "caught" if fails(broken.tests, tree) else "SURVIVED"
        file.write_text(text, "utf-8")
    else:
        verdict = f"the line stands there {text.count(broken.right)} times"
    print(f"{verdict:9} {time.monotonic() - began:5.1f} s  {broken.file}: {broken.function}")
    return verdict


def fails(tests: str, tree: Path) -> bool:
    """Whether at least one of these tests fails; a run without any test is a mistake of ours."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    first, *options = tests.split()
    run = subprocess.run(
        [*command, f"tests/{first}", *options],
        cwd=tree,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout[-2000:]
    return run.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
