"""The autoencoder and the painter learn, save and come back as what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes import command_line, training
from pipelines.recipes.diffusion import train as diffusion
from pipelines.recipes.diffusion.checkpoint import paint, words_of
from pipelines.recipes.diffusion.data import WINDOWS, Window, encode_scenes, encode_windows
from pipelines.recipes.diffusion.model import (
    Painter,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    denoising_errors,
    spread_timesteps,
)
from pipelines.recipes.diffusion.words import teach_words
from pipelines.recipes.emoji_scenes.data import (
    World,
    as_images,
    plain_caption,
    scene_words,
    world_named,
)
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.recipes.extractor import load_extractor
from pipelines.recipes.muon import MuonWithAdamW, muon_or_adamw
from pipelines.recipes.vae import train as vae_recipe
from pipelines.recipes.vae.model import build
from pipelines.settings import ROOT

SMALL = (8, 8, 8, 8)


@pytest.fixture(scope="module")
def world() -> World:
    return World(everyday()[32:38])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both recipes' ``--smoke`` runs leave: an autoencoder and a whole painter."""
    directory = tmp_path_factory.mktemp("smoke")
    for module, name, extra in (
        (vae_recipe, "vae", []),
        (diffusion, "painter", ["--vae", str(directory / "vae")]),
    ):
        folders = ["--run-dir", str(directory / f"run-{name}"), "--output", str(directory / name)]
        module.main(["--smoke", *folders, *extra])
    return directory


def test_the_embedded_painter_has_the_words_of_the_vocabulary() -> None:
    """``world.json`` is written by a training; what was added to the vocabulary since counts."""
    world = json.loads((ROOT / "assets/models/emoji-painter/world.json").read_text("utf-8"))
    words = words_of(everyday())
    assert {name: world[name] for name in words} == words


def test_the_autoencoder_overfits_one_batch(world: World) -> None:
    torch.manual_seed(0)
    vae = build((16, 16, 16, 16))
    rng = np.random.default_rng(0)
    images = as_images([vae_recipe.crop_around_item(world, rng) for _ in range(2)])
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        output = vae.decode(vae.encode(images).latent_dist.mode()).sample
        loss = vae_recipe.reconstruction_loss(output, images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_painter_overfits_one_batch(world: World) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["red", "blue"])
    painter = Painter(
        build_text_encoder(len(tokenizer), 32, 1), build_unet((32, 32), text_width=32)
    )
    ids = diffusion.tokenize(tokenizer, ["red", "blue"] * 4)
    latents = torch.randn(2, 8, 16, 16).repeat(4, 1, 1, 1)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    scheduler = build_scheduler()

    def loss_now() -> torch.Tensor:
        timesteps = spread_timesteps(8, generator=torch.Generator().manual_seed(3))
        noise = torch.Generator().manual_seed(4)
        predict = painter.predictor(ids)
        return denoising_errors(predict, scheduler, latents, timesteps, noise).mean()

    first = loss_now().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_now()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * first


def test_standardised_latents_decode_to_the_same_pictures(world: World) -> None:
    torch.manual_seed(0)
    vae = build(SMALL).eval()
    images = vae_recipe.scenes_of(world, 8, seed=1, held_out=True)
    with torch.no_grad():
        before = vae.decode(vae.encode(images).latent_dist.mode()).sample
        vae_recipe.standardise(vae, images)
        latents = vae.encode(images).latent_dist.mode()
        after = vae.decode(latents).sample
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(8), atol=1e-3)
    assert torch.allclose(before, after, atol=1e-3)


