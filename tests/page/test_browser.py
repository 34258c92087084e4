"""A visit: through the tabs in Chromium, looking at what comes out."""

from __future__ import annotations

import io
import re
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.arena import link as vote_link
from pipelines.arena.setup import Setup
from pipelines.datasets.samples import DataSet
from pipelines.evaluation.link import encode
from pipelines.evaluation.request import EvaluationRequest, Painting
from pipelines.evaluation.setup import named_setup
from pipelines.settings import Limits
from tests.heif_writer import add_heif_writer
from tests.page.conftest import ROOT, Server
from tests.page.visit import expect_status, fix_seed, open_tab


def test_write_streams_a_tale_and_continue_makes_it_longer(page: Page) -> None:
    fix_seed(page)
    page.locator("#write-prompt textarea").fill("Once upon a time there was")
    page.locator("#write-run").click()
    expect_status(page, "Done")
    story = page.locator("#story textarea")
    first = story.input_value()
    assert first.startswith("Once upon a time there was")
    assert len(first) > 200
    expect(page.locator("#write-facts")).to_contain_text("tokens/s")
    page.locator("#write-continue").click()
    expect(story).not_to_have_value(first)
    expect_status(page, "Done")
    assert story.input_value().startswith(first)
    assert len(story.input_value()) > len(first)


def test_ctrl_enter_runs_the_tab_and_continue_waits_for_a_text(page: Page) -> None:
    expect(page.locator("#write-run")).to_have_attribute("title", "Ctrl+Enter")
    expect(page.locator("#write-continue")).to_be_disabled()
    page.locator("#write-prompt textarea").fill("Once upon a time there was")
    page.keyboard.press("Control+Enter")
    expect_status(page, "Done")
    assert page.locator("#story textarea").input_value().startswith("Once upon a time there was")
    expect(page.locator("#write-continue")).to_be_enabled()


def test_regenerate_writes_another_tale_from_the_same_prompt(page: Page) -> None:
    page.locator("#write-run").click()
    expect_status(page, "Done")
    first = page.locator("#story textarea").input_value()
    page.locator("#write-again").click()
    expect(page.locator("#story textarea")).not_to_have_value(first)
    expect_status(page, "Done")
    second = page.locator("#story textarea").input_value()
    assert first != second
    assert first[:20] == second[:20]


def test_stop_ends_a_tale_and_keeps_what_is_written(page: Page) -> None:
    fix_seed(page)
    tokens = page.get_by_label("number input for New tokens")
    tokens.fill("450")
    tokens.press("Tab")
    prompt = page.locator("#write-prompt textarea").input_value()
    page.locator("#write-run").click()
    expect(page.locator("#story textarea")).not_to_have_value("")
    page.locator("#write-stop").click()
    expect_status(page, "Stopped")
    stopped = page.locator("#story textarea").input_value()
    page.wait_for_timeout(600)
    assert page.locator("#story textarea").input_value() == stopped
    assert stopped.startswith(prompt)
    expect(page.locator("#write-facts")).to_contain_text("left in context")
    expect(page.locator("#write-facts")).to_contain_text("seed")
    expect_status(page, "Stopped")


def test_paint_previews_tells_the_time_left_and_stops(page: Page) -> None:
    open_tab(page, "Paint")
    fix_seed(page)
    page.get_by_label("number input for Steps").locator("visible=true").fill("150")
    page.locator("#paint-run").click()
    status = page.locator(".status:visible").first
    expect(status).to_contain_text(re.compile(r"Picture 1 of 4 · step \d+ of 150.* s left"))
    expect(page.locator("#paint-gallery img").first).to_be_visible()
    page.locator("#paint-stop").click()
    expect_status(page, "Stopped")


def test_paint_shows_pictures_on_the_background_that_was_asked_for(page: Page) -> None:
    open_tab(page, "Paint")
    fix_seed(page)
    page.locator("#paint-prompt textarea").fill("a red apple on a blue background")
    page.locator("#paint-run").click()
    expect_status(page, "Done")
    thumbnails = page.locator("#paint-gallery img")
    expect(thumbnails.first).to_be_visible()
    assert thumbnails.count() >= 4
    source = thumbnails.first.get_attribute("src")
    assert source is not None
    picture = Image.open(io.BytesIO(httpx.get(source).content))
    assert picture.size == (128, 128)
    red, _, blue = picture.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
    assert blue > red + 60
    assert "triptych" in picture.info, "the downloaded file carries its receipt"


def test_paint_names_the_words_that_it_has_never_seen(page: Page) -> None:
    open_tab(page, "Paint")
    page.locator("#paint-prompt textarea").fill("a catt on a white background")
    page.locator("#paint-run").click()
    expect_status(page, "Done")
    notes = page.locator(".notes textarea").first
    expect(notes).to_be_visible()
    assert "catt" in notes.input_value()
    assert "cat face" in notes.input_value()


