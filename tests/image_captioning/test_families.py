"""Every family of captioners: exact probabilities, prompts, and what a prompt must not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.image_captioning.pipeline import CaptionRequest, CaptionResult, generate
from pipelines.image_captioning.search import Search, TokenClock, find_captions
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from tests.image_captioning.tiny_families import MAKERS
from tests.running import finished, loaded

RAMP = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
WHITE = Image.new("RGB", (64, 64), "white")
REQUEST = CaptionRequest("tiny-blip", RAMP, max_new_tokens=8, count=4, seed=3)
END = 2
QUESTION = "what is this"
every_family = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(scope="module")
def family_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("families")
    for name, make in MAKERS.items():
        make(directory / name)
    return directory


@pytest.fixture
def studio(settings: Settings, family_dir: Path) -> Studio:
    return Studio(replace(settings, extra_models_dir=family_dir))


def describe(studio: Studio, **changes: Any) -> CaptionResult:
    result: CaptionResult = finished(generate, studio, replace(REQUEST, **changes))
    return result


def texts(result: CaptionResult) -> list[str]:
    return [caption.text for caption in result.captions]


class Ids:
    """A tokenizer that spells tokens as numbers, so that none is lost."""

    def batch_decode(self, sequences: torch.Tensor, **options: Any) -> list[str]:
        return [" ".join(map(str, row)) for row in sequences.tolist()]


def forward(captioner: Any, prepared: Any, ids: list[int]) -> torch.Tensor:
    """Logits ``(T, V)`` for a caption's tokens, of one pass over all of it."""
    model, given = captioner.model, dict(prepared.arguments)
    answer = torch.tensor([ids])
    if getattr(captioner.decoder.config, "is_encoder_decoder", False):  # BLIP-2 with T5
        start = torch.tensor([[captioner.decoder.config.decoder_start_token_id]])
        out = model(**given, decoder_input_ids=torch.cat([start, answer[:, :-1]], 1))
        return out.logits[0]  # type: ignore[no-any-return]
    prompt = given.pop("input_ids")[:, : prepared.prompt_tokens].clone()
    if captioner.decoder is getattr(model, "text_decoder", None):  # BLIP
        prompt[:, 0] = model.config.text_config.bos_token_id
    whole = torch.cat([prompt, answer], 1)
    given.pop("attention_mask", None)
    kinds = given.pop("token_type_ids", None)
    if kinds is not None:  # PaliGemma: what comes after the prompt sees what is before it
        given["token_type_ids"] = torch.cat([kinds, torch.ones_like(answer)], 1)
    logits = model(input_ids=whole, attention_mask=torch.ones_like(whole), **given).logits
    return logits[0, -len(ids) - 1 : -1]  # type: ignore[no-any-return]


@every_family
@pytest.mark.parametrize("method", ["beams", "sampling"])
@pytest.mark.parametrize("prompt", ["", QUESTION])
def test_a_probability_is_what_one_pass_over_the_caption_gives(
    studio: Studio, name: str, method: str, prompt: str
) -> None:
    describe(studio, model=name, prompt=prompt)
    search = Search(method, 8, 1.5, 8, seed=0)
    with loaded(studio) as captioner, torch.inference_mode():
        model, decoder = captioner.model, captioner.decoder
        # The search may be held to rules; the probability is the model's own all the same.
        decoder.generation_config.no_repeat_ngram_size = 1
        prepared, again = (
            captioner.family.prepare(model, captioner.processor, RAMP, prompt) for _ in range(2)
        )
        clock = TokenClock(lambda event: None, 8)
        for caption in find_captions(model, decoder, Ids(), prepared, search, clock):
            ids = [int(word) for word in caption.text.split()]
            ids = ids[: ids.index(END) + 1] if END in ids else ids
            logits = forward(captioner, again, ids).float()
            logs = torch.log_softmax(logits, -1)[range(len(ids)), ids]
            assert caption.mean_log_probability == pytest.approx(float(logs.mean()), abs=1e-4)
            assert caption.probability == pytest.approx(float(logs.sum().exp()), rel=1e-3)


@every_family
@pytest.mark.parametrize("method", ["beams", "sampling"])
def test_captions_follow_picture_and_prompt_and_do_not_repeat_it(
    studio: Studio, name: str, method: str
) -> None:
    plain = describe(studio, model=name, method=method)
    assert plain.captions != describe(studio, model=name, method=method, picture=WHITE).captions
    asked = describe(studio, model=name, method=method, prompt=QUESTION)
    assert asked.captions != plain.captions
    assert not any(text.startswith(QUESTION) for text in texts(asked))
    assert asked.receipt["request"]["prompt"] == QUESTION


@every_family
def test_a_sample_of_several_is_the_one_that_is_had_alone(studio: Studio, name: str) -> None:
    request = {"model": name, "method": "sampling"}
    several = texts(describe(studio, **request, seed=10))
    alone = [texts(describe(studio, **request, count=1, seed=10 + i))[0] for i in range(4)]
    assert set(alone) == set(several)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "tiny-paligemma"])
def test_captions_end_where_the_model_ends_them(studio: Studio, name: str) -> None:
    """(PaliGemma's processor adds 1,100 words, and random weights hardly ever say the end.)"""
    result = describe(studio, model=name, method="sampling", count=8, temperature=2.0)
    assert len({len(text.split()) for text in texts(result)}) > 1


@pytest.mark.parametrize("name", ["tiny-blip2", "tiny-llava", "tiny-idefics3", "tiny-paligemma"])
def test_a_prompt_that_holds_the_mark_of_a_picture_is_refused(studio: Studio, name: str) -> None:
    with pytest.raises(InvalidValue, match=rf"<image> means something of its own to {name}"):
        describe(studio, model=name, prompt="what is <image>")


@pytest.mark.parametrize("name", ["tiny-blip", "tiny-blip2", "tiny-git", "tiny-llava"])
def test_a_prompt_beyond_the_models_room_is_refused(studio: Studio, name: str) -> None:
    with pytest.raises(InvalidValue, match=rf"take .* tokens, and {name} can hold"):
        describe(studio, model=name, prompt="dog " * 80)
    with pytest.raises(InvalidValue, match=rf"max_new_tokens is 64; {name} has room for"):
        describe(studio, model=name, max_new_tokens=64)


def test_an_encoder_and_decoder_apart_take_no_prompt(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match=f"prompt is '{QUESTION}'; tiny-captioner takes none"):
        describe(studio, model="tiny-captioner", prompt=QUESTION)
    assert describe(studio, model="tiny-captioner").captions


def test_blip2_checkpoints_without_a_number_of_queries_take_the_models(
    settings: Settings, tmp_path: Path
) -> None:
    """Those from before the processor knew it have none in their files."""
    path = MAKERS["tiny-blip2"](tmp_path / "old")
    file = path / "processor_config.json"
    file.write_text(file.read_text().replace('"num_query_tokens": 3', '"num_query_tokens": null'))
    assert describe(Studio(replace(settings, extra_models_dir=tmp_path)), model="old").captions
