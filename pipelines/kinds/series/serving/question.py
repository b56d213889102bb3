"""What a table of a request asks of a bundle: windows of the model's length, and how their samples make the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import LABEL, DataSpec
from pipelines.kinds.series.rows.calendar import features
from pipelines.kinds.series.rows.static import StaticFeatures
from pipelines.kinds.series.rows.told import as_told
from pipelines.kinds.series.serving.times import Grid
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import InvalidRequest

Values = NDArray[np.float64]
"""[columns, steps], NaN where missing."""
_FARTHEST = 1e6  # standard deviations from the mean of the training data


@dataclass(frozen=True, eq=False)
class Window:
    """`told` is what the network is told, and begins at the table's step `start`. Of its samples the places `taken`
    become those of the answer from `answers` on."""

    number: int
    start: int
    told: Values
    taken: slice
    answers: int


@dataclass(frozen=True, eq=False)
class Question:
    """The answer has the steps of the table from `start` to `stop`; `given` are the values of these that are known."""

    windows: Sequence[Window]
    start: int
    stop: int
    given: Values
    before: Values  # the values before the answer, for a picture

    def seeds(self, seed: int, n: int) -> list[int]:
        """Of n samples of each window. Those of another window of the table are other ones."""
        return [seed + MOST_SAMPLES * window.number + i for window in self.windows for i in range(n)]

    def cond(
        self, spec: DataSpec, grid: Grid | None, label: int | None, static: NDArray[np.float32] | None, n: int
    ) -> dict[str, Any]:
        """What the network is told of the n samples of each window."""
        told = np.stack([window.told for window in self.windows])
        names = ("history", "seen") if "history" in spec.conditions else ("observed", "told")
        labels = np.full(len(told), -1 if label is None else label)
        cond: dict[str, Any] = dict(zip(names, as_told(spec, told, ~np.isnan(told), labels), strict=True))
        if "calendar" in spec.conditions and grid is not None:
            steps = spec.conditions["calendar"].shape[1]
            clocks = [grid.clock(window.start, window.start + steps) for window in self.windows]
            cond["calendar"] = np.stack([features(clock, spec.about["calendar"]) for clock in clocks])
        if static is not None:
            cond["static"] = np.broadcast_to(static, (len(told), len(static)))
        cond = {name: np.repeat(values, n, axis=0) for name, values in cond.items()}
        return {**cond, LABEL: [label] * (n * len(self.windows))} if LABEL in spec.conditions else cond

    def answer(self, data: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """The samples [n, columns, steps] of the answer, with the given values where they are known."""
        given = self.given.astype(np.float32)
        found = np.broadcast_to(given, (n, *given.shape)).copy()
        for number, window in enumerate(self.windows):
            part = data[number * n : (number + 1) * n, :, window.taken]
            place = slice(window.answers, window.answers + part.shape[2])
            found[:, :, place] = np.where(np.isnan(given[:, place]), part, given[:, place])
        return found


def to_forecast(spec: DataSpec, history: Values, horizon: int | None) -> Question:
    """The last steps of the history that the model takes; a shorter history is missing before its first row.

    A model that fills gaps forecasts by a gap at the end of its window.
    """
    steps, most = history.shape[1], _longest_horizon(spec)
    if horizon is None and "horizon" not in spec.about:
        raise InvalidRequest.of("horizon", f"must be given, from 1 to {most}")
    asked = most if horizon is None else horizon
    if not 1 <= asked <= most:
        raise InvalidRequest.of("horizon", f"must be from 1 to {most}, which this model was trained for, got {asked}")
    direct = "history" in spec.about
    length = spec.about["history"] if direct else spec.about["window"] - asked
    told = np.full((len(history), length if direct else length + asked), np.nan)
    used = min(length, steps)
    told[:, length - used : length] = history[:, steps - used :]
    if np.isnan(told).all():
        raise InvalidRequest.of("history", f"must have a value in its last {length} steps, which the model is told")
    taken = slice(0, asked) if direct else slice(length, length + asked)
    nothing = np.full((len(history), asked), np.nan)
    return Question(
        [Window(0, steps - length, told, taken, 0)], steps, steps + asked, nothing, history[:, steps - used :]
    )


def _longest_horizon(spec: DataSpec) -> int:
    return int(spec.about["horizon"] if "horizon" in spec.about else spec.about["window"] - 1)


def to_impute(spec: DataSpec, table: Values) -> Question:
    """Windows one behind the other; the last one ends with the table. A shorter table is missing behind its last row.

    A window without a gap is not asked for.
    """
    length, steps = int(spec.about["window"]), table.shape[1]
    gaps = np.isnan(table)
    if not gaps.any():
        raise InvalidRequest.of("table", "must have a missing value (null), as there is nothing else to fill")
    if gaps.all():
        raise InvalidRequest.of("table", "must have a value that is not missing")
    windows = []
    for number, begin in enumerate(range(0, steps, length)):
        end = min(begin + length, steps)
        if not gaps[:, begin:end].any():
            continue
        start = max(0, min(begin, steps - length))
        told = np.full((len(table), length), np.nan)
        told[:, : min(length, steps)] = table[:, start : start + length]
        windows.append(Window(number, start, told, slice(begin - start, end - start), begin))
    return Question(windows, 0, steps, table, table[:, :0])


def static_of(spec: DataSpec, label: int | None, given: Mapping[str, float] | None) -> NDArray[np.float32] | None:
    """The static features as the network is told them: those that are given, else those of the series."""
    if "static" not in spec.conditions:
        if given is not None:
            raise InvalidRequest.of("static", "must be left out, as this model is told no static features")
        return None
    features = StaticFeatures.from_spec(spec)
    if given is None:
        if spec.classes and label is None:
            raise InvalidRequest.of("static", f"must be given with label `none`: {', '.join(features.columns)}")
        return features.of_series(-1 if label is None else label)
    if sorted(given) != sorted(features.columns):
        raise InvalidRequest.of("static", f"must have the values {', '.join(features.columns)}")
    scaled = features.scaled([given[name] for name in features.columns])
    if not (np.abs(scaled) <= _FARTHEST).all():
        raise InvalidRequest.of("static", f"must be within {_FARTHEST:,.0f} standard deviations of the training data")
    return scaled


def check_distance(spec: DataSpec, values: Values, label: int | None, columns: Sequence[str], field: str) -> None:
    """Refuse what is so far from the training data that the network's numbers would not be finite."""
    if spec.scaling is None:
        return
    mean, std = spec.scaling.affine(np.array(len(spec.classes) if label is None else label))
    far = (np.abs(values - mean[:, None]) > _FARTHEST * std[:, None]).any(axis=1)
    if far.any():
        column = columns[int(far.argmax())]
        raise InvalidRequest.of(
            field, f"must be within {_FARTHEST:,.0f} standard deviations of the training data in column {column}"
        )
