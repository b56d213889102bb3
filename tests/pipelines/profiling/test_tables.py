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
    assert (table.delimiter, table.time.written.pattern) == (";", "%d.%m.%Y %H:%M")
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


def daily(path: Path, cells: Callable[[dt.datetime, float], list[str]], names: str, delimiter: str = ",") -> Path:
    """400 days from the first of January."""
    rows = [cells(START + dt.timedelta(days=day), 1000 + day / 4) for day in range(400)]
    path.write_text("\n".join([names, *(delimiter.join(row) for row in rows)]) + "\n")
    return path


def test_decimal_commas_are_seen_beside_points_and_thousands_are_grouped(tmp_path: Path) -> None:
    path = daily(
        tmp_path / "m.csv",
        lambda day, value: [f"{day:%Y-%m-%d}", f"{value:.2f}".replace(".", ","), f"{value:.2f}"],
        "date;reading;temp",
        ";",
    )
    got = values(choose_series.choose(profile(path), "m.csv"))
    assert (got["source.values"], got["source.decimal"]) == (["reading", "temp"], ",")
    path = daily(tmp_path / "n.csv", lambda day, value: [f"{day:%Y-%m-%d}", f'"{value:,.2f}"'], "date,sales")
    got = values(choose_series.choose(profile(path), "n.csv"))
    assert (got["source.values"], got["source.decimal"]) == (["sales"], ".")


def test_every_column_left_out_is_named_with_a_cell_and_the_reason(tmp_path: Path) -> None:
    path = daily(
        tmp_path / "m.csv",
        lambda day, value: [f"{day:%Y-%m-%d}", f"{value:.2f}", f'"{value:,.0f}"', "kWh", "", f"in {day:%B}"],
        "date,load,whole,unit,gone,note",
    )
    chosen = choose_series.choose(profile(path), "m.csv")
    (line,) = (line for line in chosen.found if line.startswith("columns left out"))
    for said in ("'whole' ('1,000' in line 2", "'unit' ('kWh' in every row", "'gone' (empty", "'note' ('in January'"):
        assert said in line
    (line,) = (line for line in chosen.warnings if "'whole' is left out" in line)
    assert "write it without the mark" in line


def test_a_table_of_times_without_numbers_says_what_its_columns_hold(tmp_path: Path) -> None:
    path = daily(tmp_path / "m.csv", lambda day, value: [f"{day:%Y-%m-%d}", f'"{value:,.0f}"'], "date,sales")
    with pytest.raises(DataError, match=r"column of numbers that vary beside its times 'date'.*'sales'.*'1,000'"):
        choose_series.choose(profile(path), "m.csv")


@pytest.mark.parametrize(
    ("hours", "pattern", "said"),
    [(250, "%m/%d/%Y %H:%M", "4 different gaps, and so 1"), (250, "%d/%m/%Y %H:%M", "4 different gaps, and so 1")],
)
def test_times_that_may_be_read_day_or_month_first_are_read_as_they_are_regular(
    hours: int, pattern: str, said: str, tmp_path: Path
) -> None:
    chosen = choose_series.choose(profile(write_hours(tmp_path / "load.csv", hours, pattern=pattern)), "load.csv")
    assert values(chosen)["source.time_format"] == pattern
    assert said in next(each.why for each in chosen.choices if each.key == "source.time_format")
    assert not any("nothing decides" in line for line in chosen.warnings)


def test_times_that_fit_both_ways_are_said_to_be_a_guess(tmp_path: Path) -> None:
    days = [f"{day:02d}/{day:02d}/{year}" for year in range(1900, 2020) for day in (1,)]
    path = tmp_path / "years.csv"
    path.write_text("\n".join(["date,v", *(f"{day},{place % 7}" for place, day in enumerate(days))]) + "\n")
    chosen = choose_series.choose(profile(path), "years.csv")
    (line,) = (line for line in chosen.warnings if "nothing decides" in line)
    assert "source.time_format" in line


@pytest.mark.parametrize(
    ("name", "write", "pattern"),
    [
        ("timestamp", lambda day: f"{day.replace(tzinfo=dt.UTC).timestamp():.0f}", "unix_s"),
        ("ds", lambda day: f"{1000 * day.replace(tzinfo=dt.UTC).timestamp():.0f}", "unix_ms"),
        ("date", lambda day: f"{day:%Y%m%d}", "%Y%m%d"),
        ("date", lambda day: f"{day:%d %b %Y}", "%d %b %Y"),
        ("date", lambda day: f"{day:%m/%d/%Y %I:%M %p}", "%m/%d/%Y %I:%M %p"),
    ],
)
def test_times_in_other_forms_are_known(
    name: str, write: Callable[[dt.datetime], str], pattern: str, tmp_path: Path
) -> None:
    path = daily(tmp_path / "m.csv", lambda day, value: [write(day), f"{value}"], f"{name},sales")
    chosen = choose_series.choose(profile(path), "m.csv")
    got = values(chosen)
    assert (got["source.time"], got["source.values"], got["source.time_format"]) == (name, ["sales"], pattern)
    assert any("2023-01-01T00:00:00 to 2024-02-04" in line for line in chosen.found)


def test_times_that_are_not_understood_are_shown_with_the_key(tmp_path: Path) -> None:
    path = daily(tmp_path / "m.csv", lambda day, value: [f"day {day:%j}", f"{value}"], "date,sales")
    with pytest.raises(DataError, match=r"'day 001' in column 'date' is no time.*source\.time_format"):
        choose_points.choose(profile(path), "m.csv")
    path = daily(tmp_path / "n.csv", lambda day, value: [f"{day:%j}", f"{value}"], "t,sales")
    chosen = choose_points.choose(profile(path), "n.csv")
    assert any("'001' in column 't' is no time" in line for line in chosen.warnings)


def test_values_far_from_all_others_are_named_with_their_line(tmp_path: Path) -> None:
    path = write_hours(tmp_path / "load.csv", 24 * 100)
    lines = path.read_text().splitlines()
    lines[9] = lines[9].rsplit(",", 2)[0] + ",-9999,x"
    path.write_text("\n".join(lines) + "\n")
    (line,) = (line for line in choose_series.choose(profile(path), "load.csv").warnings if "robust" in line)
    assert "'load' has 1 values" in line
    assert "'-9999' in line 10" in line
    assert "source.missing: ['-9999']" in line
