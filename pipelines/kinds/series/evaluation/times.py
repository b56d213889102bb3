"""When windows begin, which their keys say."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import Moments, text_of


def blocks(keys: Sequence[str], spec: DataSpec) -> NDArray[np.int64]:
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
