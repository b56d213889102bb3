"""What a measurement of series leaves for the report: its tables, its fans and the sections of the page."""

import csv
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.kinds import kind_of
from pipelines.kinds.series.rows.sample_files import (
    BY_COLUMN,
    BY_STEP,
    COVERAGE,
    FANS,
    FORECASTERS,
    MODEL,
    PIT,
    QUANTILES,
    read_fan,
)
from pipelines.report.parts.files import ReportInput, SampleFiles
from pipelines.report.parts.section import Table
from tests.pipelines.kinds.series.judging import GATE, TASKS, exact


@pytest.mark.parametrize("task", TASKS)
def test_the_tables_say_what_was_measured(task: str):
    found = exact(task)
    files = found.measured.files
    assert set(files) == {"grid.png", FANS, FORECASTERS, BY_STEP, BY_COLUMN, COVERAGE, PIT, QUANTILES}
    tables = {name: list(csv.DictReader(io.StringIO(files[name].decode()))) for name in files if name.endswith(".csv")}
    numbers = found.measurement.metrics
    assert tables[FORECASTERS][0]["forecaster"] == MODEL
    assert float(tables[FORECASTERS][0]["crps"]) == pytest.approx(numbers["crps"], rel=1e-5)
    values = np.array([int(row["values"]) for row in tables[BY_STEP]])
    crps = np.array([float(row[MODEL]) for row in tables[BY_STEP]])
    assert values @ crps / values.sum() == pytest.approx(numbers["crps"], rel=1e-4)
    assert len(tables[QUANTILES]) == values.sum() == numbers["values"]
    middle = next(row for row in tables[COVERAGE] if row["level"] == "0.5")
    assert float(middle[MODEL]) == pytest.approx(numbers["coverage_50"], rel=1e-4)
    assert [row["column"] for row in tables[BY_COLUMN]] == ["load", "heat"]


def test_fans_of_gaps_show_samples_where_a_value_was_asked_for_and_nowhere_else():
    fans = [read_fan(plain) for sort in json.loads(exact("impute").measured.files[FANS]).values() for plain in sort]
    unknown = 0
    for fan in fans:
        assert fan.truth is not None
        asked = np.isfinite(fan.truth)
        np.testing.assert_array_equal(np.isfinite(fan.samples), np.broadcast_to(asked, fan.samples.shape))
        unknown += int((~asked & np.isnan(fan.told)).sum())
    assert unknown > 0


@pytest.mark.parametrize("task", TASKS)
def test_the_report_shows_fans_baselines_and_spread(task: str, tmp_path: Any, request: pytest.FixtureRequest):
    if task != "forecast":  # one of them is drawn in earnest
        request.getfixturevalue("undrawn")
    found = exact(task)
    for name, content in found.measured.files.items():
        (tmp_path / name).write_bytes(content)
    rows = [SimpleNamespace(missing=0.1)]
    given = ReportInput(
        found.measurement.listed, found.measurement.record, GATE, SampleFiles(tmp_path), TASKS[task], rows
    )
    first, beside, spread = kind_of("series").report_sections(given)
    assert len(first.pictures) == 8
    table = next(part for part in beside.parts if isinstance(part, Table))
    assert table.rows[0][:2] == ("measure", MODEL)
    assert "crps" in {row[0] for row in table.rows}
    assert len(spread.pictures) == 2
    facts = dict(kind_of("series").data_facts(given))  # type: ignore[arg-type]
    assert facts["one step"] == "h"
    assert facts["missing values"].startswith("10.0%")
