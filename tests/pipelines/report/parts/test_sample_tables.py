"""Tables that stage evaluate left, as the report reads them."""

import csv
from pathlib import Path

from pipelines.report.parts.files import read_table


def test_names_of_columns_with_ends_of_lines_in_them_come_back_whole(tmp_path: Path) -> None:
    """A column of a Parquet file may have any name, and by_column.csv has a row for each."""
    names = ["wind", "two\nlines", "end of line \u2028", "next line \x85", 'say "x", please']
    with (tmp_path / "by_column.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["column", "crps"], *([name, 0.5] for name in names)])
    rows = read_table(tmp_path / "by_column.csv")
    assert rows == [{"column": name, "crps": "0.5"} for name in names]
