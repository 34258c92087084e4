"""Breaks one line in each of some thirty functions and checks that a test fails each time.

    python -m tests.breaks [--only WORD]

The tests of a break first have to pass as they are; then a break that none of them notices is a
hole in them. All happens in a copy of the tree; what ``--only`` names is a part of a file's or a
function's name.
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
    Break("hub/model_cards.py", "_claims", 'if arguments.get("warning"):', 'if not arguments.get("warning"):', "hub/test_model_cards.py"),
    Break("runtime/residency.py", "lease", "if needed_bytes > self.budget_bytes:", "if needed_bytes > 2 * self.budget_bytes:", "runtime/test_residency.py"),
    Break("runtime/sampling.py", "processors", "if top_p < 1:", "if top_p > 1:", "runtime/test_sampling.py"),
    Break("files/archive.py", "safe_name", 'or ".." in parts', "", "files/test_archive.py"),
    Break("files/images.py", "on_white", '"white")', '"black")', "files/test_images.py"),
    Break("metrics/rouge.py", "_f_measure", "recall = max(", "recall = min(", "metrics/test_captions.py"),
    Break("metrics/paired.py", "holm", "(len(p_values) - rank)", "len(p_values)", "metrics/test_paired.py"),
    Break("datasets/samples.py", "DataSet.drawn", "default_rng(seed)", "default_rng(0)", "datasets/test_samples.py"),
    Break("text_generation/pipeline.py", "tokens_left", "self.context_tokens - 1 - self.new_tokens", "self.context_tokens - self.new_tokens", "text_generation/test_families.py"),
    Break("text_generation/gaps.py", "_with_best", 'word.removeprefix("##")', "word", "text_generation/test_families.py"),
    Break("text_to_image/own_settings.py", "own_family", "said.steps >= FAMILIES[kind].steps:", "said.steps > FAMILIES[kind].steps:", "text_to_image/test_own_settings.py"),
    Break("text_to_image/world.py", "notes", "unknown[:3]:", "unknown[:2]:", "text_to_image/test_world.py"),
    Break("image_captioning/search.py", "_log_probabilities", " - logits.logsumexp(1)[rows]", "", "image_captioning/test_pipeline.py"),
    Break("model_comparison/report.py", "_faster", "if max(left.seconds, right.seconds)", "if min(left.seconds, right.seconds)", "model_comparison/test_report.py"),
    Break("evaluation/conclude.py", "_differing", "if spread[place] > 0]", "if spread[place] >= 0]", "evaluation/test_pipeline.py -k held_against"),
    Break("evaluation/tables.py", "_comparison", '(found["difference"] > 0)', '(found["difference"] < 0)', "evaluation/test_report.py"),
    Break("arena/leaderboard.py", "_tally", "(place, TIE, ALL_BAD)", "(place, TIE)", "arena/test_leaderboard.py"),
    Break("arena/seating.py", "shuffled", "if most - fewest >= AHEAD:", "if most - fewest > AHEAD:", "arena/test_seating.py"),
    Break("sharing/links.py", "packed", "if len(text) > MOST_CHARACTERS:\n        raise InvalidValue(\n            f\"A link to", "if len(text) >= 2 * MOST_CHARACTERS:\n        raise InvalidValue(\n            f\"A link to", "model_comparison/test_link.py"),
    Break("sharing/replay.py", "Replayed.is_equal", "return all(", "return any(", "sharing/test_replay.py"),
    Break("fine_tuning/pipeline.py", "_checked_files", "(not takes_texts and len(files) > 1)", "(takes_texts and len(files) > 1)", "fine_tuning/test_pipeline.py -k counted"),
    Break("models/presets.py", "presets_for", "p.gigabytes * _GIGABYTE < device_memory_bytes", "p.gigabytes * _GIGABYTE > device_memory_bytes", "models/test_presets.py"),
    Break("page/errors.py", "for_people", "html.escape(str(error), quote=False)", "str(error)", "page/test_ui.py"),
    Break("page/status.py", "Pace.is_due", "if now < self._next:", "if now > self._next:", "page/test_ui.py"),
    Break("recipes/training.py", "learning_rate_at", "if progress < warmup:", "if progress > warmup:", "recipes/test_training.py -k learning_rate"),
    Break("recipes/training.py", "_load_state", "self.optimizer.load_state_dict(state[\"optimizer\"])", "pass", "recipes/test_training.py -k same_bits"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    chosen = [each for each in BREAKS if only in each.file or only in each.function]
    if not chosen:
        parser.error(f"no file and no function has {only!r} in its name")
    with tempfile.TemporaryDirectory(prefix="triptych-breaks-") as folder:
        tree = copied(Path(folder))
        passing = {tests: outcome(tests, tree) for tests in dict.fromkeys(b.tests for b in chosen)}
        verdicts = [checked(each, tree, passing[each.tests]) for each in chosen]
    print(f"{verdicts.count('caught')} of {len(chosen)} breaks were caught")
    return 0 if set(verdicts) == {"caught"} else 1


def copied(tree: Path) -> Path:
    """A tree whose code is a copy; the models are linked, for nothing writes to them."""
    unwanted = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in ("pipelines", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for name in ("app.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "assets").symlink_to(ROOT / "assets")
    return tree


def checked(broken: Break, tree: Path, unbroken: str) -> str:
    """``caught``, ``SURVIVED``, or why it cannot be told; printed with the time it took.

    Args:
        unbroken: the outcome of the tests on the tree as it is.
    """
    file = tree / "pipelines" / broken.file
    text = file.read_text("utf-8")
    began = time.monotonic()
    if unbroken != "passed":
        verdict = f"{broken.tests} {unbroken} without a break"
    elif text.count(broken.right) != 1:
        verdict = f"the line stands there {text.count(broken.right)} times"
    else:
        file.write_text(text.replace(broken.right, broken.wrong), "utf-8")
        broke = outcome(broken.tests, tree)
        verdict = {"failed": "caught", "passed": "SURVIVED"}.get(broke, broke)
        file.write_text(text, "utf-8")
    print(f"{verdict:9} {time.monotonic() - began:5.1f} s  {broken.file}: {broken.function}")
    return verdict


def outcome(tests: str, tree: Path) -> str:
    """``passed``, ``failed``, or what kept pytest from running these tests."""
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
    known = {0: "passed", 1: "failed", 5: "selected no test"}
    return known.get(run.returncode, f"ended with pytest's code {run.returncode}")


if __name__ == "__main__":
    sys.exit(main())
