"""The page for other data: a table in, a fan chart out; points in the plane."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.pipelines.serving.page.conftest import LIMITS
from tests.support.points_bundle import points_bundle
from tests.support.series_bundle import series_bundle, series_spec
from tests.support.served import listening

Open = Callable[..., Any]
ROWS = "time,load,temperature\n" + "".join(
    f"2026-01-05T0{i // 2}:{30 * (i % 2):02d},{90 + i},{8 + i}\n" for i in range(6)
)


@pytest.mark.parametrize(("task", "word", "wanted"), [("forecast", "Forecast", 4), ("impute", "Fill gaps", None)])
def test_a_table_becomes_a_fan_chart_of_each_column(
    open_page: Open, tmp_path: Path, task: str, word: str, wanted: int | None
) -> None:
    with listening(create_app(Sampler(series_bundle(tmp_path / "b", series_spec(task)), "cpu"), LIMITS)) as address:
        page = open_page(address)
        page.locator(".plot svg").nth(1).wait_for()  # of the example that it opens with
        page.get_by_label("Table (CSV)").fill(ROWS.replace(",92,", ",,"))
        page.get_by_role("button", name=word).click()
        page.get_by_role("status").filter(has_text="100 samples in").wait_for()
        charts = page.get_by_role("img", name="Fan chart of")
        assert [charts.nth(i).get_attribute("aria-label").split(":")[0] for i in range(2)] == [
            "Fan chart of load",
            "Fan chart of temperature",
        ]
        page.get_by_text("Quantiles as a table").click()
        rows = page.locator("tbody tr").count()
        assert wanted is None or rows == 2 * wanted


def test_a_cell_that_is_no_number_is_told_beside_the_table(open_page: Open, tmp_path: Path) -> None:
    with listening(
        create_app(Sampler(series_bundle(tmp_path / "b", series_spec("forecast")), "cpu"), LIMITS)
    ) as address:
        page = open_page(address)
        page.locator(".plot svg").nth(1).wait_for()
        page.get_by_label("Table (CSV)").fill(ROWS.replace("92", "much"))
        page.get_by_role("button", name="Forecast").click()
        page.get_by_text("history.line 4.load: must be a number or empty").wait_for()
        assert page.get_by_label("Table (CSV)").get_attribute("aria-invalid") == "true"


def test_points_are_drawn_in_the_plane(open_page: Open, tmp_path: Path) -> None:
    with listening(create_app(Sampler(points_bundle(tmp_path / "b"), "cpu"), LIMITS)) as address:
        page = open_page(address)
        page.get_by_role("img", name="256 points").wait_for()
        assert page.locator("circle.point").count() == 256
        with page.expect_download() as saved:
            page.get_by_role("button", name="Download CSV").click()
        saved.value.save_as(tmp_path / "points.csv")
        assert len((tmp_path / "points.csv").read_text().splitlines()) == 257
