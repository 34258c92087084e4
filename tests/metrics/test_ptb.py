"""Words of captions: the Treebank's conventions, and scripts that it does not know."""

from __future__ import annotations

import importlib.util
import json
import time
import unicodedata
from pathlib import Path

import pytest

from pipelines.metrics import ptb
from pipelines.metrics.ptb import words
from pipelines.metrics.score import name_and_hash
from pipelines.settings import ROOT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man riding a wave on top of a surfboard.", "a man riding a wave on top of a surfboard"),
        ("Two black-and-white cats, asleep!", "two black-and-white cats asleep"),
        ("The dog's ball can't roll, won't it?", "the dog 's ball ca n't roll wo n't it"),
        ("I'm sure they're what we've said he'd", "i 'm sure they 're what we 've said he 'd"),
        ("don’t it’s", "do n't it 's"),
        ("the dogs' toys", "the dogs toys"),
        ("He cannot; gonna, gotta, wanna", "he can not gon na got ta wan na"),
        ("Lemme, gimme", "lem me gim me"),
        ("'Tis red, 'twas blue", "'t is red 't was blue"),
        ("five o'clock, O'Brien, 'em and the '90s", "five o'clock o'brien 'em and the '90s"),
        ("Mr. Smith on St. James St.", "mr. smith on st. james st."),
        ("in the U.S.A. at 5 p.m.", "in the u.s.a. at 5 p.m."),
        ("the platform B. It is", "the platform b. it is"),
        ("Plan B.", "plan b"),
        ("$5.50, 1,000 at 12:30", "$ 5.50 1,000 at 12:30"),
        ("10% of #1 & 3.5-inch", "10 % of # 1 & 3.5-inch"),
        ("-5 and +.5 of 2nd", "-5 and +.5 of 2nd"),
        ("his/her 1/2", "his/her 1/2"),
        ("a (small) {red} [x]", "a -lrb- small -rrb- -lcb- red -rcb- -lsb- x -rsb-"),
        ("a \"STOP\" sign ``red'' “so” 'it' `x`", "a stop sign red so it x"),
        ("red -- blue — green – white - on...", "red blue green white on"),
        ("so. . . on… and?!", "so on and ?!"),
        ("AT&T at b & w", "at&t at b & w"),
        (
            "see www.site.com or a.b@c.org, http://x.y/z?q=1.",
            "see www.site.com or a.b@c.org http://x.y/z?q=1",
        ),
        ("#selfie @home", "#selfie @home"),
        ("sits.The next", "sits the next"),
        ("", ""),
        (" \n\t ", ""),
        ("... -- '", ""),
    ],
)
def test_the_conventions(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में एक बिल्ली।", "हिन्दी में एक बिल्ली"),
        ("قِطّة، كلب؟", "قِطّة كلب"),
        ("می‌خواهم", "می‌خواهم"),
        ("Кошка, собака!", "кошка собака"),
        ("ภาษาไทย แมวสีดำ", "ภาษาไทย แมวสีดำ"),
        ("「猫」が、いる。", "「 猫 」 が いる"),
        ("ΜΙΑ ΓΆΤΑ", "μια γάτα"),
        ("a 👩‍👩‍👧 and 🍎", "a 👩‍👩‍👧 and 🍎"),
        ("zero\u200bwidth so\u00adft \ufeffmark", "zero width soft mark"),
    ],
)
def test_other_scripts_stay_whole(text: str, expected: str) -> None:
    assert words(text) == expected.split()


def test_composed_and_decomposed_letters_are_one() -> None:
    text = "un café à la crème"
    assert words(unicodedata.normalize("NFD", text)) == words(text) == text.split()


def test_words_are_cut_no_further_when_cut_again() -> None:
    text = "The dog's ball can't roll over 1,000 black-and-white cats, e.g. in the U.S."
    assert words(" ".join(words(text))) == words(text)


@pytest.mark.parametrize("piece", ["a.", "'", "-a", "1.", "&A", "a@", "http://", "a/", "x'", "n't"])
def test_no_text_takes_long(piece: str) -> None:
    began = time.perf_counter()
    words(piece * (10_000 // len(piece)))
    assert time.perf_counter() - began < 1


REFERENCE = json.loads((Path(__file__).parents[1] / "data/ptb_reference.json").read_text("utf-8"))


@pytest.mark.parametrize("caption", REFERENCE["captions"])
def test_captions_are_cut_as_the_coco_evaluation_cuts_them(caption: str) -> None:
    """What Stanford's own tokeniser made of them: slashes stay, "?!" is a word."""
    assert " ".join(words(caption)) == REFERENCE["captions"][caption]


def test_the_name_has_a_hash_that_changes_with_the_rules(tmp_path: Path) -> None:
    source = (ROOT / "pipelines" / "metrics" / "ptb.py").read_text(encoding="utf-8")
    names = {ptb.NAME}
    changes = [
        ("as it is", source),
        ("a pattern", source.replace("(?:Mr|Mrs|", "(?:Mr|")),
        ("the clitics", source.replace("(?:s|m|d|ll|re|ve))$", "(?:s|m|d|ll|re))$")),
        ("the joined", source.replace("(gim|lem)", "(gim)")),
        ("the brackets", source.replace("-lrb-", "(")),
        ("the unseen", source.replace("u200b", "u200c")),
    ]
    for number, (_, changed) in enumerate(changes):
        path = tmp_path / f"ptb_{number}.py"
        path.write_text(changed, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names.add(module.NAME)

    assert len(names) == len(changes), "that of the file as it is is the same"
    assert all(name_and_hash("tokenizer", name) for name in names)