def test_describe_captions_an_uploaded_picture(page: Page) -> None:
    open_tab(page, "Describe")
    page.locator("#describe-picture input[type=file]").set_input_files(
        str(ROOT / "assets/examples/2-big-pizza.png")
    )
    page.locator("#describe-picture img").wait_for()
    page.locator("#describe-run").click()
    expect_status(page, "Done")
    assert "cyan" in page.locator("#caption textarea").input_value()
    expect(page.locator("#captions")).to_contain_text("%")


def test_a_phones_picture_is_shown_and_described(page: Page, tmp_path: Path) -> None:
    """No browser here draws HEIC: it was a broken picture."""
    add_heif_writer()
    with Image.open(ROOT / "assets/examples/2-big-pizza.png") as picture:
        picture.convert("RGB").save(tmp_path / "IMG_0001.heic", quality=90)
    open_tab(page, "Describe")
    page.locator("#describe-picture input[type=file]").set_input_files(
        str(tmp_path / "IMG_0001.heic")
    )
    shown = page.locator("#describe-picture img[src$='.png']")
    shown.wait_for()
    assert shown.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 128
    page.locator("#describe-run").click()
    expect_status(page, "Done")
    assert "cyan" in page.locator("#caption textarea").input_value()


def test_the_models_in_memory_are_listed_and_unloaded(page: Page) -> None:
    page.locator("#write-run").click()
    expect_status(page, "Done")
    page.get_by_role("button", name="Models in memory").click()
    expect(page.locator("#loaded-models")).to_contain_text("fairytale-gpt")
    chosen = page.get_by_label("Model to unload").input_value()
    assert chosen
    for _ in range(40):  # a run that has just ended may hold it for a moment
        page.locator("#unload").click()
        page.wait_for_timeout(500)
        if chosen not in page.locator("#loaded-models").inner_text():
            break
    expect(page.locator("#loaded-models")).not_to_contain_text(chosen)


def test_models_in_memory_are_listed_anew_with_a_turn_to_another_tab(page: Page) -> None:
    """The list stayed as it was when it was opened, until Refresh."""
    page.get_by_role("button", name="Models in memory").click()
    expect(page.locator("#loaded-models")).to_be_visible()
    page.get_by_role("tab", name="Paint", exact=True).click()
    page.locator("#paint-run").click()
    expect_status(page, "Done")
    page.get_by_role("tab", name="Write", exact=True).click()
    expect(page.locator("#loaded-models")).to_contain_text("painter")


def test_a_page_opens_without_an_error(page: Page) -> None:
    """What a load handler raised was a toast that no other test looked for."""
    expect(page.locator("#device-line")).to_contain_text("Runs on")
    page.wait_for_timeout(500)
    assert page.get_by_test_id("toast-body").count() == 0


def test_the_page_says_where_it_computes_and_why(page: Page) -> None:
    expect(page.locator("#device-line")).to_contain_text(
        re.compile("Runs on (cpu|cuda|mps) in float")
    )


def test_an_example_runs_when_it_is_clicked(page: Page) -> None:
    page.get_by_role("button", name="The princess opened the little golden door, and").click()
    expect_status(page, "Done")
    assert page.locator("#story textarea").input_value().startswith("The princess opened")


def test_compare_begins_with_a_fine_tune_beside_its_base(page: Page) -> None:
    open_tab(page, "Compare")
    expect(page.locator("#compare-claims")).to_contain_text("bits per byte")
    page.locator("#compare-run").click()
    expect(page.locator("#compare-verdict")).to_contain_text("A and B differ in model")
    tales = [page.locator(f"#compare-{side}-text textarea").input_value() for side in "ab"]
    assert tales[0] != tales[1]
    assert all(len(tale) > 60 for tale in tales)
    for measure in ("Load time", "First token", "Total", "Rate", "Peak memory"):
        expect(page.locator("#compare-measures")).to_contain_text(measure)


def test_an_example_sets_task_models_and_settings_and_compares_pictures(page: Page) -> None:
    open_tab(page, "Compare")
    page.get_by_role("button", name="Paint: 5 steps or 20").click()
    page.locator("#compare-wipe").wait_for()
    for side in "ab":
        expect(page.locator(f"#compare-{side}-model input")).to_have_value("emoji-painter")
    expect(page.locator("#compare-verdict")).to_contain_text("A and B differ in steps")
    assert page.locator("#compare-wipe img").count() == 2


