"""benchmarks/time_to_quality.py: when a side is judged, when it has done, and that the page shows what its rows say."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.schedules import Linear
from tests.support.imports import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("time_to_quality")


def row(side: str, cpu: float, ratio: float, n: int = 1027) -> dict[str, str]:
    values: dict[str, Any] = {"side": side, "updates": 10, "pictures": 640, "cpu_seconds": cpu, "n": n}
    return {name: str(value) for name, value in {**values, "ratio_train": ratio, "ratio_test": 2 * ratio}.items()}


def test_sides_are_judged_at_times_in_a_geometric_series(script: ModuleType) -> None:
    assert script.next_due("ours", 0.0) == script.FIRST
    assert script.next_due("ours", script.FIRST) == script.FIRST * script.FACTORS["ours"]
    assert script.next_due("ours, eps", 2 * script.FIRST) == pytest.approx(script.FIRST * script.FACTOR**2)
    assert script.next_due("diffusers, its settings", 1e6) == float("inf")


def test_below_the_limit_counts_only_with_all_samples(script: ModuleType) -> None:
    rows = [row("ours", 60, 3.1), row("ours", 70, 2.9, n=128), row("ours", 80, 2.8), row("ours", 90, 3.2)]
    assert script.reached(rows, "ours") == 80
    assert script.reached(rows[:2], "ours") is None


def test_a_side_has_done_at_its_end_at_the_limit_or_at_its_stop(script: ModuleType) -> None:
    ours, peer = row("ours", 80, 2.9), "diffusers, its settings"
    assert script.is_done("ours", [ours], 80.0, False)
    assert not script.is_done(peer, [row(peer, 500, 90)], 500.0, False)  # ours has yet to be there
    assert not script.is_done(peer, [ours, row(peer, 399, 90)], 399.0, False)
    assert script.is_done(peer, [ours, row(peer, 400, 90)], 400.0, False)
    assert script.is_done("ours, eps", [ours, row("ours, eps", 240, 9)], 240.0, False)
    assert not script.is_done("ours, eps", [ours, row("ours, eps", 60, 9)], 70.0, True)
    assert script.is_done("ours, eps", [ours, row("ours, eps", 70, 9)], 70.0, True)


def test_of_several_tries_the_nearest_goes_on(script: ModuleType) -> None:
    (one, other), _ = script.TRIES
    rows = [row("ours", 80, 2.9), row(one, 60, 9), row(other, 60, 8, n=128)]
    assert not script.is_done(one, rows[:2], 60.0, False)
    assert script.is_done(one, rows, 60.0, False)
    assert not script.is_done(other, rows, 60.0, False)
    assert not script.is_done(other, [*rows, row(other, 100, 20)], 100.0, False)  # it is chosen once


def test_the_page_shows_the_rows_that_lie_beside_the_script(script: ModuleType) -> None:
    rows = script.results.read(ROOT / "benchmarks" / "time_to_quality.csv")
    assert set(rows[0]) == set(script.COLUMNS)
    assert {one["side"] for one in rows} <= set(script.NAMES)
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    assert page.split("<!-- table: time to quality -->\n")[1].split("<!-- end -->")[0] == script.table(rows)


def test_rows_are_added_to_the_file_and_plotted(script: ModuleType, tmp_path: Path) -> None:
    for seconds in (60.0, 70.0):
        row = dict.fromkeys(script.COLUMNS, 1.5) | {"side": "ours", "cpu_seconds": seconds}
        script.results.append(tmp_path / "rows.csv", script.COLUMNS, row)
    rows = script.results.read(tmp_path / "rows.csv")
    assert [one["cpu_seconds"] for one in rows] == ["60", "70"]
    assert script.plot(rows, ["ours", "ours, eps"]).startswith(b"\x89PNG")


def test_a_peer_is_sampled_by_its_own_table_and_its_own_numbers_of_levels(script: ModuleType) -> None:
    sides = importlib.import_module("quality_sides")
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    found = sides.schedule_of(torch.cumprod(1 - betas, dim=0))
    ours = Linear("linear", 1000, 1e-4, 0.02, False, False).build()
    np.testing.assert_allclose(found.alpha_bar, ours.alpha_bar, rtol=1e-12)
    np.testing.assert_array_equal(found.time, ours.time - 1)
