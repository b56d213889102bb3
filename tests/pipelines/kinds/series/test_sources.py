"""Sources of series: which columns are read, what a row is refused for, packaged sets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.series.sources import BeijingAir, ElectricityDemand, ParquetFiles
from tests.pipelines.kinds.series.made import FORECAST, SOURCE, csv, hourly
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
    more = {name: getattr(SOURCE, name) for name in ("values", "series", "max_rows", "max_megabytes")}
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