def test_a_comparison_leaves_a_link_and_a_card_that_set_the_page_up_again(
    page: Page, server: Server, tmp_path: Path
) -> None:
    open_tab(page, "Compare")
    page.locator("#compare-prompt textarea").fill("There was once a miller")
    page.locator("#compare-b-temperature input[type=number]").fill("1.5")
    page.locator("#compare-run").click()
    expect(page.locator("#compare-verdict")).to_contain_text("differ in")
    link = page.locator("#compare-link").locator("textarea, input").input_value()
    assert "?compare=" in link
    card = tmp_path / "card.json"
    with page.expect_download() as download:
        page.locator("#compare-files a[download='card.json']").click()
    download.value.save_as(card)
    page.goto(server.url + link[link.index("?") :])
    expect(page.locator("#compare-prompt textarea")).to_have_value("There was once a miller")
    expect(page.locator("#compare-b-temperature input[type=number]")).to_have_value("1.5")
    page.goto(server.url)
    page.get_by_role("tab", name="Write").wait_for()
    open_tab(page, "Compare")
    with page.expect_file_chooser() as chooser:
        page.locator("#compare-open").click()
    chooser.value.set_files(str(card))
    expect(page.locator("#compare-prompt textarea")).to_have_value("There was once a miller")
    expect(page.locator("#compare-b-temperature input[type=number]")).to_have_value("1.5")


def test_a_link_that_is_broken_says_so_and_changes_nothing(page: Page, server: Server) -> None:
    page.goto(server.url + "?compare=%3Cb%3Enonsense")
    expect(page.get_by_test_id("toast-body")).to_contain_text("link")
    expect(page.locator("#compare-prompt textarea")).to_have_value(re.compile("fisherman"))


def test_an_evaluation_s_link_opens_its_panel_with_the_fields_filled_in(
    page: Page, server: Server
) -> None:
    models = ("emoji-painter-night", "emoji-painter")
    request = EvaluationRequest(
        "paint", DataSet("", "", ()), models, sample_size=12, settings=Painting(7, 2.5)
    )
    page.goto(f"{server.url}?evaluate={encode(named_setup(request, 'emoji-scenes', Limits()))}")
    expect(page.locator("#evaluate-samples input[type=number]")).to_have_value("12")
    expect(page.get_by_role("tab", name="On a data set")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#evaluate-task").get_by_label("Paint", exact=True)).to_be_checked()
    expect(page.locator("#evaluate-models")).to_contain_text(re.compile(r"night.*emoji-painter"))
    page.locator("button.label-wrap:visible", has_text="Settings").first.click()
    expect(page.locator("#evaluate-steps input[type=number]")).to_have_value("7")
    expect(page.locator("#evaluate-method")).to_have_count(0)


def test_a_duel_s_link_opens_its_panel_and_its_pictures_reach_the_browser(
    page: Page, server: Server
) -> None:
    """They lay where Gradio takes files as they are, and were deleted before they were fetched."""
    models = ("emoji-painter", "emoji-painter + emoji-painter-night")
    asked = Setup("paint", models, "a red apple on a white background", 7, ())
    page.goto(f"{server.url}?vote={vote_link.encode(asked)}")
    expect(page.locator("#votes-prompt textarea")).to_have_value(asked.prompt or "")
    expect(page.locator("#votes-task").get_by_label("Paint", exact=True)).to_be_checked()
    expect(page.locator("#votes-models")).to_contain_text("emoji-painter-night")
    expect(page.locator("#votes-link")).to_be_hidden()
    page.locator("#votes-run").click()
    for place in ("a", "b"):
        picture = page.locator(f"#votes-{place}-picture img")
        expect(picture).to_have_js_property("naturalWidth", 128)
    page.locator("#votes-a-best").click()
    address = page.locator("#votes-link").locator("input, textarea")
    expect(address).to_have_value(f"?vote={vote_link.encode(asked)}")


def test_a_model_is_checked_and_chosen_for_its_tab(page: Page) -> None:
    open_tab(page, "Models")
    page.get_by_label("Paint", exact=True).click()
    expect(page.locator("#models-results")).to_contain_text("emoji-painter")
    page.locator("#models-reference textarea").fill("emoji-painter")
    page.locator("#models-check").click()
    expect(page.locator("#models-verdict textarea")).to_have_value(
        re.compile("emoji-painter fits: about .* of memory")
    )
    expect(page.locator("#models-facts")).to_contain_text("StableDiffusionPipeline")
    page.locator("#models-reference textarea").fill("ada/another")
    page.locator("#models-use").click()
    open_tab(page, "Paint")
    expect(page.locator("#paint-model input")).to_have_value("ada/another")


def test_a_model_that_is_not_there_is_told_in_words(page: Page) -> None:
    open_tab(page, "Models")
    reference = page.locator("#models-reference textarea")
    reference.fill("no such model")
    reference.press("Tab")
    page.locator("#models-check").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("There is no model")


def test_data_for_a_fine_tune_are_looked_at_before_anything_is_trained(
    page: Page, tmp_path: Path
) -> None:
    tale = tmp_path / "tale.txt"
    tale.write_text("The wolf went to the house of the old woman. " * 20, encoding="utf-8")
    open_tab(page, "Fine-tune")
    page.locator("#tune-data input[type=file]").set_input_files(str(tale))
    report = page.locator("#tune-report textarea")
    expect(report).to_have_value(re.compile("1 text, 200 words.*characters are too few", re.DOTALL))
    page.locator("#tune-name input, #tune-name textarea").first.fill("?!")
    page.locator("#tune-run").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("give 2 to 40 letters and digits")
