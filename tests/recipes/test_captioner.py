"""The captioner's recipe: its lessons, its reading of captions, its checkpoint."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from pipelines.errors import LoadFailed
from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes import command_line, results, training
from pipelines.recipes.captioner import data, ood_detector, ood_report, train
from pipelines.recipes.captioner.augment import AUGMENTATIONS
from pipelines.recipes.captioner.model import (
    Familiarity,
    build,
    build_image_processor,
    build_tokenizer,
    flatness,
    traits,
)
from pipelines.recipes.captioner.ood_pictures import TEST_KINDS, TRAINING_KINDS
from pipelines.recipes.emoji_scenes.caption_parser import (
    CaptionParser,
    ParsedCaption,
    names_all,
    place_is_true,
)
from pipelines.recipes.emoji_scenes.data import (
    Box,
    Item,
    Scene,
    World,
    arrange,
    as_images,
    caption,
    world_named,
)
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, Emoji, everyday


@pytest.fixture(scope="module")
def world() -> World:
    return World(everyday()[27:39])


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerBase:
    return build_tokenizer(data.words_of(world))


def test_the_captioner_overfits_one_batch(world: World, tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    lesson = train.Lesson(build(tokenizer, 32, (1, 1), 1), len(world.emoji))
    batch = data.draw_batch(world, tokenizer, 4, np.random.default_rng(0))
    optimizer = torch.optim.AdamW(lesson.parameters(), lr=5e-3)
    history = []
    for _ in range(60):
        words, cells = lesson(batch)
        (words + cells).backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append((words.item(), cells.item()))
    assert history[-1][0] < 0.15 * history[0][0]
    assert history[-1][1] < 0.3 * history[0][1]
    told = train.captions_of(lesson.captioner, tokenizer, batch.images)
    assert told == tokenizer.batch_decode(batch.tokens, skip_special_tokens=True)
    scores = train.held_out_scores(lesson, tokenizer, world, batch)
    assert (scores["named"], scores["told"]) == (1, 1)
    assert scores["bleu"] == pytest.approx(100)


def test_a_saved_captioner_loads_with_the_same_logits(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model = build(tokenizer, 32, (1, 1), 1).eval()
    results.save(model, tmp_path, tokenizer, build_image_processor())
    loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32)
    words = data.encode(AutoTokenizer.from_pretrained(tmp_path), ["A Dog Face on a red background"])
    assert torch.equal(words, data.encode(tokenizer, ["a dog face on a red background"]))
    inputs = {"pixel_values": torch.rand(1, 3, 128, 128), "decoder_input_ids": words}
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=5e-3, rtol=0)
    beams = loaded.generate(pixel_values=inputs["pixel_values"], num_beams=2, max_length=5)
    assert beams.shape[0] == 1
    assert beams[0, 0] == tokenizer.bos_token_id


def test_the_saved_image_processor_sees_what_training_saw(
    world: World, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    results.save(build(tokenizer, 32, (1, 1), 1), tmp_path, tokenizer, build_image_processor())
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    scene = world.sample(np.random.default_rng(0))
    pixels = world.draw(scene, arrange(scene, np.random.default_rng(0)))
    seen = processor(Image.fromarray(pixels), return_tensors="pt").pixel_values
    torch.testing.assert_close(seen, as_images([pixels]))


def test_the_standard_captioner_is_small(tmp_path: Path) -> None:
    tokenizer = build_tokenizer({f"word{number}" for number in range(691)})
    model = build(tokenizer)
    results.save(model, tmp_path, tokenizer, build_image_processor())
    assert model.num_parameters() < 9_000_000
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 9_000_000


def test_the_vocabulary_has_every_word_of_every_caption(
    world: World, tokenizer: PreTrainedTokenizerBase
) -> None:
    rng = np.random.default_rng(9)
    for _ in range(300):
        text = caption(world.sample(rng, held_out=rng.random() < 0.5), rng)
        assert tokenizer.unk_token_id not in tokenizer.encode(text), text
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_cell_holds_the_emoji_over_its_centre(
    world: World, tokenizer: PreTrainedTokenizerBase
) -> None:
    batch = data.draw_batch(world, tokenizer, 16, np.random.default_rng(3))
    for scene, boxes, cells in zip(batch.scenes, batch.boxes, batch.cells, strict=True):
        expected = torch.zeros(8, 8, dtype=torch.long)
        for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
            for row in range(8):
                for column in range(8):
                    x, y = column * 16 + 8, row * 16 + 8
                    if left <= x < left + edge and top <= y < top + edge:
                        expected[row, column] = 1 + world.emoji.index(item.emoji)
        assert expected.any()
        assert torch.equal(cells.view(8, 8), expected)


@pytest.mark.parametrize(
    ("boxes", "parts"),
    [
        ([(40, 40, 40)], ["only"]),
        ([(0, 40, 56), (64, 24, 56)], ["left", "right"]),
        ([(64, 40, 56), (0, 24, 56)], ["right", "left"]),
        ([(40, 0, 56), (24, 64, 40)], ["above", "below"]),
        ([(40, 64, 56), (24, 0, 40)], ["below", "above"]),
    ],
)
def test_a_thing_plays_the_part_of_where_it_stands(boxes: list[Box], parts: list[str]) -> None:
    assert [data.PARTS[part] for part in data.parts_of(boxes)] == parts


def test_cells_know_the_part_of_the_thing_over_them(
    world: World, tokenizer: PreTrainedTokenizerBase
) -> None:
    batch = data.draw_batch(world, tokenizer, 16, np.random.default_rng(3))
    assert torch.equal(batch.parts > 0, batch.cells > 0)
    for boxes, parts in zip(batch.boxes, batch.parts, strict=True):
        assert set(parts.tolist()) - {0} == set(data.parts_of(boxes))


def test_where_places_have_no_order_things_are_told_as_one_reads() -> None:
    dog, cat = Item(emoji("dog")), Item(emoji("cat"))
    left, right = data.PARTS.index("left"), data.PARTS.index("right")
    for place in ("beside", "and"):
        scene = Scene((dog, cat), place, "red")
        assert data.in_reading_order(scene, [left, right]).items == (dog, cat)
        assert data.in_reading_order(scene, [right, left]).items == (cat, dog)
    ordered = Scene((dog, cat), "left", "red")
    assert data.in_reading_order(ordered, [left, right]) == ordered


def test_held_out_scenes_are_told_in_the_standard_wording(
    world: World, tokenizer: PreTrainedTokenizerBase
) -> None:
    batch = data.draw_batch(world, tokenizer, 20, np.random.default_rng(3), held_out=True)
    assert all(scene.is_held_out() for scene in batch.scenes)
    told = tokenizer.batch_decode(batch.tokens, skip_special_tokens=True)
    assert all(
        text.endswith(f"{scene.colour} background")
        for text, scene in zip(told, batch.scenes, strict=True)
    )


def emoji(name: str) -> Emoji:
    return next(entry for entry in everyday() if name in entry.names)


DOG, CAT, BOW = (emoji(name).character for name in ("dog", "cat", "bow and arrow"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog face on a red background", ParsedCaption((DOG,), "", "red")),
        ("puppy against a red background", ParsedCaption((DOG,), "", "red")),
        ("A tiny dog", ParsedCaption((DOG,), "", "")),
        ("a dog left of a big cat on white", ParsedCaption((DOG, CAT), "left", "white")),
        ("a cat to the right of a dog", ParsedCaption((DOG, CAT), "left", "")),
        ("a cat under a dog on blue", ParsedCaption((DOG, CAT), "above", "blue")),
        ("a dog and a cat", ParsedCaption(tuple(sorted((DOG, CAT))), "and", "")),
        ("a cat and a dog", ParsedCaption(tuple(sorted((DOG, CAT))), "and", "")),
        ("bow and arrow and dog", ParsedCaption(tuple(sorted((DOG, BOW))), "and", "")),
        ("two dog faces on a pink background", ParsedCaption((DOG, DOG), "and", "pink")),
        ("a dog on a dog on a dog", None),
        ("", None),
    ],
)
def test_captions_are_read_for_their_meaning(text: str, expected: ParsedCaption | None) -> None:
    assert CaptionParser(everyday()).parse(text) == expected


def test_every_caption_of_the_world_is_read_right() -> None:
    world = World(everyday()[:60])
    parser = CaptionParser(everyday())
    rng = np.random.default_rng(11)
    for _ in range(500):
        scene = world.sample(rng)
        boxes = arrange(scene, rng)
        text = caption(scene, rng)
        reading = parser.parse(text)
        assert reading is not None, text
        assert reading.colour in ("", scene.colour)
        assert names_all(reading, scene) == (reading.colour != ""), text
        assert place_is_true(reading, scene, boxes), text


def test_a_caption_is_wrong_if_a_name_a_colour_or_the_place_is() -> None:
    scene = Scene((Item(emoji("dog")), Item(emoji("cat"))), "left", "red")
    boxes = [(0, 32, 56), (72, 40, 56)]
    assert names_all(ParsedCaption((CAT, DOG), "and", "red"), scene)
    assert not names_all(ParsedCaption((DOG, CAT), "left", "blue"), scene)
    assert not names_all(ParsedCaption((DOG, BOW), "left", "red"), scene)
    assert not names_all(ParsedCaption((DOG,), "", "red"), scene)
    assert not names_all(None, scene)
    assert place_is_true(ParsedCaption((DOG, CAT), "left", "red"), scene, boxes)
    assert not place_is_true(ParsedCaption((CAT, DOG), "left", "red"), scene, boxes)
    assert not place_is_true(ParsedCaption((DOG, CAT), "above", "red"), scene, boxes)
    assert place_is_true(ParsedCaption((CAT, DOG), "beside", "red"), scene, boxes)


def test_the_unfamiliar_is_told_from_the_familiar() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(0.1, 3, 32)
    seen, unseen, strange, other = (
        torch.randn(2000, 32, generator=generator) * scale + 5 for _ in range(4)
    )
    strange[:, 3] += 6 * scale[3]
    other[:, 3] += 6 * scale[3]
    fitted = ood_detector.fit(seen, strange, unseen)
    known = Familiarity.from_json(json.loads(json.dumps(fitted)) | {"flattest": 0.5})
    edge = torch.full((len(seen),), 0.5)
    assert torch.equal(known.is_unfamiliar(other, edge), known.log_odds(other) > known.threshold)
    assert known.is_unfamiliar(seen, edge + 0.01).all()
    wrong, right = (known.log_odds(each) > known.threshold for each in (unseen, other))
    assert float(wrong.float().mean()) == pytest.approx(0.01, abs=0.001)
    assert float(right.float().mean()) > 0.98
    assert fitted == ood_detector.fit(seen, strange, unseen)
    far = torch.full((2, 32), 1e6)
    far[1] = 1e9
    assert len(set(known.log_odds(far).tolist())) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"mean": None},
        {"mean": "far"},
        {"mean": [0.0] * 3},
        {"weights": [[1.0], [2.0, 3.0]]},
        {"votes": [1.0]},
        {"bias": []},
        {"threshold": "high"},
    ],
    ids=str,
)
def test_a_familiarity_of_another_kind_is_refused(changed: dict[str, Any]) -> None:
    row = [0.0, 1.0]
    value = {"mean": row, "spread": [1.0, 1.0], "weights": [row] * 3, "biases": [0.0] * 3}
    value |= {"votes": [1.0] * 3, "bias": 0.0, "threshold": 1.0, "flattest": 1.0}
    assert Familiarity.from_json(value).threshold == 1
    with pytest.raises(LoadFailed, match=r"world\.json is not as expected"):
        Familiarity.from_json(value | changed)
    with pytest.raises(LoadFailed, match="'votes'"):
        Familiarity.from_json({name: each for name, each in value.items() if name != "votes"})


@pytest.mark.parametrize(("colours", "share"), [(0, 1.0), (1, 1.0), (2, 0.5), (4, 0.25)])
def test_flatness_is_the_share_of_one_colour_in_what_stands_out(colours: int, share: float) -> None:
    pixels = torch.ones(1, 3, 64, 64)
    for colour in range(colours):
        pixels[:, :, 10 * colour : 10 * colour + 10, 20:40] = 0.5 - 0.4 * colour
    assert flatness(pixels).tolist() == [pytest.approx(share)]


def test_traits_are_the_cells_mean_and_spread() -> None:
    cells = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]]])
    assert traits(cells).tolist() == [[3, 5, 2, 0]]


@pytest.mark.parametrize("kind", [*TRAINING_KINDS, *TEST_KINDS])
def test_out_of_distribution_pictures_are_varied_and_repeatable(kind: str) -> None:
    paint = {**TRAINING_KINDS, **TEST_KINDS}[kind]
    first, second = paint(np.random.default_rng(0)), paint(np.random.default_rng(1))
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert (first.reshape(-1, 3).std(axis=0).max() > 1) == (kind != "plain")
    assert not np.array_equal(first, second)
    assert np.array_equal(first, paint(np.random.default_rng(0)))


def test_nothing_is_learned_from_the_kinds_that_test_it() -> None:
    assert not set(TRAINING_KINDS) & set(TEST_KINDS)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_worn_scenes_stay_what_they_are(world: World, name: str) -> None:
    rng = np.random.default_rng(2)
    scene = world.sample(rng)
    drawn = world.draw(scene, arrange(scene, rng))
    worn = AUGMENTATIONS[name](Image.fromarray(drawn), np.random.default_rng(0))
    assert worn.mode == "RGB"
    assert (np.asarray(worn.resize((128, 128))) == drawn).all() == (name == "untouched")
    assert min(worn.size) >= 64
    again = np.asarray(worn.resize((128, 128), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(again - drawn).mean() < (30 if name == "cropped" else 12)


def test_scenes_come_worn_in_every_way_and_from_their_own_side(world: World) -> None:
    pictures = ood_detector.augmented_scenes(
        world, 2 * len(AUGMENTATIONS), np.random.default_rng(0), True
    )
    assert len(pictures) == 2 * len(AUGMENTATIONS)
    assert len({picture.size for picture in pictures}) > 3


def test_a_scene_on_a_pattern_keeps_its_emoji(world: World) -> None:
    scene = world.sample(np.random.default_rng(4))
    pixels = ood_detector.on_a_pattern(world, np.random.default_rng(4))
    colour = np.array(COLOURS[scene.colour])
    assert (pixels == colour).all(axis=2).mean() < 0.2
    rng = np.random.default_rng(4)
    drawn = world.draw(world.sample(rng), arrange(scene, rng))
    is_thing = (drawn != colour).any(axis=2)
    assert np.array_equal(pixels[is_thing], drawn[is_thing])


def test_a_smoke_run_leaves_a_checkpoint_with_its_world(tmp_path: Path) -> None:
    train.main(["--smoke", "--run-dir", str(tmp_path / "run"), "--output", str(tmp_path / "model")])
    world = json.loads((tmp_path / "model/world.json").read_text(encoding="utf-8"))
    assert world["schema"] == 2
    assert "laughter" in world["names"]
    known = Familiarity.from_json(world["familiarity"])
    assert known.weights.shape == (ood_detector.WIDTH, 2 * 64)
    assert (tmp_path / "model/world.json").stat().st_size < 300_000
    assert Image.open(tmp_path / "run/samples.png").width > 400
    assert Image.open(tmp_path / "run/attention.png").width == 13 * 136
    card = (tmp_path / "model/README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: image-to-text" in card
    assert "On 8 held-out scenes" in card
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert (tmp_path / "model" / TRAINING_LOG).read_text().splitlines() == lines
    *_, last = (entry for entry in map(json.loads, lines) if "told" in entry)
    again = scores_of(tmp_path / "model")
    assert again == pytest.approx({name: last[name] for name in again}, abs=1e-5)


def test_the_report_fits_a_checkpoint_anew_and_count(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results.save(build(tokenizer, 32, (1, 1), 1), tmp_path, tokenizer, build_image_processor())
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.linear_gradient("L").save(photographs / "one.png")
    options = ["--smoke", "--model", str(tmp_path), "--photographs", str(photographs)]
    ood_report.main([*options, "--fit"])
    printed = capsys.readouterr().out
    shares = dict(line.split() for line in printed.splitlines())
    kinds = [f"foreign_{kind}" for kind in (*TRAINING_KINDS, *TEST_KINDS)]
    assert list(shares) == [*(f"scene_{name}" for name in AUGMENTATIONS), *kinds, "photographs"]
    assert all(share.endswith("%") for share in shares.values())
    world = (tmp_path / "world.json").read_bytes()
    ood_report.main(options)
    assert capsys.readouterr().out == printed
    assert (tmp_path / "world.json").read_bytes() == world


def scores_of(saved: Path) -> dict[str, float]:
    """Of a smoke run's checkpoint, but for the cells': the aid that reads them is not saved."""
    world = world_named("everyday", smoke=True)
    known = AutoTokenizer.from_pretrained(saved)
    captioner: Any = AutoModelForImageTextToText.from_pretrained(saved, dtype=torch.float32)
    rng = np.random.default_rng(train.HELD_OUT_SEED)
    batch = data.draw_batch(world, known, 8, rng, held_out=True)
    lesson = train.Lesson(captioner, len(world.emoji))
    scores = train.held_out_scores(lesson, known, world, batch)
    return {name: value for name, value in scores.items() if name != "held_out_cells"}


def test_a_run_begins_with_the_weights_that_it_is_given(
    world: World, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    saved = results.save(
        build(tokenizer, 32, (1, 1), 1), tmp_path, tokenizer, build_image_processor()
    )
    parser = command_line.parser("", "captioner", "captioner", 4, 1e-3)
    _, options = command_line.parse(parser, ["--smoke", "--init-from", str(tmp_path)])
    kind, untrained = type(saved), partial(build, tokenizer)
    begun = training.starting_model(options, kind, untrained, tokenizer)
    for mine, theirs in zip(begun.parameters(), saved.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(SystemExit, match="another vocabulary"):
        training.starting_model(options, kind, untrained, build_tokenizer(["red"]))
