"""From a source to a file a series and a manifest of windows."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.files import npz_bytes, sha256_bytes
from ddpm_core.scaling import Scaling
from ddpm_core.spec import LABEL, Condition, DataSpec
from pipelines.kinds.manifest import Counts, Manifest
from pipelines.kinds.prepared import Prepared
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.series.rows.calendar import feature_names, features
from pipelines.kinds.series.rows.grid import Gridded, GriddedSeries, on_grid
from pipelines.kinds.series.rows.row import WindowRow
from pipelines.kinds.series.rows.static import StaticFeatures
from pipelines.kinds.series.rows.times import text_of
from pipelines.kinds.series.rows.told import as_told
from pipelines.kinds.series.rows.windows import Placed, cut_of, windows
from pipelines.kinds.series.sources.window import ForecastWindow
from pipelines.kinds.split import SplitConfig

if TYPE_CHECKING:
    from pipelines.kinds.series.sources import SourceConfig


def prepare(source: "SourceConfig", split: SplitConfig, folder: Path, root: Path) -> Prepared:
    found = source.listing(root)
    gridded = on_grid(found, source.frequency, source.time_zone)
    rejected = [*found.rejected, *gridded.rejected]
    if not gridded.series:
        raise DataError(
            f"source.path: {source.path} must have rows that can be used, but all {len(rejected)} were refused"
        )
    cut = cut_of(gridded.series, split.test_fraction)
    static = StaticFeatures.of(found.static_columns, {each.name: each.static for each in gridded.series})
    spec = _spec(source, found.columns, gridded, cut, static)
    rows: list[WindowRow] = []
    for number, series in enumerate(gridded.series):
        made, refused = _of_series(number, series, source, spec, cut, folder)
        rows, rejected = [*rows, *made], [*rejected, *refused]
    rows.sort(key=lambda row: row.key)
    return Prepared(Manifest(rows, spec, Counts(len(rows) + len(rejected), len(rows), len(rejected))), rejected)


def _spec(
    source: "SourceConfig", columns: tuple[str, ...], gridded: Gridded, cut: np.datetime64, static: StaticFeatures
) -> DataSpec:
    window, K = source.window, len(columns)
    calendar = feature_names(source.calendar)
    names = [series.name for series in gridded.series]
    conditions: dict[str, Condition] = {}
    if isinstance(window, ForecastWindow):
        conditions |= {name: Condition((K, window.history), "float32", (), None) for name in ("history", "seen")}
        lengths = {"history": window.history, "horizon": window.horizon}
    else:
        conditions |= {name: Condition((K, window.window), "float32", (), None) for name in ("observed", "told")}
        lengths = {"window": window.window}
    if calendar:
        conditions["calendar"] = Condition((len(calendar), window.steps), "float32", (), None)
    if static.columns:
        conditions["static"] = Condition((len(static.columns),), "float32", (), None)
    if len(names) > 1:
        conditions[LABEL] = Condition.of_classes(names)
    about: dict[str, Any] = {
        "task": window.kind,
        "columns": list(columns),
        "frequency": gridded.frequency.text,
        "time_zone": source.time_zone,
        "calendar": calendar,
        **({"static": asdict(static)} if static.columns else {}),
        **lengths,
        "test_from": text_of(cut),
    }
    shape = (K, window.steps - window.told)
    scaling = _scaling(gridded, columns, cut)
    if source.scaling == "each_series" and LABEL in conditions:
        scaling = replace(scaling, of_class=tuple(_scaling_of(each, scaling, cut) for each in gridded.series))
    return DataSpec(shape, None, None, conditions, scaling, "series", masked=True, about=about)


def _scaling(gridded: Gridded, columns: tuple[str, ...], cut: np.datetime64) -> Scaling:
    """The mean and the standard deviation of each column, of what lies before the test."""
    values = np.concatenate([each.values[:, each.times < cut] for each in gridded.series], axis=1).astype(np.float64)
    for name, column in zip(columns, values, strict=True):
        known = column[~np.isnan(column)]
        if len(known) < 2 or (known == known[0]).all():
            came = f"all {len(known)} are {known[0]:g}" if len(known) else "there is none"
            raise DataError(
                f"source.values: the values of {name!r} before the test must differ, but {came}; leave the column out, "
                "or give more of it"
            )
    return Scaling(tuple(np.nanmean(values, axis=1).tolist()), tuple(np.nanstd(values, axis=1).tolist()))


def _scaling_of(series: GriddedSeries, together: Scaling, cut: np.datetime64) -> Scaling:
    """The same of one series; that of all where a column has none, and its deviation where all are the same."""
    means, stds = list(together.mean), list(together.std)
    for place, column in enumerate(series.values[:, series.times < cut].astype(np.float64)):
        known = column[~np.isnan(column)]
        if len(known):
            means[place] = float(known.mean())
            stds[place] = float(known.std()) if (known != known[0]).any() else stds[place]
    return Scaling(tuple(means), tuple(stds))


def _of_series(
    number: int, series: GriddedSeries, source: "SourceConfig", spec: DataSpec, cut: np.datetime64, folder: Path
) -> tuple[list[WindowRow], list[Rejected]]:
    """Write a series' file; its windows, and those of which too much is missing."""
    present, before = ~np.isnan(series.values), int((series.times < cut).sum())
    data = npz_bytes(
        {
            "values": np.where(present, series.values, np.float32(0)),
            "present": present.astype(np.uint8),
            "calendar": features(series.clock, spec.about["calendar"]),
            "first": np.int64(series.first),
        }
    )
    path = f"{number:05d}.npz"
    (folder / path).write_bytes(data)
    label = number if LABEL in spec.conditions else -1
    scaled, _ = as_told(spec, series.values, present, label)
    shared = {
        "path": path,
        "label": label,
        "class_name": series.name if LABEL in spec.conditions else "",
        "sha256": sha256_bytes(data),
        "series": series.name,
        "longest_gap": series.longest_gap,
        "series_missing": round(series.missing, 6),
        "irregular": round(series.irregular, 6),
        "backward": round(series.backward, 6),
        "constant": _constant(series.values[:, :before]),
    }
    rows, refused = [], []
    for placed in windows(len(series.times), before, source.window):
        if why := _too_empty(present, placed, source.window.max_missing):
            refused.append(Rejected(_name(series, placed), why))
        else:
            rows.append(_row(series, placed, present, np.abs(scaled), shared))
    if not rows and not refused:
        steps, needed = len(series.times), source.window.steps
        why = f"has {steps} steps, {before} of them before the test, and a window has {needed}"
        refused.append(Rejected(series.name or "the series", why))
    return rows, refused


