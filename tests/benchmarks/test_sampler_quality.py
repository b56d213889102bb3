"""benchmarks/sampler_quality.py: what it would measure, and that the page shows what its rows say."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.sampling.bundle_sampler import Sampler
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("sampler_quality")


def test_points_take_the_most_steps_within_the_evaluations(script: ModuleType, tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", sample=tiny_sample_config(guidance=0.5))
    sampler = Sampler.open(tmp_path / "b", "cpu")
    found = list(script.points(sampler, ("ddim", "heun"), (4, 5, 12)))
    assert [(p.kind, p.steps, p.cost) for p in found if p.kind == "ddim"] == [("ddim", 2, 4), ("ddim", 6, 12)]
    for point in found:
        assert point.cost == sampler.recipe(point.recipe.sampler).cost(1) <= 12
    assert len({(p.kind, p.steps) for p in found}) == len(found)


def test_the_page_shows_the_rows_that_lie_beside_the_script(script: ModuleType) -> None:
    rows = [row for row in script.results.read(ROOT / "benchmarks" / "sampler_quality.csv") if row["seed"] == "0"]
    part = (ROOT / "docs" / "samplers.md").read_text().split("<!-- table: quality -->\n")[1].split("<!-- end -->")[0]
    assert part == script.table(rows)
    assert len({(row["bundle"], row["n"]) for row in rows}) == 1
    assert set(rows[0]) == set(script.COLUMNS)


def test_rows_are_added_to_the_file_and_plotted(script: ModuleType, tmp_path: Path) -> None:
    row = dict.fromkeys(script.COLUMNS, 1.0) | {"sampler": "heun", "steps": 3, "evaluations": 5}
    for _ in range(2):
        script.results.append(tmp_path / "rows.csv", script.COLUMNS, row)
    rows = script.results.read(tmp_path / "rows.csv")
    assert [one["sampler"] for one in rows] == ["heun", "heun"]
    assert script.plot(rows).startswith(b"\x89PNG")
