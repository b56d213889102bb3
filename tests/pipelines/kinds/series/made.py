"""Small series on disk and their sources."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.kinds import kind_of
from pipelines.kinds.prepared import Prepared
from pipelines.kinds.series.sources import CsvFiles
from pipelines.kinds.series.sources.window import ForecastWindow, ImputeWindow
from pipelines.kinds.split import SplitConfig

SERIES = kind_of("series")
FORECAST = ForecastWindow("forecast", history=6, horizon=3, stride=2, test_stride=3, max_missing=0.5)
IMPUTE = ImputeWindow("impute", window=8, stride=3, test_stride=8, max_missing=0.5)
SPLIT = SplitConfig(seed=0, test_fraction=0.25)
SOURCE = CsvFiles(
    path="table.csv",
    frequency=None,
    time_zone=None,
    calendar=("hour_of_day", "weekend"),
    scaling="together",
    window=FORECAST,
    time="time",
    values=None,
    series=None,
    variable=None,
    static=(),
    max_rows=100_000,
    max_megabytes=10.0,
    kind="csv",
    delimiter=",",
    decimal=".",
    time_format=None,
    missing=("NA",),
)


def csv(folder: Path, lines: Iterable[Any], header: str = "time,a,b") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *map(str, lines)]) + "\n", encoding="utf-8")
    return path


def hourly(n: int, start: str = "2024-01-01") -> list[str]:
    """n rows whose values no other row has: 1, 2, 3 ... in a and 1001, 1002 ... in b."""
    times = np.datetime64(start, "s") + np.arange(n) * np.timedelta64(1, "h")
    return [f"{time},{k + 1},{k + 1001}" for k, time in enumerate(times)]


def prepared(folder: Path, **changes: Any) -> Prepared:
    out = folder / "prepared"
    out.mkdir(exist_ok=True)
    return SERIES.prepare(replace(SOURCE, **changes), SPLIT, out, folder, workers=1)


def arrays(folder: Path, made: Prepared, split: str) -> dict[str, Any]:
    """All examples of a split, by name."""
    rows, spec = made.manifest.of_split(split), made.manifest.spec
    found = list(SERIES.examples(folder / "prepared", rows, spec))
    return {name: np.stack([each.arrays[name] for each in found]) for name in found[0].arrays}
