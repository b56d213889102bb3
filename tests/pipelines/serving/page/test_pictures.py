"""The page in a real browser: pictures made, varied, filled; by keyboard, on a phone, for a screen reader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.kinds.pictures.rows.decode import read_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor

Open = Callable[..., Any]
AXE = Path(__file__).parents[4] / "infra" / "page" / "node_modules" / "axe-core" / "axe.min.js"


def tiles(page: Any) -> Any:
    return page.locator("#results button.tile")


def opened(open_page: Open, address: str, **choices: Any) -> Any:
    page = open_page(address, **choices)
    tiles(page).nth(2).wait_for()
    return page


def pixels(page: Any, locator: Any) -> Any:
    """The first channel of a canvas, [H, W]."""
    data = locator.evaluate(
        """(c) => {
        const pen = c.getContext("2d");
        return [c.width, c.height, ...pen.getImageData(0, 0, c.width, c.height).data]; }"""
    )
    width, height, *values = data
    return np.array(values, dtype=np.uint8).reshape(height, width, 4)[:, :, 0]


def test_it_opens_with_one_picture_of_each_class_which_are_the_sampler_s(
    open_page: Open, address: str, pictures: Sampler
) -> None:
    page = opened(open_page, address)
    assert tiles(page).count() == 3
    page.get_by_role("button", name="class one, seed 1", exact=True).wait_for()
    expected = pictures.sample(pictures.recipe(), [0, 1, 2], {"label": [0, 1, 2]})
    for i in range(3):
        np.testing.assert_array_equal(pixels(page, tiles(page).nth(i).locator("canvas")), expected[i, 0])
    assert pictures.bundle.digest[:12] in page.locator("#model").inner_text()


def test_class_seed_steps_sampler_and_guidance_are_asked_for(open_page: Open, address: str, pictures: Sampler) -> None:
    page = opened(open_page, address)
    page.get_by_label("two", exact=True).check()
    page.get_by_label("Seed", exact=True).fill("41")
    page.get_by_label("How many").fill("2")
    page.get_by_label("Sampler", exact=True).select_option("ddim")
    page.get_by_label("Steps", exact=True).fill("5")
    page.get_by_label("Guidance", exact=True).fill("2.5")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("button", name="class two, seed 42").wait_for()
    expected = pictures.sample(pictures.recipe("ddim", 5, 2.5), [41, 42], {"label": [2, 2]})
    for i in range(2):
        np.testing.assert_array_equal(pixels(page, tiles(page).nth(i).locator("canvas")), expected[i, 0])


def test_a_sample_is_saved_varied_and_shown_as_code(
    open_page: Open, address: str, pictures: Sampler, tmp_path: Path
) -> None:
    page = opened(open_page, address)
    tiles(page).nth(1).click()
    detail = page.locator("#detail")
    with page.expect_download() as saved:
        detail.get_by_role("button", name="Download PNG").click()
    saved.value.save_as(tmp_path / "one.png")
    np.testing.assert_array_equal(
        read_png(tmp_path / "one.png"), pictures.sample(pictures.recipe(), [1], {"label": [1]})[0]
    )
    detail.get_by_role("button", name="Make variations").click()
    detail.get_by_role("button", name="class one, seed 9", exact=True).wait_for()
    detail.get_by_label("Steps", exact=True).check()
    detail.get_by_role("button", name="Make variations").click()
    detail.get_by_role("button", name="class one, seed 1, steps 25").wait_for()
    detail.get_by_label("Code").check()
    assert f"curl -X POST {address}/v1/images" in detail.locator("code").inner_text()
    detail.get_by_label("Python").check()
    assert '"label": "one"' in detail.locator("code").inner_text()


def test_a_mask_is_painted_and_filled_and_the_rest_stays(open_page: Open, address: str, pictures: Sampler) -> None:
    page = opened(open_page, address)
    tiles(page).nth(1).click()
    detail = page.locator("#detail")
    detail.get_by_label("Fill").check()
    detail.get_by_role("button", name="Fill").click()
    detail.get_by_text("Paint where to fill first.").wait_for()
    detail.get_by_role("button", name="Right").click()
    detail.get_by_label("How many").fill("2")
    detail.get_by_role("button", name="Fill").click()
    detail.get_by_role("button", name="class one, seed 2, filled").wait_for()
    before = pictures.sample(pictures.recipe(), [1], {"label": [1]})[0]
    editor = Editor(pictures, pictures.recipe(), 2, {"label": [1, 1]})
    expected = editor.inpaint(before, np.broadcast_to(np.arange(8) < 4, (8, 8)), [1, 2], 1)
    for i in range(2):
        found = pixels(page, detail.locator("button.tile canvas").nth(i))
        np.testing.assert_array_equal(found, expected[i, 0])


def test_the_way_to_another_picture_is_picked_in_the_grid(open_page: Open, address: str, pictures: Sampler) -> None:
    page = opened(open_page, address)
    tiles(page).nth(0).click()
    detail = page.locator("#detail")
    detail.get_by_label("Interpolate").check()
    detail.get_by_role("button", name="Pick in the grid").click()
    tiles(page).nth(2).click()
    detail.get_by_label("Pictures on the way").fill("3")
    detail.get_by_role("button", name="Interpolate").click()
    detail.get_by_role("button", name="100 % from seed 0 to 2").wait_for()
    last = pixels(page, detail.locator("button.tile canvas").nth(2))
    np.testing.assert_array_equal(last, pictures.sample(pictures.recipe(), [2], {"label": [0]})[0, 0])


def test_a_picture_is_watched_while_it_forms(open_page: Open, address: str) -> None:
    page = opened(open_page, address)
    tiles(page).nth(0).click()
    big, slider = page.locator("#detail .big canvas"), page.get_by_label("How it formed")
    assert slider.get_attribute("max") == "4"
    whole = pixels(page, big)
    slider.fill("1")
    assert (pixels(page, big) != whole).any()
    slider.fill("4")
    np.testing.assert_array_equal(pixels(page, big), whole)


def test_a_refusal_stands_beside_the_field_that_it_names(open_page: Open, address: str) -> None:
    page = opened(open_page, address)
    page.get_by_label("Seed", exact=True).fill("-5")
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function("document.activeElement.getAttribute('aria-invalid') === 'true'")
    seed = page.get_by_label("Seed", exact=True)
    fault = page.locator(f"#{seed.get_attribute('aria-describedby')}")
    assert "greater than or equal to 0" in fault.inner_text()
    seed.fill("5")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("button", name="class zero, seed 5").wait_for()
    assert seed.get_attribute("aria-invalid") == "false"


def test_a_service_that_went_away_is_told(open_page: Open, address: str) -> None:
    page = opened(open_page, address)
    page.route("**/v1/**", lambda route: route.abort())
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("alert").filter(has_text="does not answer").wait_for()


def test_a_service_with_keys_is_opened_by_one(open_page: Open, address: str) -> None:
    def answer(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer s3cret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": {"code": "unauthorized", "message": "send a key"}})

    page = open_page("about:blank")
    page.route("**/v1/**", answer)
    page.goto(address)
    page.get_by_label("API key").fill("s3cret")
    page.keyboard.press("Enter")
    tiles(page).nth(2).click()
    detail = page.locator("#detail")
    for language, words in (("Code", "Authorization: Bearer $DDPM_API_KEY"), ("Python", 'os.environ["DDPM_API_KEY"]')):
        detail.get_by_label(language).check()
        text = detail.locator("code").inner_text()
        assert words in text
        assert "s3cret" not in text
    compile(text, "the request", "exec")


def test_the_keyboard_alone_opens_a_sample_and_goes_back_to_it(open_page: Open, address: str) -> None:
    page = opened(open_page, address)
    tiles(page).nth(2).focus()
    page.keyboard.press("Enter")
    page.locator("#detail").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "class two, seed 2"
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    assert page.evaluate("document.activeElement.textContent").startswith("class two, seed 2")


def test_on_a_phone_it_is_one_column_of_targets_large_enough_for_a_finger(open_page: Open, address: str) -> None:
    page = opened(open_page, address, viewport={"width": 390, "height": 844}, has_touch=True)
    tiles(page).nth(0).tap()
    page.locator("#detail").get_by_role("button", name="Close").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, summary, .chip, input:not([type=radio]):not([type=file])")]
        .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 43.5)
        .map((each) => each.outerHTML)"""
    )
    assert small == []


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is installed by `make page-runtime`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Open, address: str, scheme: str) -> None:
    page = opened(open_page, address, color_scheme=scheme, bypass_csp=True)
    tiles(page).nth(0).click()
    page.get_by_role("button", name="Make variations").wait_for()
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run()")
    told = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found["violations"]]
    assert told == [], json.dumps(told, indent=1)
