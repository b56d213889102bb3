"""The page of a model that has students: one switch between the full and the fast mode, in a real browser."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import app_of
from pipelines.serving.hosted import Models, Version
from pipelines.serving.service import Service
from tests.pipelines.serving.page.conftest import LIMITS
from tests.pipelines.serving.page.test_pictures import opened, pixels, tiles
from tests.support.served import listening
from tests.support.students import anywhere, at_levels, student

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def family(pictures: Sampler, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sampler]:
    folder, digest = tmp_path_factory.mktemp("family"), pictures.bundle.digest
    return {
        "default": pictures,
        "fast": student(folder / "fast", anywhere(digest), steps=3, seed=7),
        "faster": student(folder / "faster", at_levels(digest), seed=8),
    }


def listening_for(family: dict[str, Sampler], *names: str) -> Any:
    models = Models(LIMITS.waiting, LIMITS.at_once)
    for name in names:
        sampler = family[name]
        models.add(name, Version(Service(sampler, LIMITS), lambda sampler=sampler: Service(sampler, LIMITS)))  # type: ignore[misc]
    return listening(app_of(models))


@pytest.fixture(scope="module")
def both(family: dict[str, Sampler]) -> Iterator[str]:
    with listening_for(family, "default", "fast") as found:
        yield found


@pytest.fixture(scope="module")
def three(family: dict[str, Sampler]) -> Iterator[str]:
    with listening_for(family, "default", "fast", "faster") as found:
        yield found


def shows(page: Any, sampler: Sampler, seeds: list[int], labels: list[int]) -> None:
    """The tiles are this sampler's own pictures."""
    page.get_by_role("status").filter(has_text=f"{len(seeds)} picture").filter(has_text=" in ").wait_for()
    expected = sampler.sample(sampler.recipe(), seeds, {"label": labels})
    for i in range(len(seeds)):
        np.testing.assert_array_equal(pixels(page, tiles(page).nth(i).locator("canvas")), expected[i, 0])


def test_the_switch_makes_the_same_seeds_and_class_by_the_student_and_back(
    open_page: Open, both: str, family: dict[str, Sampler]
) -> None:
    page = opened(open_page, both)
    shows(page, family["default"], [0, 1, 2], [0, 1, 2])
    assert " ".join(page.locator("#mode").inner_text().split()) == "Mode Full Fast 12 network evaluations a sample"
    assert page.locator("#which").count() == 0  # one family: there is no other model to choose
    page.get_by_label("two", exact=True).check()
    page.get_by_label("Seed", exact=True).fill("41")
    page.get_by_label("How many").fill("2")
    page.get_by_label("Fast", exact=True).check()
    page.get_by_text("3 network evaluations a sample").wait_for()
    shows(page, family["fast"], [41, 42], [2, 2])
    assert page.get_by_label("Guidance", exact=True).count() == 0  # a student is not guided again
    assert page.evaluate("document.activeElement.value") == "fast"
    assert family["fast"].bundle.digest[:12] in page.locator("#model").inner_text()
    tiles(page).nth(0).click()
    page.get_by_label("Code", exact=True).check()
    assert '"model":"fast"' in page.locator("#detail code").inner_text()
    page.get_by_label("Full", exact=True).check()
    page.get_by_text("12 network evaluations a sample").wait_for()
    shows(page, family["default"], [41, 42], [2, 2])


def test_a_student_of_some_levels_is_offered_nothing_that_it_refuses(
    open_page: Open, three: str, family: dict[str, Sampler]
) -> None:
    page = opened(open_page, three)
    assert page.locator("#mode .chip").all_inner_texts() == ["Full", "Fast (3)", "Fast (2)"]
    page.get_by_label("Fast (2)", exact=True).check()
    page.get_by_text("2 network evaluations a sample").wait_for()
    shows(page, family["faster"], [0, 1, 2], [0, 1, 2])
    for field in ("Sampler", "Steps", "Guidance"):
        assert page.get_by_label(field, exact=True).count() == 0
    tiles(page).nth(1).click()
    detail = page.locator("#detail")
    assert detail.locator(".chip").all_inner_texts() == ["Vary", "Interpolate", "Code", "Other seeds"]
    detail.get_by_role("button", name="Make variations").click()
    detail.get_by_role("button", name="class one, seed 9", exact=True).wait_for()
    assert page.locator("[role=alert]:visible").count() == 0