def test_a_smoke_run_leaves_a_painter_that_diffusers_loads(trained: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(trained / "painter", dtype=torch.float32)
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    generator = torch.Generator().manual_seed(0)
    (picture,) = pipeline("a dog face", num_inference_steps=2, generator=generator).images
    assert picture.size == (128, 128)


def test_a_smoke_run_saves_half_precision_in_files_that_git_takes(trained: Path) -> None:
    files = list((trained / "painter").rglob("*.safetensors"))
    assert len(files) == 3
    assert all(file.stat().st_size < 9 * 1024**2 for file in files)
    assert all(t.dtype == torch.float16 for file in files for t in load_file(file).values())


def test_no_checkpoint_tells_where_its_parts_once_lay(trained: Path) -> None:
    configs = list((trained / "painter").rglob("*.json"))
    assert len(configs) > 4
    assert not any("_name_or_path" in file.read_text(encoding="utf-8") for file in configs)


def test_the_smoke_log_has_the_scores_of_the_saved_files(trained: Path) -> None:
    log = (trained / "run-painter/log.jsonl").read_text()
    assert "colour_right" in log
    assert Image.open(trained / "run-painter/samples.png").size == (512, 256)
    assert (trained / "run-vae/samples.png").is_file()
    assert "autoencoder_error" in log
    assert (trained / "painter" / TRAINING_LOG).read_text() == log
    assert (trained / "vae" / TRAINING_LOG).is_file()


def test_the_last_points_of_the_curves_are_the_scores_of_the_saved_files(trained: Path) -> None:
    log = (trained / "run-painter/log.jsonl").read_text()
    *_, last = (entry for entry in map(json.loads, log.splitlines()) if "held_out_kid" in entry)
    world = world_named("everyday", smoke=True)
    pipeline = StableDiffusionPipeline.from_pretrained(trained / "painter", dtype=torch.float32)
    scenes = encode_scenes(pipeline.vae, world, 16, seed=2, cache=None, held_out=True)
    captions = [plain_caption(scene) for scene in diffusion.held_out_scenes(world, 8)]
    pictures = paint(pipeline, captions)[:4]
    again = diffusion.held_out_scores(pipeline, scenes, world, pictures, load_extractor(128))
    assert again == pytest.approx({name: last[name] for name in again}, abs=1e-5)


def test_the_autoencoder_s_curve_ends_with_the_error_of_its_saved_file(trained: Path) -> None:
    *_, last = map(json.loads, (trained / "vae" / TRAINING_LOG).read_text().splitlines())
    vae = AutoencoderKL.from_pretrained(trained / "vae", dtype=torch.float32)
    again = vae_recipe.held_out_error(vae, world_named("everyday", smoke=True))
    assert last["held_out_error"] == pytest.approx(again, abs=1e-5)


def test_the_page_can_serve_what_the_recipe_saved(trained: Path, tmp_path: Path) -> None:
    from pipelines.events import with_result
    from pipelines.runtime.studio import Studio
    from pipelines.settings import Settings
    from pipelines.text_to_image.pipeline import PaintRequest, Preview, generate

    studio = Studio(Settings(models_dir=trained, data_dir=tmp_path, hub_enabled=False))
    request = PaintRequest("painter", "a crying face and a spoon", steps=2, seed=0)
    *events, result = with_result(generate(studio, request))
    assert any(isinstance(event, Preview) and event.pictures for event in events)
    assert "spoon" in result.notes[0]


def test_an_unknown_word_is_one_unknown_token_and_punctuation_none() -> None:
    tokenizer = build_tokenizer(["red", "apple"])
    ids = tokenizer("A RED, apple! 猫")["input_ids"]
    unknown = tokenizer.unk_token_id
    red, apple = (tokenizer.convert_tokens_to_ids(word) for word in ("red", "apple"))
    assert ids == [1, unknown, red, apple, unknown, 2]


def test_the_text_encoder_learns_what_its_words_look_like(world: World) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(scene_words(world))
    encoder = build_text_encoder(len(tokenizer), 32, 1)
    right = teach_words(encoder, tokenizer, build(SMALL).eval(), world, steps=120, seed=0)
    assert right > 0.25, "by chance it is one in 18"


def test_things_stand_in_the_cells_that_count_more(world: World) -> None:
    scenes = encode_scenes(build(SMALL).eval(), world, 4, seed=3, cache=None)
    assert scenes.covered.dtype == torch.bool
    shares = scenes.covered.float().mean(dim=(1, 2))
    assert all(25 / 256 <= share <= 162 / 256 for share in shares.tolist())


@pytest.mark.parametrize(
    ("kind", "covered"),
    [
        (WINDOWS[0], {5 * 5, 7 * 7}),
        (WINDOWS[1], {9 * 9}),
        (WINDOWS[2], {2 * 5 * 5, 5 * 5 + 7 * 7}),
    ],
)
def test_a_window_holds_whole_things_and_is_cached(
    world: World, tmp_path: Path, kind: Window, covered: set[int]
) -> None:
    vae = build(SMALL).eval()
    cache = tmp_path / "windows.safetensors"
    windows = encode_windows(vae, world, kind, 24, seed=0, cache=cache)
    assert windows.edge == kind.edge // 8
    assert windows.latents.shape == (24, 8, windows.edge, windows.edge)
    assert set(windows.covered.flatten(1).sum(dim=1).tolist()) == covered
    again = encode_windows(vae, world, kind, 24, seed=0, cache=cache)
    assert torch.equal(windows.latents, again.latents)
    assert windows.captions == again.captions
    with pytest.raises(SystemExit, match="holds 24 scenes, not 25"):
        encode_windows(vae, world, kind, 25, seed=0, cache=cache)


def test_windows_are_shown_first_by_their_shares_and_whole_scenes_later(world: World) -> None:
    vae = build(SMALL).eval()
    scenes = encode_scenes(vae, world, 2, seed=0, cache=None)
    windows = [encode_windows(vae, world, kind, 2, seed=0, cache=None) for kind in WINDOWS]
    rng = np.random.default_rng(0)
    shown = [diffusion.pick(scenes, windows, 0.1, rng) for _ in range(400)]
    for kind, scene in zip(WINDOWS, windows, strict=True):
        assert sum(s is scene for s in shown) == pytest.approx(400 * kind.share, abs=30)
    assert diffusion.pick(scenes, windows, diffusion.WINDOWS_UNTIL, rng) is scenes


def test_captions_are_padded_to_the_longest_or_as_the_pipeline_pads_them(world: World) -> None:
    tokenizer = build_tokenizer(scene_words(world))
    captions = ["a cat face", "a small dog face on a white background"]
    whole = diffusion.tokenize(tokenizer, captions)
    short = diffusion.tokenize(tokenizer, captions, "longest")
    assert whole.shape == (2, 32)
    assert short.shape == (2, 10)  # eight words between beginning and end
    assert torch.equal(whole[:, :10], short)


def test_what_meets_latents_and_words_is_left_to_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all is, where bf16 is only emulated: Muon would be slower than it learns."""
    painter: Any = Painter(build_text_encoder(9, 32, 1), build_unet((16, 16), text_width=32))
    painter.to(memory_format=torch.channels_last)
    monkeypatch.setattr(training, "precision", lambda: "bf16")
    both = muon_or_adamw(painter, 1e-3, 0.01, diffusion.OUTER_LAYERS)
    assert isinstance(both, MuonWithAdamW)
    _, *adamw = both.param_groups
    names = {id(parameter): name for name, parameter in painter.named_parameters()}
    left = {names[id(p)] for group in adamw for p in group["params"] if p.ndim > 1}
    assert left == {
        "unet.conv_in.weight",
        "unet.conv_out.weight",
        "unet.add_embedding.pool.positional_embedding",
        "text_encoder.embeddings.token_embedding.weight",
        "text_encoder.embeddings.position_embedding.weight",
    }
    monkeypatch.setattr(training, "precision", lambda: "no")
    assert isinstance(muon_or_adamw(painter, 1e-3, 0.01, diffusion.OUTER_LAYERS), torch.optim.AdamW)


def test_late_timesteps_are_drawn_more_often() -> None:
    even, late = (
        spread_timesteps(512, late, torch.Generator().manual_seed(0)) for late in (1.0, 1.5)
    )
    assert even.float().mean() == pytest.approx(500, abs=5)
    assert late.float().mean() == pytest.approx(600, abs=5)  # the mean of t under 1.5 t^0.5
    assert min(even.min(), late.min()) >= 0
    assert max(even.max(), late.max()) <= 999


def test_a_run_begins_with_the_weights_that_it_is_given(trained: Path) -> None:
    options = smoke_options("--init-from", str(trained / "painter"))
    saved = StableDiffusionPipeline.from_pretrained(trained / "painter", dtype=torch.float32)
    painter = diffusion.starting_painter(options, saved.tokenizer, 8)
    for mine, theirs in zip(painter.unet.parameters(), saved.unet.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_weights_of_a_world_with_other_words_are_refused(trained: Path) -> None:
    options = smoke_options("--init-from", str(trained / "painter"))
    with pytest.raises(SystemExit, match="another vocabulary"):
        diffusion.starting_painter(options, build_tokenizer(["red"]), 8)


def smoke_options(*arguments: str) -> command_line.Options:
    parser = command_line.parser("", "painter", "painter", 4, 1e-3)
    return command_line.options_from(parser.parse_args(["--smoke", *arguments]))
