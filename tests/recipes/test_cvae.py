"""The conditional variational autoencoder: its losses, its walks, its checkpoint on the page."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence
from transformers import PreTrainedTokenizerFast

from pipelines.errors import InvalidValue
from pipelines.hub import resolve
from pipelines.recipes import results
from pipelines.recipes.cvae import train
from pipelines.recipes.cvae.model import (
    ConditionalVAE,
    ConditionalVAEPipeline,
    Normal,
    ReadingBlock,
)
from pipelines.recipes.diffusion.model import build_text_encoder, build_tokenizer
from pipelines.recipes.emoji_scenes.data import (
    Item,
    Scene,
    World,
    as_images,
    plain_caption,
    scene_words,
    world_named,
)
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.vae.train import reconstruction_loss
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.batch import paint_batch, takes_batches
from pipelines.text_to_image.pipeline import PaintRequest, checked, generate
from tests.recipes.killing import killed_in_step
from tests.running import finished, loaded

TINY: dict[str, Any] = {"text_width": 32, "channels": 32, "recogniser_channels": (8, 8, 8)}


@pytest.fixture(scope="module")
def world() -> World:
    return world_named("twelve")


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(scene_words(world))


def tiny(tokenizer: PreTrainedTokenizerFast, world: World) -> train.Learner:
    torch.manual_seed(0)
    return train.build(len(tokenizer), train.components_of(world, 32), **TINY)


@pytest.fixture
def pipeline(tokenizer: PreTrainedTokenizerFast, world: World) -> ConditionalVAEPipeline:
    """Of random weights, with blocks that change something."""
    learner = tiny(tokenizer, world).eval()
    for module in learner.modules():
        if isinstance(module, ReadingBlock):
            torch.nn.init.normal_(module.second.weight, std=0.2)
    return train.assemble(learner, tokenizer)


def test_it_overfits_one_batch(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    learner = tiny(tokenizer, world)
    pictures, captions = train.draw_batch(world, 4, np.random.default_rng(0))
    ids = train.tokenize(tokenizer, captions)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    errors, nats = [], []
    for _ in range(150):
        output, divergence = learner(ids, pictures)
        error = reconstruction_loss(output, pictures)
        train.objective(error, divergence.mean()).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        errors.append(error.item())
        nats.append(divergence.mean().item())
    assert errors[-1] < 0.25 * errors[0]
    assert nats[-1] < 30


def test_the_divergence_is_that_of_normal_distributions() -> None:
    a, b = (Normal(*torch.randn(2, 3, 5)) for _ in range(2))
    theirs = [TorchNormal(each.mean, (0.5 * each.log_variance).exp()) for each in (a, b)]
    torch.testing.assert_close(a.divergence(b), kl_divergence(*theirs).sum(dim=1))
    torch.testing.assert_close(a.divergence(a), torch.zeros(3))
    draws = a.at(torch.randn(20_000, 3, 5))
    torch.testing.assert_close(draws.mean(dim=0), a.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(draws.var(dim=0).log(), a.log_variance, atol=0.1, rtol=0)


def test_a_block_begins_as_the_identity_and_reads_words_in_any_place() -> None:
    block, x, words = ReadingBlock(8, 16), torch.randn(2, 8, 4, 4), torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x, words), x)
    torch.nn.init.normal_(block.second.weight)
    read = block(x, words)
    torch.testing.assert_close(block(x, words.flip(1)), read)
    assert not torch.allclose(block(x, words.flip(0)), read)


def test_the_first_map_stays_at_the_components(
    world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    learner, components = tiny(tokenizer, world), train.components_of(world, 32)
    assert torch.equal(learner.cvae.to_cells.weight, components.to_cells.weight)
    assert torch.equal(learner.cvae.generate.to_pixels.weight, components.to_pixels.weight)
    assert not learner.cvae.to_cells.weight.requires_grad


def test_a_walk_goes_from_its_first_point_to_its_second(pipeline: ConditionalVAEPipeline) -> None:
    noise = torch.randn(2, 1, 32, generator=torch.Generator().manual_seed(1))
    captions = "a dog face on a red background", "a red car on a white background"
    first = pipeline.at_caption(captions[0], noise[0])
    second = pipeline.at_caption(captions[1], noise[1])
    there, back = pipeline.walk(first, second, 5), pipeline.walk(second, first, 5)
    assert len(there) == 5
    pixels = [np.asarray(each).astype(int) for each in there]
    assert pixels[0].shape == (128, 128, 3)
    for one, other in zip(pixels, back[::-1], strict=True):
        assert np.abs(one - np.asarray(other)).max() <= 1
    steps = [np.abs(a - b).mean() for a, b in pairwise(pixels)]
    assert min(steps) > 0
    assert max(steps) < np.abs(pixels[-1] - pixels[0]).mean()


def test_a_point_at_a_picture_is_the_posteriors(
    pipeline: ConditionalVAEPipeline, world: World
) -> None:
    images = train.held_out_scenes(world, 2).images
    one, other = (pipeline.at_picture(image, "a dog face") for image in images)
    assert torch.equal(one.words, other.words)
    assert not torch.allclose(one.latents, other.latents)
    expected = pipeline.cvae.posterior(images[:1], one.words).mean
    torch.testing.assert_close(one.latents, expected)


def test_painting_follows_caption_and_seed(pipeline: ConditionalVAEPipeline) -> None:
    def paint(caption: str, seed: int) -> Image.Image:
        picture: Image.Image = pipeline(caption, generator=torch.Generator().manual_seed(seed))[0][
            0
        ]
        return picture

    picture = paint("a dog face on a red background", 0)
    assert picture == paint("a dog face on a red background", 0)
    assert picture != paint("a dog face on a red background", 1)
    assert picture != paint("a red car on a white background", 0)
    several = train.painted(pipeline, ["a dog face on a red background"] * 2)
    assert np.abs(np.asarray(several[0]).astype(int) - np.asarray(picture)).max() <= 1


def test_the_standard_one_is_small(tmp_path: Path) -> None:
    words = build_tokenizer(scene_words(World(everyday())))
    cvae = ConditionalVAE()
    learner = train.Learner(build_text_encoder(len(words), cvae.config.text_width, 2), cvae)
    results.save(train.assemble(learner, words), tmp_path)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(sizes) < 8_000_000


def smoke(folder: Path, *options: str) -> Path:
    output = folder / "models" / "emoji-cvae"
    folders = ["--run-dir", str(folder / "run"), "--output", str(output)]
    train.main(["--smoke", "--world", "twelve", *folders, *options])
    return output


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smoke(tmp_path_factory.mktemp("smoke"))


def test_a_smoke_run_leaves_samples_scores_and_a_card(checkpoint: Path) -> None:
    assert Image.open(checkpoint.parents[1] / "run/samples.png").size == (8 * 128, 5 * 128)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-to-image" in card
    assert all(label in card for label in train.LABELS.values())
    assert (checkpoint / "training_log.jsonl").is_file()


def test_its_checkpoint_paints_on_the_page(checkpoint: Path) -> None:
    settings = Settings(models_dir=checkpoint.parent, hub_enabled=False)
    assert resolve("emoji-cvae", "paint", settings).family == "ConditionalVAEPipeline"
    studio, prompt = Studio(settings), "a dog on a red background"
    request = PaintRequest("emoji-cvae", prompt, count=2, seed=3)
    painted = finished(generate, studio, request)
    assert [picture.size for picture in painted.pictures] == [(128, 128)] * 2
    assert painted.pictures[0] != painted.pictures[1]
    assert painted.notes == []
    assert painted.receipt["request"]["steps"] == 1
    with loaded(studio) as painter:
        assert takes_batches(painter)
        one = checked(PaintRequest("emoji-cvae", prompt, seed=3), settings.limits)
        (together,) = paint_batch(painter, [one], lambda: None, ())
    assert together == painted.pictures[0]


def test_what_it_does_not_read_is_said_and_what_it_cannot_do_is_refused(checkpoint: Path) -> None:
    studio = Studio(Settings(models_dir=checkpoint.parent, hub_enabled=False))
    request = PaintRequest("emoji-cvae", "a dog", steps=20, guidance_scale=4.0, seed=0)
    painted = finished(generate, studio, request)
    assert [note.split(";")[0] for note in painted.notes] == [
        "This model paints in 1 step",
        "This model was trained to need no guidance",
    ]
    assert painted.receipt["request"]["steps"] == 1
    with pytest.raises(InvalidValue, match="takes none but"):
        finished(generate, studio, PaintRequest("emoji-cvae", "a dog", scheduler="DDIM"))
    with pytest.raises(InvalidValue, match="multiples of 128"):
        finished(generate, studio, PaintRequest("emoji-cvae", "a dog", width=192, height=192))


def test_a_run_that_is_killed_and_resumed_ends_the_same(checkpoint: Path, tmp_path: Path) -> None:
    killed_in_step(2, lambda: smoke(tmp_path))
    again = smoke(tmp_path, "--resume")
    name = "cvae/diffusion_pytorch_model.safetensors"
    assert (again / name).read_bytes() == (checkpoint / name).read_bytes()


def test_a_run_begins_with_the_weights_that_it_is_given(checkpoint: Path, tmp_path: Path) -> None:
    given = train.Learner.from_pretrained(checkpoint, torch.float32)
    before = given.cvae.recognise.out.weight
    again = smoke(tmp_path, "--init-from", str(checkpoint), "--learning-rate", "1e-9")
    after = train.Learner.from_pretrained(again, torch.float32).cvae.recognise.out.weight
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)
    assert not given.cvae.to_cells.weight.requires_grad


def test_it_learns_where_things_stand(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    """Without free nats every thing stayed in the mean of its places: the latents were silent."""
    learner, scene = tiny(tokenizer, world), Scene((Item(world.emoji[0]),), "", "red")
    boxes = [(8 * column, 40, 56) for column in range(0, 10, 3)]
    pictures = as_images([world.draw(scene, [box]) for box in boxes])
    ids = train.tokenize(tokenizer, [plain_caption(scene)]).expand(len(boxes), -1)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    for _ in range(400):
        output, divergence = learner(ids, pictures)
        train.objective(reconstruction_loss(output, pictures), divergence.mean()).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    output, _ = learner(ids, pictures)
    errors = (output[:, None] - pictures[None]).abs().mean(dim=(2, 3, 4))
    assert errors.argmin(dim=1).tolist() == list(range(len(boxes)))
    others = errors[~torch.eye(len(boxes), dtype=torch.bool)].min().item()
    assert errors.diagonal().max().item() < 0.6 * others
