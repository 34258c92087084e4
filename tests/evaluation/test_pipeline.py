"""Evaluations: each sample once, each model once, and nothing lost when they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageChops

from pipelines.datasets.samples import DataSet, Sample, from_texts, read_folder
from pipelines.errors import InvalidValue, ModelUnavailable, WrongTask
from pipelines.evaluation import generators, pipeline
from pipelines.evaluation import likelihoods as reading
from pipelines.evaluation.card import card
from pipelines.evaluation.likelihoods import likelihoods
from pipelines.evaluation.pipeline import ALONE, generate
from pipelines.evaluation.request import (
    Describing,
    EvaluationRequest,
    Painting,
    Writing,
)
from pipelines.evaluation.result import (
    EvaluationResult,
    PartialScores,
    shown_generator,
)
from pipelines.evaluation.scores import METRICS, metrics_of
from pipelines.evaluation.tables import cost_table
from pipelines.events import Progress, with_result
from pipelines.hub import resolve
from pipelines.image_captioning import pipeline as describing
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from pipelines.tasks import TASKS
from pipelines.text_generation import pipeline as writing
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.pipeline import PaintRequest
from tests.evaluation.conftest import make_scenes
from tests.hub.lora_files import WRITER_LAYER, peft_lora
from tests.running import finished
from tests.text_to_image.tiny_families import make

TEXTS = b"\n".join(
    f"Once upon a time {n} kings lived by the sea and had {n} daughters".encode() for n in range(9)
)


def captioners(scenes: DataSet, **changed: Any) -> EvaluationRequest:
    settings = Describing(max_new_tokens=8)
    models = ("emoji-captioner", "other-captioner")
    request = EvaluationRequest("describe", scenes, models, sample_size=12, settings=settings)
    return replace(request, **changed)


def painters(scenes: DataSet, **changed: Any) -> EvaluationRequest:
    request = EvaluationRequest(
        "paint", scenes, ("painter-a", "painter-b"), ("kid", "fid", "diversity"), 7,
        settings=Painting(steps=2),
    )  # fmt: skip
    return replace(request, **changed)


def writers(**changed: Any) -> EvaluationRequest:
    texts = from_texts("tales", TEXTS, Settings().limits)
    request = EvaluationRequest(
        "write", texts, ("writer-a", "writer-b"), metrics_of("write"), 9, 3,
        Writing(context=16, max_new_tokens=5),
    )  # fmt: skip
    return replace(request, **changed)


class Spy:
    """Counts what is computed, and how; after a batch it may pause, for a reader to catch up."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        at_once: int | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        self.alone: list[tuple[str, int, int]] = []
        self.batches: list[list[int]] = []
        kind = generators.GENERATORS[name]

        def alone(run: Any, sample: Sample, seed: int) -> Any:
            self.alone.append((run.model, sample.index, seed))
            return kind.one(run, sample, seed)

        def together(run: Any, samples: Sequence[Sample], seeds: Sequence[int]) -> Any:
            outputs = kind.several(run, samples, seeds)
            if outputs is not None:
                self.batches.append([sample.index for sample in samples])
                time.sleep(pause_seconds)
            return outputs

        # Other batches are other samples: the batch is part of what they are kept by.
        at_once = at_once or kind.batch_size
        changed = replace(kind, one=alone, several=together, batch_size=at_once)
        monkeypatch.setitem(generators.GENERATORS, name, changed)

    @property
    def computed(self) -> int:
        return len(self.alone) + sum(map(len, self.batches))


def test_captions_of_a_batch_are_those_of_the_slice(studio: Studio, scenes: DataSet) -> None:
    result = finished(generate, studio, captioners(scenes))
    different: set[str | None] = set()
    for model in result.models:
        told = [output.text for output in model.outputs.by_generator["caption"]]
        alone = [
            finished(
                describing.generate,
                studio,
                CaptionRequest(model.name, s.picture(Settings().limits), count=1, max_new_tokens=8),
            ).captions[0].text
            for s in result.samples
        ]  # fmt: skip
        assert told == alone
        different |= set(told)
    assert len(different) > 3, "captions that are all alike would show nothing"
    outputs = model.outputs.by_generator["caption"]
    sizes = {s.index: o.batch for s, o in zip(result.samples, outputs, strict=True)}
    drawn = captioners(scenes).data.drawn(12, 0)
    assert [sizes[sample.index] for sample in drawn] == [1] * ALONE + [8] * 8