def _row(
    series: GriddedSeries,
    placed: Placed,
    present: NDArray[np.bool_],
    far: NDArray[np.float32],
    shared: Mapping[str, Any],
) -> WindowRow:
    inside, name = slice(placed.start, placed.end), _name(series, placed)
    values = series.values[:, inside].astype("<f4").tobytes()
    source = sha256_bytes(f"{name} ".encode() + values)
    when = str(series.times[placed.start]).replace("-", "").replace(":", "")
    return WindowRow(
        key=f"{when}-{source[:8]}",  # so the last training windows, which `train.hold_out` takes, are the latest
        split=placed.split,
        source_sha256=source,
        content_sha256=sha256_bytes(values),
        source=name,
        start=text_of(series.clock[placed.start]),
        first=series.first + placed.start,
        target=series.first + placed.target,
        end=series.first + placed.end,
        missing=round(float(1 - present[:, inside].mean()), 6),
        deviations=round(float(far[:, inside].max()), 3),
        **shared,
    )


def _name(series: GriddedSeries, placed: Placed) -> str:
    return f"{series.name} from {text_of(series.times[placed.start])}".strip()


def _too_empty(present: NDArray[np.bool_], placed: Placed, most: float) -> str:
    parts = {"values": (placed.target, placed.end)}
    if placed.target > placed.start:
        parts = {"history": (placed.start, placed.target), "horizon": (placed.target, placed.end)}
    for words, (low, high) in parts.items():
        missing = 1 - float(present[:, low:high].mean())
        if missing > most or missing == 1:
            return f"{missing:.0%} of its {words} are missing, and source.window.max_missing is {most:.0%}"
    return ""


def _constant(values: NDArray[np.float32]) -> int:
    """The columns that have values and but one."""
    known = (column[~np.isnan(column)] for column in values)
    return sum(len(column) > 0 and bool((column == column[0]).all()) for column in known)
