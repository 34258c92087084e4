"""Describing: captions and their probabilities, what decides them and what is refused."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.errors import InvalidValue, LoadFailed, ModelUnavailable, WrongTask
from pipelines.events import Progress, with_result
from pipelines.image_captioning import search
from pipelines.image_captioning.batch import caption_batch
from pipelines.image_captioning.pipeline import CaptionRequest, CaptionResult, generate
from pipelines.recipes.captioner.model import NO_REPEAT
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from tests import tiny_models
from tests.image_captioning.tiny_families import make_caption_lora
from tests.running import Calls, finished, finished_together, loaded

WHITE = Image.new("RGB", (128, 128), "white")
RAMP = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
REQUEST = CaptionRequest("tiny-captioner", RAMP, max_new_tokens=6, seed=0)
SAMPLED = replace(REQUEST, method="sampling")


def describe(studio: Studio, request: CaptionRequest = REQUEST, **changes: Any) -> CaptionResult:
    result: CaptionResult = finished(generate, studio, replace(request, **changes))
    return result


def texts(result: CaptionResult) -> list[str]:
    return [caption.text for caption in result.captions]


# What comes out


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_captions_come_likeliest_first_and_each_once(studio: Studio, method: str) -> None:
    result = describe(studio, method=method, count=5)
    scores = [caption.probability for caption in result.captions]
    assert scores == sorted(scores, reverse=True)
    assert len(set(texts(result))) == len(result.captions)
    assert all(0 < score <= 1 for score in scores)
    assert result.new_tokens >= 1
    assert 0 < result.first_token_seconds <= result.seconds


def test_beams_give_as_many_captions_as_were_asked_for(studio: Studio) -> None:
    for count in (1, 3, 8):
        assert len(describe(studio, count=count).captions) == count


def test_beams_are_the_librarys_with_the_librarys_scores(studio: Studio) -> None:
    result = describe(studio, count=3)
    with loaded(studio) as captioner, torch.inference_mode():
        raw = captioner.model.generate(
            captioner.processor(images=RAMP, return_tensors="pt")["pixel_values"],
            do_sample=False,
            num_beams=4,
            num_return_sequences=3,
            early_stopping=True,
            max_new_tokens=6,
            output_scores=True,
            return_dict_in_generate=True,
        )
        raw_texts = captioner.tokenizer.batch_decode(raw.sequences, skip_special_tokens=True)
    assert sorted(texts(result)) == sorted(raw_texts)
    # The library divides the sum of logs by the length: the mean.
    means = sorted(caption.mean_log_probability for caption in result.captions)
    assert means == pytest.approx(sorted(raw.sequences_scores.tolist()), abs=1e-4)


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_a_probability_is_what_a_forward_pass_gives(studio: Studio, method: str) -> None:
    result = describe(studio, method=method, count=8, max_new_tokens=4, temperature=3.0)
    with loaded(studio) as captioner, torch.inference_mode():
        config = captioner.model.generation_config
        for caption in result.captions:
            ids = captioner.tokenizer(caption.text)["input_ids"]
            ids = [config.decoder_start_token_id, *ids]
            if len(ids) < 1 + 4:
                ids.append(config.eos_token_id)
            logits = captioner.model(
                pixel_values=captioner.processor(images=RAMP, return_tensors="pt")["pixel_values"],
                decoder_input_ids=torch.tensor([ids[:-1]]),
            ).logits[0]
            logs = torch.log_softmax(logits, -1)[range(len(ids) - 1), ids[1:]]
            assert caption.probability == pytest.approx(float(logs.sum().exp()), rel=1e-4)
            assert caption.mean_log_probability == pytest.approx(float(logs.mean()), abs=1e-4)
    lengths = {len(caption.text.split()) for caption in result.captions}
    assert 4 in lengths  # cut off, and below: ended by the model, beside longer ones
    assert method == "beams" or min(lengths) < 4


def test_captions_follow_the_picture(studio: Studio) -> None:
    assert describe(studio).captions != describe(studio, picture=WHITE).captions


def test_progress_goes_from_the_first_token_to_the_end_at_a_pace(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_EVERY_SECONDS", 1000.0)
    *events, _ = with_result(generate(studio, REQUEST))
    parts = [event.fraction for event in events if event.message == "Describing"]
    assert parts == [pytest.approx(1 / 6)], "each report wakes a thread"
    monkeypatch.setattr(search, "_EVERY_SECONDS", 0.0)
    *events, _ = with_result(generate(studio, REQUEST))
    assert all(isinstance(event, Progress) for event in events)
    parts = [event.fraction for event in events if event.message == "Describing"]
    assert parts == [pytest.approx(step / 6) for step in range(1, 7)]


# What decides it


def test_sampling_follows_its_seed(studio: Studio) -> None:
    first, again, other = (describe(studio, SAMPLED, seed=seed).captions for seed in (0, 0, 100))
    assert first == again
    assert first != other


def test_seed_zero_is_a_seed_and_none_draws_one(studio: Studio) -> None:
    assert describe(studio, SAMPLED, seed=0).seed == 0
    drawn = describe(studio, SAMPLED, seed=None)
    assert describe(studio, SAMPLED, seed=drawn.seed).captions == drawn.captions
    assert describe(studio, SAMPLED, seed=-1).seed != drawn.seed


def test_each_sample_of_several_can_be_had_alone(studio: Studio) -> None:
    several = texts(describe(studio, SAMPLED, count=4, seed=10))
    alone = [texts(describe(studio, SAMPLED, count=1, seed=10 + i))[0] for i in range(4)]
    assert set(alone) == set(several)


def test_beams_take_no_notice_of_seed_and_temperature(studio: Studio) -> None:
    plain = describe(studio).captions
    assert describe(studio, seed=7, temperature=2.0).captions == plain


def test_sampling_at_temperature_zero_gives_the_one_likeliest_path(studio: Studio) -> None:
    result = describe(studio, SAMPLED, temperature=0.0, count=5)
    assert len(result.captions) == 1


def test_temperature_counts_for_sampling(studio: Studio) -> None:
    cold, hot = (describe(studio, SAMPLED, temperature=t, count=8) for t in (0.3, 3.0))
    assert cold.captions[-1].probability > hot.captions[-1].probability


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK", "1", "LA"])
def test_pictures_of_every_kind_are_described(studio: Studio, mode: str) -> None:
    assert describe(studio, picture=RAMP.convert(mode)).captions


@pytest.mark.parametrize("size", [(1, 1), (7, 900), (1500, 1100)])
def test_pictures_of_every_size_are_described(studio: Studio, size: tuple[int, int]) -> None:
    assert describe(studio, picture=RAMP.resize(size)).captions


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_more_tokens_than_the_model_has_places_for_are_refused(studio: Studio, method: str) -> None:
    with pytest.raises(InvalidValue, match="max_new_tokens is 40; tiny-captioner has room for 39"):
        describe(studio, method=method, max_new_tokens=40)
    with loaded(studio) as captioner:
        captioner.model.generation_config.eos_token_id = None  # no caption ends by itself
    assert describe(studio, method=method, max_new_tokens=39).new_tokens == 39


# Against repetition


def longest_repeat(text: str) -> int:
    """How many tokens in a row come twice, at most."""
    words = text.split()

    def repeats(size: int) -> bool:
        grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
        return len(set(grams)) < len(grams)

    return max((size for size in range(1, len(words)) if repeats(size)), default=0)


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_a_caption_does_not_run_in_circles(studio: Studio, method: str) -> None:
    """The tiny captioner has learned nothing: it repeats itself like one that is lost."""
    describe(studio)
    with loaded(studio) as captioner:
        captioner.model.generation_config.eos_token_id = None  # no caption ends by itself
    run = replace(REQUEST, method=method, temperature=0.3, max_new_tokens=30, count=3)
    free = texts(describe(studio, run, no_repeat_ngram_size=0))
    guarded = texts(describe(studio, run, no_repeat_ngram_size=2))
    assert max(map(longest_repeat, free)) >= 3
    assert max(map(longest_repeat, guarded)) < 2
    penalised = texts(describe(studio, run, no_repeat_ngram_size=0, repetition_penalty=5.0))
    assert penalised != free


def test_guards_that_are_left_to_the_model_are_its_own_and_stand_in_the_receipt(
    studio: Studio,
) -> None:
    describe(studio)
    with loaded(studio) as captioner:
        own = captioner.model.generation_config
        own.no_repeat_ngram_size, own.repetition_penalty = None, None
    request = describe(studio).receipt["request"]
    assert (request["no_repeat_ngram_size"], request["repetition_penalty"]) == (0, 1.0)
    plain = texts(describe(studio, max_new_tokens=20))
    own.no_repeat_ngram_size, own.repetition_penalty = 1, 1.3
    request = describe(studio).receipt["request"]
    assert (request["no_repeat_ngram_size"], request["repetition_penalty"]) == (1, 1.3)
    assert texts(describe(studio, max_new_tokens=20)) != plain
    off = replace(REQUEST, no_repeat_ngram_size=0, repetition_penalty=1.0)
    assert texts(describe(studio, off, max_new_tokens=20)) == plain


def test_a_batch_has_the_guards_of_its_requests(studio: Studio) -> None:
    requests = [replace(REQUEST, no_repeat_ngram_size=1, max_new_tokens=20, count=1)] * 2
    describe(studio)
    with loaded(studio) as captioner:
        captioner.model.generation_config.no_repeat_ngram_size = 0
        found = caption_batch(captioner, requests, lambda: None, ())
    assert found == texts(describe(studio, requests[0])) * 2
    assert longest_repeat(found[0]) == 0


def test_the_embedded_captioner_does_not_run_in_circles_where_it_is_lost() -> None:
    """A photograph was "big a big big a big big" to it."""
    config = json.loads((ROOT / "assets/models/emoji-captioner/generation_config.json").read_text())
    assert config["no_repeat_ngram_size"] == NO_REPEAT == 4


# What is told of a picture


def test_a_picture_from_outside_of_the_models_world_is_told(studio: Studio) -> None:
    result = describe(studio, picture=RAMP)
    assert result.is_foreign
    (note,) = result.notes
    assert note.startswith("I know emoji scenes only")
    assert result.captions


def test_a_picture_of_its_world_needs_no_note(studio: Studio) -> None:
    result = describe(studio, picture=WHITE)
    assert (result.is_foreign, result.notes) == (False, [])


def test_a_model_that_tells_nothing_of_its_world_gives_no_note(
    settings: Settings, tmp_path: Path
) -> None:
    tiny_models.make_captioner(tmp_path / "plain-captioner", with_familiarity=False)
    studio = Studio(replace(settings, extra_models_dir=tmp_path))
    assert describe(studio, model="plain-captioner").notes == []


@pytest.mark.parametrize("familiarity", [7, "much", [], {"mean": [0.0], "directions": [[1.0]]}])
def test_a_world_of_another_kind_is_refused(
    settings: Settings, tmp_path: Path, familiarity: Any
) -> None:
    folder = tiny_models.make_captioner(tmp_path / "odd-captioner", with_familiarity=False)
    (folder / "world.json").write_text(json.dumps({"familiarity": familiarity}))
    studio = Studio(replace(settings, extra_models_dir=tmp_path))
    with pytest.raises(LoadFailed, match=r"world\.json is not as expected"):
        describe(studio, model="odd-captioner")


# Adapters


def test_an_adapter_changes_captions_and_comes_off_again(
    settings: Settings, models_dir: Path, tmp_path: Path
) -> None:
    make_caption_lora(tmp_path / "own-words", models_dir / "tiny-captioner")
    studio = Studio(replace(settings, extra_models_dir=tmp_path))
    base = describe(studio)
    own = describe(studio, model="tiny-captioner + own-words")
    assert own.captions != base.captions
    assert own.receipt["model"]["adapters"][0]["reference"] == "own-words"
    assert describe(studio).captions == base.captions
    assert describe(studio, model="own-words:0").captions == base.captions
    requests = [REQUEST, replace(REQUEST, model="tiny-captioner + own-words")] * 2
    together = finished_together(generate, studio, requests)
    assert [r.captions for r in together] == [base.captions, own.captions] * 2
    assert len(studio.residency.residents()) == 1


# Stopping, and others at the same time


@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_closing_stops_within_one_token(studio: Studio, method: str) -> None:
    describe(studio)
    with loaded(studio) as captioner:
        calls = Calls(captioner.model.decoder)
    run = generate(studio, replace(REQUEST, method=method, max_new_tokens=38, count=8))
    for event in run:
        if event.message == "Describing":
            break
    before = calls.count
    run.close()
    assert calls.count <= before + 1
    assert calls.count < 38
    assert studio.residency.residents()[0].users == 0
    assert "triptych-run" not in [thread.name for thread in threading.enumerate()]


def test_runs_at_the_same_time_give_what_they_give_alone(studio: Studio) -> None:
    requests = [
        replace(SAMPLED, seed=1, count=3, max_new_tokens=20),
        replace(REQUEST, picture=WHITE, count=4, max_new_tokens=20),
        replace(SAMPLED, seed=2, temperature=1.5, picture=WHITE, max_new_tokens=20),
    ]
    alone = [finished(generate, studio, request).captions for request in requests]
    together = [result.captions for result in finished_together(generate, studio, requests)]
    assert together == alone


def test_a_stopped_run_disturbs_no_other(studio: Studio) -> None:
    longer = replace(SAMPLED, max_new_tokens=30)
    alone = describe(studio, longer).captions
    other = generate(studio, longer)
    stopped = generate(studio, replace(longer, seed=5))
    for run in (other, stopped):
        for event in run:
            if event.message == "Describing":
                break
    stopped.close()
    *_, result = with_result(other)
    assert result.captions == alone


# What is refused


BAD_FIELDS: list[tuple[str, list[Any]]] = [
    ("picture", [None, "/etc/passwd", "http://127.0.0.1/a.png", b"\x89PNG", 7, True, ["a.png"]]),
    ("method", ["", "beam", None, 0, True, ["beams"]]),
    ("count", [0, -1, 10_000, True, None, "3", 1.5, math.nan]),
    ("temperature", [-0.1, 5.1, True, None, "0.7", math.nan, math.inf]),
    ("max_new_tokens", [0, -1, 10_000, True, None, "20", 5.5, math.nan]),
    ("prompt", [None, 7, True, math.nan, ["what"], "a" * 20_001]),
    ("seed", [-2, 2**63, True, "7", 0.5, math.nan]),
    ("no_repeat_ngram_size", [-2, 11, True, "3", 0.5, math.nan]),
    ("repetition_penalty", [-2, 0, 0.05, 10.1, True, "1", math.nan, math.inf]),
]


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_FIELDS for value in values]
)
def test_a_bad_field_is_refused_by_name_before_anything_is_loaded(
    studio: Studio, field: str, value: Any
) -> None:
    with pytest.raises(InvalidValue, match=rf"^{field} (is|has) .*(give|choose|Shorten)"):
        describe(studio, **{field: value})
    assert studio.residency.residents() == []


def test_a_picture_of_too_many_pixels_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match="at most 20,000,000"):
        describe(studio, picture=Image.new("1", (8000, 6250)))


def test_another_picture_than_the_receipts_is_refused(studio: Studio) -> None:
    digest = describe(studio).receipt["request"]["picture_sha256"]
    assert describe(studio, picture_sha256=digest).captions
    with pytest.raises(InvalidValue, match="not the picture that the receipt names"):
        describe(studio, picture=WHITE, picture_sha256=digest)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("tiny-writer", WrongTask),
        ("tiny-painter", WrongTask),
        ("no-such-model", ModelUnavailable),
        ("../tiny-captioner", ModelUnavailable),
        (None, ModelUnavailable),
    ],
)
def test_a_bad_model_is_refused(studio: Studio, model: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        describe(studio, model=model)
