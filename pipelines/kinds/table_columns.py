"""What a user should know of the columns of a table: which are left out and why, and values far from all others."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from pipelines.kinds.csv_cells import no_number, number_of
from pipelines.kinds.table_profile import Column, TableProfile, is_number_cell
from pipelines.kinds.time_formats import NAMES

_WILD = 20.0  # robust standard deviations from the median
_SHOWN = 3


def left_out(table: TableProfile, used: Collection[str | None]) -> str:
    """The other columns, each with a cell of it and the reason; empty where there are none."""
    columns = [column for column in table.columns if column.name not in used]
    return "; ".join(f"{column.name!r} ({_reason(table, column)})" for column in columns)


def _reason(table: TableProfile, column: Column) -> str:
    cell = next((cell for cell in table.cells(column.name) if cell is not None), None)
    if cell is None:
        return "empty"
    if column.distinct == 1:
        return f"{_shown(cell)} in every row"
    if table.counts(column):
        return "counts the rows"
    odd = _odd(table, column)
    return f"{_shown(cell)}: not needed" if odd is None else f"{_shown(odd[1])} in line {odd[0]} is not a number"


def _odd(table: TableProfile, column: Column) -> tuple[int, Any] | None:
    """The line and the cell of the first that is no number."""
    pairs = zip(table.lines, table.cells(column.name), strict=True)
    return next((pair for pair in pairs if pair[1] is not None and not is_number_cell(pair[1], table.decimal)), None)


def nearly_numbers(table: TableProfile, used: Collection[str | None]) -> Iterator[str]:
    """A warning for each column left out that may well have been meant as numbers, with what mends it."""
    for column in table.columns:
        odd = None if column.name in used or column.times >= 0.5 else _odd(table, column)
        if odd is None or not isinstance(odd[1], str):
            continue
        cells = [cell for cell in table.cells(column.name) if cell is not None]
        if sum(any(letter.isdigit() for letter in str(cell)) for cell in cells) < 0.9 * len(cells):
            if column.numbers > 0.5:
                yield (
                    f"column {column.name!r} is left out: {1 - column.numbers:.0%} of its cells are not numbers, such "
                    f"as {_shown(odd[1])} in line {odd[0]}. Leave such cells empty, or name the words in source.missing"
                )
        elif not any(letter.isalpha() for letter in odd[1]):
            yield (
                f"column {column.name!r} is left out: line {odd[0]}: {no_number(odd[1], column.name, table.decimal)}. "
                "Write all numbers in one way"
            )


def unread_times(table: TableProfile) -> str:
    """Of a table without times: the column that is called like one, a cell that was not understood, and what to do."""
    for column in table.columns:
        cell = next((cell for cell in table.cells(column.name) if cell is not None), None)
        if cell is not None and column.name.strip().lower() in NAMES and column.distinct > 2:
            mend = (
                ""
                if table.is_parquet
                else ", or begin from --preset forecast and name their pattern in source.time_format"
            )
            return (
                f"; {_shown(cell)} in column {column.name!r} is no time in a format that is known: write times as ISO "
                f"8601, such as 2024-01-31 12:00{mend}"
            )
    return ""


def wild_values(table: TableProfile, values: Collection[str], series: str | None) -> Iterator[str]:
    """A warning for each column with values that lie far from all others of their series, as codes for `missing` do."""
    names = table.cells(series) if series is not None else [""] * len(table.rows)
    for name in values:
        of_series: dict[Any, list[tuple[int, Any, float]]] = defaultdict(list)
        for line, cell, group in zip(table.lines, table.cells(name), names, strict=True):
            if cell is not None and is_number_cell(cell, table.decimal):
                number = number_of(cell, table.decimal) if isinstance(cell, str) else float(cell)
                of_series[group].append((line, cell, number))
        wild = sorted((each for group in of_series.values() for each in _far(group)), key=lambda each: each[0])
        if not wild:
            continue
        words = list(dict.fromkeys(str(cell) for _, cell, _ in wild))
        cure = (
            "write null in their place in the file"
            if table.is_parquet
            else f"source.missing: [{', '.join(repr(word) for word in words[:_SHOWN])}] reads them as missing"
        )
        where = "row" if table.is_parquet else "line"
        yield (
            f"column {name!r} has {len(wild)} values more than {_WILD:g} robust deviations from the others: "
            f"{_shown(wild[0][1])} in {where} {wild[0][0]}"
            + (f", {len(words)} different ones" if len(words) > 1 else "")
            + f". The contract stops at such values. If they stand for none, {cure}"
        )  # fmt: skip


def _far(readings: list[tuple[int, Any, float]]) -> list[tuple[int, Any, float]]:
    numbers = np.array([number for _, _, number in readings])
    away = np.abs(numbers - np.median(numbers))
    deviation = 1.4826 * float(np.median(away))
    if not deviation:
        return []
    return [each for each, far in zip(readings, away > _WILD * deviation, strict=True) if far]


def _shown(cell: Any) -> str:
    return repr(str(cell)[:40])
