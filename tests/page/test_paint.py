"""Painting in Chromium: what stands under a picture, what Stop leaves, what a dropped picture
fills in."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

from tests.page.visit import expect_status, field, fix_seed, open_settings, open_tab

A1111 = """a red fox, oil painting <lora:foxes:0.8>
Negative prompt: blurry
Steps: 25, Sampler: Euler, CFG scale: 6.5, Seed: 1234, Size: 512x768, Model: v1-5"""


def test_stop_keeps_the_finished_pictures_each_with_its_seed_and_receipt(page: Page) -> None:
    open_tab(page, "Paint")
    fix_seed(page)
    page.locator("#paint-prompt textarea").fill("a panda on a cyan background")
    page.get_by_label("number input for Pictures").locator("visible=true").fill("8")
    page.locator("#paint-run").click()
    captions = page.locator("#paint-gallery .caption-label")
    expect(captions.first).to_contain_text(re.compile(r"seed \d+ · emoji-painter · a panda"))
    expect(page.locator(".status:visible").first).to_contain_text("Picture 2 of 8")
    page.locator("#paint-stop").click()
    expect_status(page, "Stopped")
    kept = [text for text in captions.all_inner_texts() if "seed" in text]
    assert 1 <= len(kept) < 8
    seeds = [int(re.search(r"seed (\d+)", text)[1]) for text in kept]  # type: ignore[index]
    assert seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    expect(page.locator("#paint-facts")).to_contain_text(str(seeds[-1]))
    page.locator("button.label-wrap:visible", has_text="Receipt").first.click()
    expect(page.locator("#paint-receipt")).to_contain_text("output_sha256")


def test_a_dropped_picture_fills_the_fields_and_lists_what_was_not_taken(
    page: Page, tmp_path: Path
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", A1111)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "fox.png", pnginfo=text)
    open_tab(page, "Paint")
    page.get_by_role("button", name="Settings from a picture").click()
    page.locator("#paint-drop input[type=file]").set_input_files(str(tmp_path / "fox.png"))
    said = page.locator("#paint-drop-said textarea")
    expect(said).to_have_value(re.compile(r"From AUTOMATIC1111: [^\n]*prompt"))
    assert "Not taken: <lora:foxes:0.8> in the prompt" in said.input_value()
    assert "v1-5" in said.input_value()
    expect(page.locator("#paint-prompt textarea")).to_have_value("a red fox, oil painting")
    expect(page.locator("#paint-hint")).to_contain_text("“red” before it")
    open_settings(page)
    expect(field(page, "Seed")).to_have_value("1234")
    expect(field(page, "Height")).to_have_value("768")
    negative = page.get_by_label("Negative prompt").locator("visible=true").first
    expect(negative).to_have_value("blurry")


def test_while_one_types_an_unknown_word_is_answered_with_what_is_near(page: Page) -> None:
    open_tab(page, "Paint")
    prompt, hint = page.locator("#paint-prompt textarea"), page.locator("#paint-hint")
    prompt.fill("a lorry on a white background")
    expect(hint).to_contain_text("never seen “lorry”; near it: truck")
    prompt.fill("a philosophy on a white background")
    expect(hint).to_be_hidden()
