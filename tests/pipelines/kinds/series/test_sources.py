"""Sources of series: which columns are read, what a row is refused for, packaged sets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.spec import Condition
from pipelines.kinds import kind_of
from pipelines.kinds.series.sources import BeijingAir, ElectricityDemand, ParquetFiles
from tests.pipelines.kinds.series.made import FORECAST, SOURCE, arrays, csv, hourly, prepared
from tests.support.imports import ROOT

FOLDER = "pipelines/kinds/series/sources"


def test_all_columns_of_numbers_are_values_unless_some_are_named(tmp_path: Path) -> None:
    csv(tmp_path, ["2024-01-01,x,1,NA", "2024-01-02,y,2,3.5", "2024-01-03,z,-1e3,"], "time,note,a,b")
    found = SOURCE.listing(tmp_path)
    assert found.columns == ("a", "b")
    np.testing.assert_array_equal(found.values, [[1, np.nan], [2, 3.5], [-1000, np.nan]])
    assert replace(SOURCE, values=("b",)).listing(tmp_path).columns == ("b",)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("2024-01-02,1", "2 cells"),
        (",1,2", "'time'"),
        ("soon,1,2", "'soon'"),
        ("2024-01-02,one,2", "'one'"),
        ("2024-01-02,1e39,2", "'1e39'"),
        ("2024-01-02,-inf,2", "'-inf'"),
        ("2024-01-02,1_0,2", "'1_0'"),
        ('2024-01-02,"1,2', "CSV"),
        ("2024-01-02T00:00:00.25,1,2", "second"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(tmp_path: Path, line: str, key: str) -> None:
    csv(tmp_path, ["2024-01-01,1,2", "", line, "2024-01-03,3,4"])
    found = SOURCE.listing(tmp_path)
    assert found.places == ["table.csv:2", "table.csv:5"]
    (refused,) = found.rejected
    assert refused.name == "table.csv:4"
    assert key in refused.reason
    assert refused.data == line.encode()


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    csv(tmp_path, hourly(3))
    for changes, key in (
        ({"time": "when"}, "'when'"),
        ({"values": ("c",)}, "'c'"),
        ({"series": "id"}, "'id'"),
        ({"path": "none.csv"}, "none.csv"),
        ({"max_rows": 2}, "max_rows"),
        ({"max_megabytes": 1e-6}, "max_megabytes"),
    ):
        with pytest.raises(DataError, match=key):
            replace(SOURCE, **changes).listing(tmp_path)
    csv(tmp_path, ["2024-01-01,x"], "time,a")
    with pytest.raises(DataError, match="values"):
        SOURCE.listing(tmp_path)


def test_a_folder_is_all_its_files_and_a_series_may_have_its_name_in_a_column(tmp_path: Path) -> None:
    (tmp_path / "many" / "deep").mkdir(parents=True)
    for place, rows in (("b.csv", "1,2024-01-01,2"), ("deep/a.csv", "0,2024-01-01,3"), (".c.csv", "9,2024-01-01,9")):
        (tmp_path / "many" / place).write_text(f"id,time,v\n{rows}\n", encoding="utf-8")
    found = replace(SOURCE, path="many", series="id").listing(tmp_path)
    assert found.places == ["b.csv:2", "deep/a.csv:2"]
    assert found.series == ["1", "0"]
    assert found.columns == ("v",)


def parquet(**changes: Any) -> ParquetFiles:
    shared = {
        name: getattr(SOURCE, name) for name in ("frequency", "time_zone", "calendar", "scaling", "window", "time")
    }
    more = {
        name: getattr(SOURCE, name) for name in ("values", "series", "variable", "static", "max_rows", "max_megabytes")
    }
    return ParquetFiles(path="table.parquet", kind="parquet", **{**shared, **more, **changes})


def test_parquet_reads_as_the_same_csv_does(tmp_path: Path) -> None:
    csv(tmp_path, [*hourly(4), "2024-01-01T04:00,NA,7"])
    wanted = SOURCE.listing(tmp_path)
    times = pa.array(wanted.times, pa.timestamp("ns"))
    table = {
        "time": times,
        "a": pa.array(wanted.values[:, 0], from_pandas=True),
        "b": pa.array([*range(1001, 1005), 7]),
    }
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    found = parquet().listing(tmp_path)
    assert found.columns == wanted.columns
    assert found.times == wanted.times
    np.testing.assert_array_equal(found.values, wanted.values)
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"table\.parquet"):
        parquet().listing(tmp_path)


def test_keys_that_disagree_are_refused() -> None:
    for changes, key in (
        ({"time": "a", "values": ("a",)}, "different columns"),
        ({"frequency": "fortnight"}, "frequency"),
        ({"time_zone": "Middle/Earth"}, "time_zone"),
        ({"calendar": ("weekend", "weekend")}, "calendar"),
        ({"time_format": "ISO"}, "time_format"),
    ):
        with pytest.raises(ParamsError, match=key):
            replace(SOURCE, **changes)


def test_packaged_sets_are_what_they_say_and_name_their_licence() -> None:
    shared: dict[str, Any] = {"frequency": None, "time_zone": None, "calendar": (), "scaling": "together"}
    demand = ElectricityDemand(f"{FOLDER}/electricity.parquet", **shared, window=FORECAST, kind="electricity")
    air = BeijingAir(f"{FOLDER}/beijing_air.parquet", **shared, window=FORECAST, kind="beijing_air")
    found = demand.listing(ROOT)
    assert (found.columns, found.values.shape, np.isnan(found.values).sum()) == (("demand",), (26_304, 1), 0)
    assert (str(found.times[0]), str(found.times[-1])) == ("2012-01-01 00:00:00", "2014-12-31 23:00:00")
    assert found.values[:2, 0].round(1).tolist() == [1300.6, 1404.5]
    found = air.listing(ROOT)
    assert found.columns == ("pm2_5", "dew_point", "temperature", "pressure")
    assert found.values.shape == (43_824, 4)
    assert np.isnan(found.values).sum(axis=0).tolist() == [2067, 0, 0, 0]
    for source in (demand, air):
        assert (ROOT / source.path).stat().st_size < 500_000
        assert "CC BY 4.0" in (source.facts().data_licence or "")


def test_a_melted_table_reads_as_the_same_wide_one(tmp_path: Path) -> None:
    csv(tmp_path, ["2024-01-01T00,1,10", "2024-01-01T01,2,", "2024-01-01T02,3,30"])
    wide = replace(SOURCE, values=("a", "b")).listing(tmp_path)
    lines = [
        f"{time},{name},{value}"
        for time, a, b in (("00", 1, 10), ("01", 2, ""), ("02", 3, 30))
        for name, value in (("b", b), ("a", a))
    ]
    csv(tmp_path, [f"2024-01-01T{line}" for line in lines], "time,what,value")
    melted = replace(SOURCE, values=("value",), variable="what").listing(tmp_path)
    assert (melted.columns, melted.times) == (wide.columns, wide.times)
    np.testing.assert_array_equal(melted.values, wide.values)
    assert list(melted.places) == ["table.csv:2", "table.csv:4", "table.csv:6"]


def test_a_value_that_a_melted_table_says_twice_is_quarantined(tmp_path: Path) -> None:
    csv(tmp_path, ["2024-01-01T00,a,1", "2024-01-01T00,b,2", "2024-01-01T00,a,3"], "time,what,value")
    found = replace(SOURCE, values=("value",), variable="what").listing(tmp_path)
    np.testing.assert_array_equal(found.values, [[1, 2]])
    (refused,) = found.rejected
    assert refused.name == "table.csv:4"
    assert "table.csv:2" in refused.reason


@pytest.mark.parametrize("values", [None, ("a", "b")])
def test_a_melted_table_has_one_column_of_values(values: tuple[str, ...] | None) -> None:
    with pytest.raises(ParamsError, match="values"):
        replace(SOURCE, values=values, variable="what")


TIMES = np.datetime64("2024-01-01", "s") + np.arange(40) * np.timedelta64(1, "h")
METERS = [f"{time},{meter},{k},{area}" for meter, area in (("x", 10), ("y", 30)) for k, time in enumerate(TIMES)]


def test_static_features_are_told_in_standard_deviations_over_the_series(tmp_path: Path) -> None:
    csv(tmp_path, METERS, "time,meter,load,area")
    made = prepared(tmp_path, series="meter", static=("area",))
    spec = made.manifest.spec
    assert spec.conditions["static"] == Condition((1,), "float32", (), None)
    assert "area" not in spec.about["columns"]
    told = arrays(tmp_path, made, "train")
    np.testing.assert_array_equal(told["static"][:, 0], np.where(told["label"] == 0, -1.0, 1.0))


def test_a_row_that_says_another_static_value_is_quarantined(tmp_path: Path) -> None:
    csv(tmp_path, [*METERS[:-1], METERS[-1].replace(",30", ",31")], "time,meter,load,area")
    (refused,) = prepared(tmp_path, series="meter", static=("area",)).rejected
    assert refused.name == "table.csv:81"
    assert "table.csv:42" in refused.reason


def test_a_series_without_a_static_value_stops_the_run(tmp_path: Path) -> None:
    csv(tmp_path, [line.replace(",30", ",") if ",y," in line else line for line in METERS], "time,meter,load,area")
    with pytest.raises(DataError, match=r"'y'.*'area'"):
        prepared(tmp_path, series="meter", static=("area",))


def test_decimal_commas_are_read_where_the_source_says_so(tmp_path: Path) -> None:
    csv(tmp_path, ['2024-01-01,"1,5",2.25', '2024-01-02,"1.250,5",-1', '2024-01-03,"1,5",1.250'])
    found = replace(SOURCE, decimal=",").listing(tmp_path)
    np.testing.assert_array_equal(found.values, [[1.5, 2.25], [1250.5, -1]])
    (refused,) = found.rejected
    assert refused.name == "table.csv:4"
    assert "'1.250' in column 'b' is not a number" in refused.reason


def test_thousands_before_decimals_are_read_and_alone_refused(tmp_path: Path) -> None:
    csv(tmp_path, ['2024-01-01,"1,250.5",2', '2024-01-02,"1,250",2'])
    found = replace(SOURCE, values=("a", "b")).listing(tmp_path)
    np.testing.assert_array_equal(found.values, [[1250.5, 2]])
    assert "write it without the mark" in found.rejected[0].reason


def test_a_table_of_which_no_row_can_be_used_says_the_first_cell_and_the_key(tmp_path: Path) -> None:
    csv(tmp_path, ['2024-01-01,"9,85",2', '2024-01-02,"10,1",3'])
    with pytest.raises(DataError, match=r"none of 2 can.*table.csv:2: '9,85' in column 'a' .* `source.decimal: ','`"):
        replace(SOURCE, values=("a", "b")).listing(tmp_path)


def test_times_counted_from_1970_are_moments_of_utc(tmp_path: Path) -> None:
    csv(tmp_path, ["1704067200,1,2", "soon,1,2"])
    found = replace(SOURCE, time_format="unix_s").listing(tmp_path)
    assert found.times[0].isoformat() == "2024-01-01T00:00:00+00:00"
    assert "'soon' is no time in 'unix_s', which is source.time_format" in found.rejected[0].reason


def test_columns_that_are_not_there_are_bad_parameters_before_anything_is_read(tmp_path: Path) -> None:
    csv(tmp_path, hourly(3))
    kind_of("series").check_source(SOURCE, tmp_path)
    for key, value in (("time", "when"), ("values", ("c",)), ("series", "id")):
        with pytest.raises(ParamsError, match=rf"source\.{key}: .* must have one column"):
            kind_of("series").check_source(replace(SOURCE, **{key: value}), tmp_path)