def test_guards_of_captions_are_evaluated(studio: Studio, scenes: DataSet) -> None:
    """Alone and in a batch: what came is so unlikely then that no word comes twice."""
    settings = Describing(max_new_tokens=8, no_repeat_ngram_size=1)
    guarded = finished(generate, studio, captioners(scenes, settings=settings))
    free = finished(generate, studio, captioners(scenes))

    def repeats(result: EvaluationResult) -> list[int]:
        texts = [o.text.split() for o in result.models[0].outputs.by_generator["caption"]]
        return [len(words) - len(set(words)) for words in texts]

    assert max(repeats(free)) > 0 == max(repeats(guarded))


def test_sampled_captions_have_a_seed_each(studio: Studio, scenes: DataSet) -> None:
    settings = Describing(8, 2.0, "sampling")
    result = finished(generate, studio, captioners(scenes, settings=settings, seed=5))
    told = [output.text for output in result.models[0].outputs.by_generator["caption"]]
    sample = result.samples[9]
    request = CaptionRequest(
        "emoji-captioner",
        sample.picture(Settings().limits),
        "sampling",
        1,
        2.0,
        8,
        5 + sample.index,
    )

    assert told[9] == finished(describing.generate, studio, request).captions[0].text


def test_pictures_of_a_batch_are_those_of_the_slice(studio: Studio, scenes: DataSet) -> None:
    result = finished(generate, studio, painters(scenes, seed=4))
    for place in (0, 6):  # alone, and in a batch of three
        sample = result.samples[place]
        request = PaintRequest("painter-b", sample.text, steps=2, seed=4 + sample.index)
        (picture,) = finished(painting.generate, studio, request).pictures
        with Image.open(result.models[1].outputs.files[place]) as kept:
            furthest = max(ImageChops.difference(kept, picture).tobytes())
        assert furthest <= (0 if place == 0 else 1), "rounding at most"
    assert result.models[0].outputs.by_generator["picture"][6].batch == 3


def test_continuations_of_a_batch_are_those_of_the_slice(studio: Studio) -> None:
    result = finished(generate, studio, writers())
    for place in (1, 8):
        prompt, _ = result.samples[place].halves
        request = TextRequest("writer-b", prompt, 5, 0.8, 0.95, 50, 3 + result.samples[place].index)
        told = result.models[1].outputs.by_generator["continuation"][place]
        assert told.text == finished(writing.generate, studio, request).text.strip()
    assert result.models[1].outputs.by_generator["continuation"][8].batch == 5


def test_a_text_s_likelihood_is_that_of_its_windows(studio: Studio) -> None:
    import torch

    result = finished(generate, studio, writers(settings=Writing(context=1_000, max_new_tokens=5)))
    facts = result.models[0].outputs.by_generator["likelihood"][2].facts
    text = result.samples[2].text
    loaded = finished_open(studio, "writer-a")
    writer = loaded.model
    ids = [writer.tokenizer.eos_token_id, *writer.tokenizer(text)["input_ids"]]
    with torch.no_grad():
        logs = writer.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    nats = -sum(float(logs[i, token]) for i, token in enumerate(ids[1:]))
    loaded.lease.release()

    assert facts["nats"] == pytest.approx(nats, rel=1e-5)
    assert facts["tokens"] == len(ids) - 1
    assert facts["bytes"] == len(text.encode())
    assert facts["context"] == 64, "no more than the model holds"


def test_likelihoods_of_a_batch_are_those_of_each_text(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, "likelihood")
    told = finished(generate, studio, writers(metrics=("bits_per_byte",))).models[0]
    outputs = told.outputs.by_generator["likelihood"]

    drawn = [sample.index for sample in told.outputs.data.drawn(9, 3)]
    assert [outputs[index].batch for index in drawn] == [1, 1, 1, 1, 5, 5, 5, 5, 5]
    assert spy.batches == [drawn[ALONE:]] * 2
    loaded = finished_open(studio, "writer-a")
    texts = [sample.text for sample in told.outputs.samples]
    for text, output in zip(texts, outputs, strict=True):
        (alone,) = likelihoods("writer-a", loaded, [text], 16, lambda: None)
        assert output.facts["nats"] == pytest.approx(alone["nats"], rel=1e-6)
        assert {**output.facts, "nats": 0} == {**alone, "nats": 0}
    loaded.lease.release()


