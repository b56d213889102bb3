"""Windows of series in the form that baselines and controls take: what is told of each, and the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.spec import LABEL, DataSpec
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import Moments, text_of
from pipelines.shards.archive import Split

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Windows:
    """All in standard deviations, as the network sees them. NaN where a value was not told, or is not there."""

    told: Floats  # [windows, columns, places], of which the last so many as the truth has are answered
    truth: Floats  # [windows, columns, steps]
    calendar: Floats  # [windows, features, steps]
    label: Rows  # [windows], 0 where there is one series

    @classmethod
    def of(cls, split: Split, spec: DataSpec, cond: Mapping[str, NDArray[Any]] | None = None) -> "Windows":
        """A split's windows; `cond` where something else is told of them."""
        if split.present is None:
            raise DataError("data/shards: must say which values there are, and does not; run `ddpm prepare` again")
        cond = {**split.cond, **(cond or {})}
        truth = np.where(split.present > 0, spec.encode(split.x, cond.get(LABEL)).astype(np.float64), np.nan)
        if "history" in cond:
            told = np.where(cond["seen"] > 0, cond["history"].astype(np.float64), np.nan)
            told = np.concatenate([told, np.full(truth.shape, np.nan)], axis=2)
        else:
            told = np.where(cond["told"] > 0, cond["observed"].astype(np.float64), np.nan)
        n, steps = len(truth), truth.shape[2]
        calendar = cond["calendar"][:, :, -steps:] if "calendar" in cond else np.zeros((n, 0, steps))
        label = cond[LABEL] if LABEL in cond else np.zeros(n)
        return cls(told, truth, calendar.astype(np.float64), label.astype(np.int64))

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, rows: Rows) -> "Windows":
        return Windows(self.told[rows], self.truth[rows], self.calendar[rows], self.label[rows])

    @property
    def steps(self) -> int:
        return int(self.truth.shape[2])

    @property
    def asked(self) -> NDArray[np.bool_]:
        """The values that are there and were not told: [windows, columns, steps]."""
        return ~np.isnan(self.truth) & np.isnan(self.told[:, :, -self.steps :])

    @property
    def whole(self) -> Floats:
        """What is told and the truth together: [windows, columns, places]."""
        known = self.told.copy()
        known[:, :, -self.steps :] = np.where(np.isnan(self.truth), known[:, :, -self.steps :], self.truth)
        return known


def blocks(keys: Sequence[str], spec: DataSpec) -> Rows:
    """Windows of one block begin within a stretch of as many time steps as they answer."""
    steps, _, _ = Frequency.of(spec.about["frequency"]).steps(_begins(keys))
    return np.asarray((steps - steps.min()) // spec.shape[1])


def time_of(key: str, place: int, spec: DataSpec) -> str:
    """The time of a place of a window."""
    frequency = Frequency.of(spec.about["frequency"])
    steps, _, phase = frequency.steps(_begins([key]))
    return text_of(frequency.times(steps + place, phase)[0]).replace("T", " ").removesuffix(" 00:00")


def _begins(keys: Sequence[str]) -> Moments:
    """Keys of windows begin with the time of their first step."""
    times = [datetime.strptime(key.partition("-")[0], "%Y%m%dT%H%M%S") for key in keys]
    return np.array(times, dtype="datetime64[s]")
