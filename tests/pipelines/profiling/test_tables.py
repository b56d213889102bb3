"""What is seen of tables, and which parameters of series and of points follow from it."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen
from pipelines.kinds.points.profiling import choose as choose_points
from pipelines.kinds.series.profiling import choose as choose_series
from pipelines.kinds.table_profile import profile

START = dt.datetime(2023, 1, 1)


def write_hours(
    path: Path, hours: int, *, delimiter: str = ",", pattern: str = "%Y-%m-%dT%H:%M", names: str = ""
) -> Path:
    """A daily wave, of one series or of several whose levels differ tenfold."""
    lines = [delimiter.join(["when", *(["meter"] if names else []), "load", "words"])]
    for place, name in enumerate(names or "-"):
        for hour in range(hours):
            value = 10**place * (2 + np.sin(2 * np.pi * hour / 24))
            load = "NA" if hour % 50 == 7 else f"{value:.4f}"
            cells = [f"{START + dt.timedelta(hours=hour):{pattern}}", *([name] if names else []), load, "x"]
            lines.append(delimiter.join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def values(chosen: Chosen) -> dict[str, Any]:
    return {choice.key: choice.value for choice in chosen.choices}


def test_row_numbers_are_no_values_even_where_a_row_has_none(tmp_path: Path) -> None:
    rows = [f"{number},{number % 7},{number % 5}" for number in range(100)]
    (tmp_path / "points.csv").write_text("\n".join(["id,east,north", *rows, "a,1,2"]) + "\n")
    assert [column.name for column in profile(tmp_path / "points.csv").numbers] == ["east", "north"]


def test_hourly_values_are_forecast_a_day_ahead_from_a_week(tmp_path: Path) -> None:
    table = profile(write_hours(tmp_path / "load.csv", 24 * 200))
    assert table.time is not None
    assert (table.time.name, table.names, [column.name for column in table.numbers]) == ("when", None, ["load"])
    chosen = choose_series.choose(table, "load.csv")
    got = values(chosen)
    assert (got["source.values"], got["source.missing"], got["source.delimiter"]) == (["load"], ["NA"], ",")
    assert (got["source.window.horizon"], got["source.window.history"]) == (24, 192)
    assert got["source.window.test_stride"] == 25
    assert got["model.lags"] == [1, 2, 24, 168]
    assert got["source.calendar"] == ["hour_of_day", "day_of_week"]
    assert chosen.train_count >= 200


def test_many_series_in_a_column_of_names_at_semicolons_with_german_times(tmp_path: Path) -> None:
    path = write_hours(tmp_path / "m.csv", 24 * 60, delimiter=";", pattern="%d.%m.%Y %H:%M", names="ABC")
    table = profile(path)
    assert table.time is not None
    assert (table.delimiter, table.time.time_format) == (";", "%d.%m.%Y %H:%M")
    assert table.names is not None
    got = values(choose_series.choose(table, "m.csv"))
    assert (got["source.series"], got["source.scaling"]) == ("meter", "each_series")


def test_short_series_get_shorter_windows_and_a_warning(tmp_path: Path) -> None:
    chosen = choose_series.choose(profile(write_hours(tmp_path / "s.csv", 60)), "s.csv")
    got = values(chosen)
    assert got["source.window.horizon"] + got["source.window.history"] < 48
    assert all(lag < got["source.window.history"] for lag in got["model.lags"]) or got["model.lags"] == [1]
    assert any("exit code 4" in line for line in chosen.warnings)


@pytest.mark.parametrize(
    ("step", "season"), [("h", 24), ("30min", 48), ("D", 7), ("W", 52), ("M", 12), ("Q", 4), ("Y", 1), ("7s", 12)]
)
def test_a_season_is_a_day_a_week_or_a_year_of_steps(step: str, season: int) -> None:
    assert choose_series._season(choose_series.Frequency.of(step)) == season


def write_points(path: Path, n: int, line: Callable[[int], str], header: str) -> Path:
    path.write_text("\n".join([header, *(line(i) for i in range(n))]) + "\n")
    return path


def test_two_columns_of_numbers_without_times_are_points_and_a_column_of_few_words_is_their_class(
    tmp_path: Path,
) -> None:
    path = write_points(
        tmp_path / "p.csv", 500, lambda i: f"{i},{np.sin(i):.5f},{np.cos(i):.5f},{'ab'[i % 2]}", "id,u,v,g"
    )
    got = values(chosen := choose_points.choose(profile(path), "p.csv"))
    assert (got["source.x"], got["source.y"], got["source.class_column"]) == ("u", "v", "g")
    assert (got["train.batch_size"], "gate.max_accuracy_loss" in got) == (256, False)
    assert chosen.warnings == ()


@pytest.mark.parametrize(("empty", "found"), [(2, "g"), (20, None)])
def test_a_few_rows_without_a_class_are_no_reason_to_learn_without_classes(
    empty: int, found: str | None, tmp_path: Path
) -> None:
    def line(i: int) -> str:
        return f"{np.sin(i):.5f},{np.cos(i):.5f},{'ab'[i % 2] if i >= empty else ''}"

    path = write_points(tmp_path / "p.csv", 200, line, "u,v,g")
    assert values(choose_points.choose(profile(path), "p.csv"))["source.class_column"] == found


def test_points_without_classes_missing_numbers_and_copies_move_the_limits(tmp_path: Path) -> None:
    path = write_points(tmp_path / "p.csv", 200, lambda i: f"{i % 50 / 7 if i % 10 else ''},{i % 50}.5,{i}.25", "a,b,c")
    got = values(chosen := choose_points.choose(profile(path), "p.csv"))
    assert (got["source.class_column"], got["gate.max_accuracy_loss"]) == (None, None)
    assert got["contract.max_quarantined_share"] >= 0.1
    assert got["contract.max_duplicate_share"] >= 0.7
    assert any("3 columns" in line for line in chosen.warnings)
    assert any("not enough evidence" in line for line in chosen.warnings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a comment\na,b\n1,2\n", "take out lines of comments"),
        ("1,2\n3,4\n", "its first line holds numbers alone"),
        ("", "it is empty"),
        ("größe,x\n1,2\n", r"t\.csv must begin with the names of its columns in UTF-8, but its first line is not"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        profile(tmp_path / "t.csv")


def test_lists_in_a_parquet_file_are_no_numbers(tmp_path: Path) -> None:
    rows = [{"x": i / 7, "y": i % 5 / 3, "tags": [i], "of": {"id": i}} for i in range(200)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    assert [column.name for column in profile(tmp_path / "p.parquet").numbers] == ["x", "y"]


def test_a_table_of_words_is_neither(tmp_path: Path) -> None:
    path = write_points(tmp_path / "w.csv", 30, lambda i: f"n{i},{i % 3}", "name,class")
    with pytest.raises(DataError, match="two columns of numbers, got the columns name, class"):
        choose_points.choose(profile(path), "w.csv")