@pytest.mark.parametrize("task", ["describe", "paint", "write"])
def test_a_larger_draw_keeps_the_full_batches_of_a_smaller_one_and_gives_what_it_gives_alone(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """A batch rounds in its own way, and a card is held against another digit by digit."""
    requests = {"describe": captioners(scenes), "paint": painters(scenes),
                "write": writers(metrics=("bits_per_byte",))}  # fmt: skip
    names = {"describe": "caption", "paint": "picture", "write": "likelihood"}
    spy = Spy(monkeypatch, names[task], at_once=2)
    smaller = finished(generate, studio, replace(requests[task], sample_size=7))
    larger = finished(generate, studio, replace(requests[task], sample_size=9))
    assert [m.computed for m in smaller.models] == [7, 7]
    # Four that come alone and a batch of two are the same; that of one is now one of two.
    assert [m.computed for m in larger.models] == [3, 3]
    before = spy.computed
    again = finished(generate, studio, replace(requests[task], sample_size=7))
    assert spy.computed == before
    assert again.models[0].outputs.by_generator == smaller.models[0].outputs.by_generator
    elsewhere = Studio(replace(studio.settings, data_dir=studio.settings.data_dir / "other"))
    fresh = finished(generate, elsewhere, replace(requests[task], sample_size=9))
    for kept, made in zip(larger.models, fresh.models, strict=True):
        told = [
            [
                (each.text, each.picture, each.facts)
                for each in model.outputs.by_generator[names[task]]
            ]
            for model in (kept, made)
        ]
        assert told[0] == told[1]
        assert kept.scores == made.scores


@pytest.mark.parametrize("begun", [2, 6, 9])
def test_likelihoods_of_a_stopped_run_are_those_of_a_whole_one(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    data = from_texts("tales", b"\n".join(f"{n} kings lived".encode() for n in range(40)),
                      Settings().limits)  # fmt: skip
    request = writers(data=data, sample_size=40, metrics=("bits_per_byte",))
    spy = Spy(monkeypatch, "likelihood")
    run = generate(studio, request)
    for _ in run:
        if len(spy.alone) + len(spy.batches) >= begun:
            break
    run.close()
    stopped = finished(generate, studio, request)
    elsewhere = Studio(replace(studio.settings, data_dir=studio.settings.data_dir / "other"))
    whole = finished(generate, elsewhere, request)

    assert 0 < sum(model.computed for model in stopped.models) < 80
    assert sorted(map(len, spy.batches))[-1] == 16
    facts = [[o.facts for o in m.outputs.by_generator["likelihood"]] for m in stopped.models]
    assert facts == [[o.facts for o in m.outputs.by_generator["likelihood"]] for m in whole.models]


def finished_open(studio: Studio, name: str) -> Any:
    slice_ = TASKS["write"].pipeline
    *_, loaded = with_result(studio.open(name, "write", slice_.load, slice_.size_of))
    return loaded


def test_nothing_is_computed_twice(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, "caption")
    first = finished(generate, studio, captioners(scenes))
    assert spy.computed == 24
    assert [m.computed for m in first.models] == [12, 12]
    drawn = captioners(scenes).data.drawn(12, 0)
    assert spy.alone[:4] == [("emoji-captioner", s.index, s.index) for s in drawn[:ALONE]]

    again = finished(generate, Studio(studio.settings), captioners(scenes))
    assert spy.computed == 24
    assert [m.computed for m in again.models] == [0, 0]
    assert again.models[0].costs == replace(first.models[0].costs, is_of_this_run=False)
    assert again.models[1].scores == first.models[1].scores


def test_times_say_whether_they_are_of_this_run_and_under_what_load(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second model's were measured on an idle machine, a day before the first's."""
    day = iter(["2026-11-27", "2026-11-28", "2026-11-29"])
    load = iter([0.1, 3.2, 1.0])

    class Clock:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.fromisoformat(f"{today} 12:00:00").replace(tzinfo=zone)

    monkeypatch.setattr(pipeline, "datetime", Clock)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (next(load), 0.0, 0.0))
    request = captioners(scenes, metrics=("rouge_l",))
    timed, notes = [], []
    for changed in ({"models": request.models[1:]}, {}, {"sample_size": 11}):
        today = next(day)
        made = card(finished(generate, studio, replace(request, **changed)))
        timed.append([row[-1] for row in cost_table(made)[1]])
        notes.append([note for note in made["notes"] if note.startswith("Times and memory of")])
    earlier = ["earlier, 2026-11-27 12:00 UTC, load 0.1",
               "earlier, 2026-11-28 12:00 UTC, load 3.2"]  # fmt: skip
    assert timed[0] == ["in this run, load 0.1"]
    assert timed[1] == ["in this run, load 3.2", earlier[0]]
    assert timed[2] == [earlier[1], earlier[0]], "a batch was computed anew, the first samples not"
    names = ["other-captioner", "emoji-captioner and other-captioner"]
    assert notes == [[]] + [
        [
            f"Times and memory of {name} were measured in an earlier run, wholly or in part, when "
            "the machine may have had more or less to do. Do not rank them."
        ]
        for name in names
    ]


def test_a_draw_that_was_enlarged_after_a_look_says_so(studio: Studio, scenes: DataSet) -> None:
    """Who draws more until something is shown needs more than the p-values of one look."""
    request = captioners(scenes, metrics=("rouge_l",), sample_size=8)
    assert finished(generate, studio, request).enlarged_from == ()
    swapped = replace(request, models=request.models[::-1], metrics=("bleu",), sample_size=12)
    larger = card(finished(generate, studio, swapped))
    assert larger["enlarged_from"] == [8]
    note = (
        "The draw was enlarged from 8 to 12 samples after a result was seen. P-values and "
        "intervals do not allow for that: they show differences too often."
    )
    assert note in larger["notes"]
    for other in ({"seed": 1}, {"models": request.models[:1]}, {"sample_size": 6}):
        unseen = finished(generate, studio, replace(swapped, **other))
        assert unseen.enlarged_from == (), other
    assert "6 samples are too few for intervals and tests; 8 are the fewest." in unseen.notes


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": Describing(max_new_tokens=7)},
        {"settings": Describing(max_new_tokens=8, no_repeat_ngram_size=1)},
        {"seed": 1},
        {"models": ("other-captioner", "third-captioner")},
    ],
    ids=str,
)
def test_what_a_sample_depends_on_makes_another_sample(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    from tests import tiny_models

    extra = studio.settings.data_dir / "extra"
    tiny_models.make_captioner(extra / "third-captioner", seed=2)
    studio = Studio(replace(studio.settings, extra_models_dir=extra))
    finished(generate, studio, captioners(scenes))
    spy = Spy(monkeypatch, "caption")
    finished(generate, studio, captioners(scenes, **changed))

    assert spy.computed == (12 if "models" in changed else 24)


def test_other_data_and_other_versions_make_other_samples(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished(generate, studio, captioners(scenes))
    spy = Spy(monkeypatch, "caption")
    finished(generate, studio, captioners(read_folder(make_scenes(tmp_path / "s", 11))))
    assert spy.computed == 22
    monkeypatch.setattr(pipeline, "versions", lambda: {"torch": "99"})
    finished(generate, studio, captioners(scenes))
    assert spy.computed == 22 + 24


def test_settings_of_one_kind_do_not_touch_the_other(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(generate, studio, writers())
    likelihood, continuation = Spy(monkeypatch, "likelihood"), Spy(monkeypatch, "continuation")
    finished(generate, studio, writers(settings=Writing(context=16, max_new_tokens=4)))

    assert (likelihood.computed, continuation.computed) == (0, 18)


_KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from pipelines.events import with_result
from pipelines.datasets.samples import read_folder
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.request import Describing, EvaluationRequest
from pipelines.evaluation.store import Store
from pipelines.settings import Settings
from pipelines.runtime.studio import Studio

kept, keep = [0], Store.save
def dying(self, outputs):
    keep(self, outputs)
    kept[0] += 1
    if kept[0] == 6:
        os.kill(os.getpid(), signal.SIGKILL)
Store.save = dying
models, data, scenes = map(Path, sys.argv[1:])
studio = Studio(Settings(models_dir=models, data_dir=data, hub_enabled=False))
request = EvaluationRequest("describe", read_folder(scenes),
    ("emoji-captioner", "other-captioner"), sample_size=12, settings=Describing(max_new_tokens=8))
for _ in with_result(generate(studio, request)):
    pass
"""


def test_a_killed_process_loses_nothing_that_was_finished(
    studio: Studio, scenes: DataSet, scenes_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [studio.settings.models_dir, studio.settings.data_dir, scenes_dir]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, places)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    spy = Spy(monkeypatch, "caption")
    result = finished(generate, studio, captioners(scenes))

    # Six were kept: four samples and a batch of eight of the first model, one of the second.
    assert spy.computed == 11
    assert [model.computed for model in result.models] == [0, 11]
    elsewhere = Studio(replace(studio.settings, data_dir=studio.settings.data_dir / "other"))
    whole = finished(generate, elsewhere, captioners(scenes))
    assert [m.scores for m in result.models] == [m.scores for m in whole.models]


@pytest.mark.parametrize("task", ["describe", "paint", "write"])
def test_closing_keeps_what_is_finished_and_frees_the_models(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    requests = {"describe": captioners(scenes), "paint": painters(scenes), "write": writers()}
    names = {"describe": "caption", "paint": "picture", "write": "continuation"}
    spy = Spy(monkeypatch, names[task], at_once=3, pause_seconds=0.2)
    run = generate(studio, requests[task])
    for _ in run:
        if spy.alone and len(spy.batches) == 1:
            break
    run.close()
    before = spy.computed

    assert not any(t.name == "triptych-run" for t in threading.enumerate())
    assert all(resident.users == 0 for resident in studio.residency.residents())
    finished(generate, studio, requests[task])
    count = 2 * requests[task].sample_size
    assert count <= spy.computed <= count + len(spy.batches[0]), "the batch that was at work"
    assert before < count


def test_partial_scores_do_not_change_the_last_digits_of_the_final_ones(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features were computed in batches of what was there when the clock asked for scores."""
    request = painters(scenes, metrics=("diversity", "round_trip_rouge_l"), sample_size=9)
    scores = []
    for pause in (0.0, 1e9):
        monkeypatch.setattr(pipeline, "_LEAST_PAUSE_SECONDS", pause)
        data_dir = studio.settings.data_dir / str(pause)
        elsewhere = Studio(replace(studio.settings, data_dir=data_dir))
        *events, result = with_result(generate(elsewhere, request))
        scores.append([model.scores for model in result.models])
        told = [event for event in events if isinstance(event, PartialScores)]
        assert all(event.unranked == {"diversity"} for event in told), "of so few pictures"
        partial = len(told)
        assert (partial > 1) == (pause == 0)
    assert scores[0] == scores[1]


def test_each_model_is_loaded_once_one_after_the_other(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load_captioner = describing.load

    def load(snapshot: Any, device: Any) -> Any:
        loads.append(snapshot.reference)
        return load_captioner(snapshot, device)

    monkeypatch.setattr(describing, "load", load)
    spy = Spy(monkeypatch, "caption")
    finished(generate, studio, captioners(scenes))

    assert loads == ["emoji-captioner", "other-captioner"]
    assert [name for name, _, _ in spy.alone] == ["emoji-captioner"] * 4 + ["other-captioner"] * 4


def test_partial_scores_and_the_time_left_are_streamed(
    studio: Studio, scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_LEAST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "_PAUSE_FACTOR", 0.0)
    *events, result = with_result(generate(studio, captioners(scenes)))
    partial = [event for event in events if isinstance(event, PartialScores)]
    progress = [event for event in events if isinstance(event, Progress)]

    assert [(p.model, p.done) for p in partial][:4] == [
        ("emoji-captioner", done) for done in (2, 3, 4, 12)
    ]
    assert all(p.total == 12 for p in partial)
    last = [p for p in partial if p.model == "other-captioner"][-1]
    assert last.scores == {n: s.value for n, s in result.models[1].scores.items()}
    known = [p for p in progress if p.seconds_left is not None]
    assert known
    assert all(p.seconds_left is not None and p.seconds_left >= 0 for p in known)
    fractions = [p.fraction for p in progress if p.message.startswith("other-captioner: ")]
    assert fractions == sorted(f for f in fractions if f is not None)
    assert fractions[0] == 0.5


def test_painters_scores_come_with_what_they_need(studio: Studio, scenes: DataSet) -> None:
    result = finished(generate, studio, painters(scenes, metrics=("kid", "fid", "diversity")))
    model = result.models[0]

    assert set(model.scores) == {"kid", "fid", "diversity"}
    assert model.scores["kid"].signature.startswith("KID(emoji-captioner-encoder@")
    assert "|n:7|m:12|" in model.scores["kid"].signature
    assert all((c.difference is None and "samples" in c.why_not) or "pictures" in c.why_not
               for c in result.comparisons)  # fmt: skip
    assert "no difference was tested" in result.verdict
    assert any(note.startswith("KID: 7 samples") for note in result.notes)
    assert result.differing_by.startswith("Distance")
    assert result.differing[0].values[0] == 0


def test_every_metric_of_texts_is_tested_and_the_tests_are_told(studio: Studio) -> None:
    settings = Writing(context=16, max_new_tokens=20)
    *events, result = with_result(generate(studio, writers(settings=settings)))

    assert all(each.difference is not None for each in result.comparisons)
    told = [event.message for event in events if isinstance(event, Progress)]
    assert "Comparing writer-b in Self-BLEU" in told


def test_what_a_metric_tells_beside_its_score_is_noted(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = replace(METRICS["chrf"], remark=lambda outputs: f"{len(outputs.samples)} read")
    monkeypatch.setitem(METRICS, "chrf", told)
    result = finished(generate, studio, writers(metrics=("chrf",)))
    assert result.notes[-2:] == ("writer-a: chrF: 9 read", "writer-b: chrF: 9 read")


def test_the_first_model_is_what_others_are_held_against(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    from shutil import copytree

    copytree(studio.settings.models_dir / "emoji-captioner", tmp_path / "extra" / "copy")
    studio = Studio(replace(studio.settings, extra_models_dir=tmp_path / "extra"))
    models = ("emoji-captioner", "copy", "other-captioner")
    result = finished(generate, studio, captioners(scenes, models=models))
    same = [c for c in result.comparisons if c.model == "copy"]

    assert [(c.metric, c.model) for c in result.comparisons] == [
        (metric, model)
        for model in models[1:]
        for metric in metrics_of("describe", defaults_only=True)
    ]
    assert all(each.is_identical and each.difference is None for each in same)
    first = result.verdict.splitlines()[0]
    assert first == (
        "copy against emoji-captioner, an A/A check of one model under two names: the same outputs "
        "on all 12 samples."
    )
    told = result.comparison("rouge_l", "other-captioner").difference
    assert told is not None
    assert told.first == pytest.approx(result.models[2].scores["rouge_l"].value)
    assert told.second == pytest.approx(result.models[0].scores["rouge_l"].value)
    tests = [c.difference for c in result.comparisons if c.difference is not None]
    raw = min(max(test.randomisation_p, test.bootstrap_p) for test in tests)
    assert min(test.corrected_p for test in tests) == pytest.approx(min(1.0, 4 * raw))
    assert len(tests) == 4, "what is identical is not tested"
    both = finished(generate, studio, captioners(scenes, models=models[:2]))
    assert both.differing == (), "on no sample do a model and its copy differ"


def test_one_model_under_two_names_is_an_a_a_check_with_seeds_of_its_own(
    studio: Studio, tmp_path: Path
) -> None:
    """With the same seeds it wrote the same, and the check could not fail."""
    from shutil import copytree

    copytree(studio.settings.models_dir / "writer-a", tmp_path / "extra" / "copy")
    studio = Studio(replace(studio.settings, extra_models_dir=tmp_path / "extra"))
    metrics = ("bits_per_byte", "chrf")
    request = writers(models=("writer-a", "copy"), metrics=metrics)
    result = finished(generate, studio, request)
    first, second = (m.outputs.by_generator["continuation"] for m in result.models)
    assert [each.text for each in first] != [each.text for each in second]
    assert "copy against writer-a, an A/A check of one model under two names" in result.verdict
    assert "the same outputs on all 9 samples, and so the same Bits per byte" in result.verdict
    assert result.comparison("chrf", "copy").difference is not None
    alone = finished(generate, studio, writers(models=("copy",), metrics=metrics)).models[0]
    assert [o.text for o in alone.outputs.by_generator["continuation"]] == [o.text for o in first]


def test_samples_that_differ_most_come_first(studio: Studio, scenes: DataSet) -> None:
    result: EvaluationResult = finished(generate, studio, captioners(scenes, metrics=("rouge_l",)))
    spreads = [max(d.values) - min(d.values) for d in result.differing]

    assert result.differing_by == "ROUGE-L"
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] > 0
    values = [m.values["rouge_l"] for m in result.models]
    assert spreads[0] == max(abs(a - b) for a, b in zip(*values, strict=True))
    assert result.differing[0].sample == result.samples[result.differing[0].place]


def test_costs_are_of_single_samples_and_of_batches(studio: Studio, scenes: DataSet) -> None:
    result = finished(generate, studio, captioners(scenes))
    for model in result.models:
        outputs, costs = model.outputs.by_generator["caption"], model.costs
        seconds = {s.index: o.seconds for s, o in zip(result.samples, outputs, strict=True)}
        drawn = captioners(scenes).data.drawn(12, 0)
        assert costs.first_latency_seconds == seconds[drawn[0].index] > 0
        assert costs.samples_per_second == pytest.approx(8 / seconds[drawn[ALONE].index])
        assert costs.load_seconds > 0
        assert costs.peak_bytes > 10 * 1024**2
        assert costs.weight_bytes == model.snapshot.weight_bytes > 0


@pytest.mark.parametrize("metrics", [("chrf", "bits_per_byte"), ("bits_per_byte", "chrf")], ids=str)
def test_what_was_written_is_shown_and_timed_whatever_is_measured_first(
    studio: Studio, metrics: tuple[str, ...]
) -> None:
    result = finished(generate, studio, writers(metrics=metrics))
    for model in result.models:
        written = model.outputs.by_generator["continuation"]
        assert model.output_of(2) is written[2]
        first = writers().data.drawn(9, 3)[0].index
        assert model.costs.first_latency_seconds == written[first].seconds
    assert shown_generator(["likelihood"]) == "likelihood"


def test_a_composition_with_an_adapter_is_a_model_of_its_own(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = tmp_path / "extra"
    peft_lora(extra / "tale", {WRITER_LAYER: (32, 32)}, base="writer-a")
    studio = Studio(replace(studio.settings, extra_models_dir=extra))
    spy = Spy(monkeypatch, "likelihood")
    models = ("writer-a", "writer-a + tale:2", "writer-a + tale:0.5")
    metrics = ("bits_per_byte", "chrf")
    result = finished(generate, studio, writers(models=models, metrics=metrics))

    assert spy.computed == 27
    nats = [m.outputs.by_generator["likelihood"][0].facts["nats"] for m in result.models]
    assert len(set(nats)) == 3
    texts = [tuple(o.text for o in m.outputs.by_generator["continuation"]) for m in result.models]
    assert texts[0] != texts[1]
    assert result.models[1].costs.weight_bytes > result.models[0].costs.weight_bytes


def test_perplexities_of_other_tokenisers_are_not_compared(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter(["a" * 16] * 9 + ["b" * 16] * 9)
    monkeypatch.setattr(reading, "_tokenizer_hash", lambda tokenizer: next(hashes))
    result = finished(generate, studio, writers(metrics=("bits_per_byte", "perplexity")))
    told = result.comparison("perplexity", "writer-b")

    assert told.difference is None
    assert "tokenisers" in told.why_not
    assert result.comparison("bits_per_byte", "writer-b").difference is not None


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"models": ("emoji-captioner", "nobody")}, ModelUnavailable, "nobody"),
        ({"models": ("emoji-captioner", "writer-a")}, WrongTask, "writer-a"),
        ({"models": ("emoji-captioner", "../emoji-captioner")}, ModelUnavailable, r"\.\."),
        ({"sample_size": None}, InvalidValue, "sample_size"),
        ({"settings": Describing(max_new_tokens=100)}, InvalidValue, r"emoji-captioner, \d+\.png"),
    ],
)
def test_a_fault_is_told_before_anything_is_loaded_or_lost(
    studio: Studio, scenes: DataSet, changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        finished(generate, studio, captioners(scenes, **changed))
    assert all(resident.users == 0 for resident in studio.residency.residents())


def test_a_broken_picture_is_told_before_a_model_is_loaded(studio: Studio, tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "scenes", 12)
    (folder / "7.png").write_bytes(b"no picture")
    with pytest.raises(InvalidValue, match=r"7\.png"):
        finished(generate, studio, captioners(read_folder(folder)))
    assert studio.residency.residents() == []


def test_an_answer_without_a_word_is_told_before_a_model_is_loaded(
    studio: Studio, scenes: DataSet
) -> None:
    """Every caption was made first, and then no score could be told."""
    first, *others = scenes.samples
    wordless = replace(scenes, samples=(replace(first, references=("a cat", "...")), *others))
    with pytest.raises(InvalidValue, match=r"0\.png has the caption '\.\.\.'"):
        finished(generate, studio, captioners(wordless))
    assert studio.residency.residents() == []


def test_a_score_that_samples_do_not_make_leaves_the_others(studio: Studio) -> None:
    short = Writing(context=16, max_new_tokens=1)
    result = finished(generate, studio, writers(metrics=("bits_per_byte", "distinct_2"),
                                                settings=short))  # fmt: skip

    assert set(result.models[0].scores) == {"bits_per_byte"}
    assert "2 words" in result.models[0].unscored["distinct_2"]
    assert "2 words" in result.comparison("distinct_2", "writer-b").why_not
    assert any("2 words" in note for note in result.notes)


def test_clip_needs_a_model_of_this_machine(studio: Studio, scenes: DataSet) -> None:
    with pytest.raises(ModelUnavailable, match="CLIP"):
        finished(generate, studio, painters(scenes, metrics=("clip_score",), clip="../clip"))
    with pytest.raises(ModelUnavailable, match=r"no CLIP model 'emoji-clip' .* there are: none"):
        finished(generate, studio, painters(scenes, metrics=("clip_score",)))


def test_a_round_trip_is_read_by_the_embedded_captioner(studio: Studio, scenes: DataSet) -> None:
    metrics = ("round_trip_cider", "round_trip_exact")
    result = finished(generate, studio, painters(scenes, metrics=metrics, sample_size=8))
    for model in result.models:
        for score in model.scores.values():
            assert score.signature.startswith("round-trip(emoji-captioner@")
            assert score.samples == 8
    assert result.comparison("round_trip_cider", "painter-b").difference is not None


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("one", ("", "one")),
        ("one two", ("one", "two")),
        ("a  b\nc d e", ("a  b", "c d e")),
        ("the the the the", ("the the", "the the")),
    ],
)
def test_a_text_is_halved_between_words(text: str, halves: tuple[str, str]) -> None:
    assert Sample(0, "1", text, (text,)).halves == halves


@pytest.mark.parametrize(("name", "kept"), [("ada/x@" + "c" * 40, {"c" * 40}), ("c", set())])
def test_the_commit_of_the_data_stays_when_room_is_made(
    studio: Studio,
    scenes: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kept: set[str],
) -> None:
    def stop(*given: Any, in_use: set[str], **others: Any) -> None:
        assert {commit for commit in in_use if commit} == kept
        raise ModelUnavailable("far enough")

    monkeypatch.setattr(pipeline, "resolve", stop)
    with pytest.raises(ModelUnavailable, match="far enough"):
        finished(generate, studio, captioners(replace(scenes, name=name)))
    assert studio.residency.commits() == set(), "the run is over"


def test_what_a_running_evaluation_is_still_to_load_stays_on_disk(
    studio: Studio, scenes: DataSet
) -> None:
    """The second model, and the data, could be deleted from the Models tab beside the run."""
    data = replace(scenes, name="ada/x@" + "c" * 40)
    needed = {resolve(name, "describe", studio.settings).commit for name in captioners(data).models}
    with closing(generate(studio, captioners(data))) as run:
        while next(run) != Progress("Reading the pictures", 0.0):
            pass
        assert studio.residency.residents() == [], "none is in memory yet"
        assert studio.residency.commits() == {"c" * 40, *needed}
    assert studio.residency.commits() == set()


def test_painters_that_denoise_in_their_own_way_are_compared_with_those_that_do_not(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    """DDIM, the usual scheduler, was refused by every kind of painter but Stable Diffusion's."""
    make("sd3", tmp_path / "more" / "flowing")
    studio = Studio(replace(studio.settings, extra_models_dir=tmp_path / "more"))
    painted = finished(generate, studio, painters(scenes, models=("painter-a", "flowing")))
    usual, own = painted.models
    for place in range(7):
        assert "denoises in a way of its own" in own.output_of(place).notes[-1]
        assert "of its own" not in "".join(usual.output_of(place).notes)
    refused = painters(scenes, models=("flowing",), settings=Painting(1, scheduler="Euler"))
    with pytest.raises(InvalidValue, match="takes none but"):
        finished(generate, studio, refused)
