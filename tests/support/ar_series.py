"""Windows of a process of which the exact distribution of what comes, or is missing, is known: AR(1) by the hour.

Two columns, each x_t = 0.8 x_(t-1) + e_t with variance 1, and with the correlation 0.9 to each other; a tenth of the
values is missing.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ddpm_core.scaling import Scaling
from ddpm_core.spec import Condition, DataSpec
from pipelines.shards.archive import Split

PHI, COLUMNS, HISTORY, HORIZON, WINDOW = 0.8, 2, 24, 8, 24
_TOGETHER = np.array([[1.0, 0.9], [0.9, 1.0]])
_ABOUT = {"columns": ["load", "heat"], "frequency": "h", "calendar": ["hour_of_day_sin", "hour_of_day_cos"]}
_SCALING = Scaling((10.0, -3.0), (2.0, 0.5))


def _condition(rows: int, steps: int) -> Condition:
    return Condition((rows, steps), "float32", (), None)


FORECAST = DataSpec(
    (COLUMNS, HORIZON), None, None,
    {"history": _condition(COLUMNS, HISTORY), "seen": _condition(COLUMNS, HISTORY),
     "calendar": _condition(2, HISTORY + HORIZON)},
    _SCALING, "series", masked=True,
    about={**_ABOUT, "task": "forecast", "history": HISTORY, "horizon": HORIZON, "test_from": "2021-01-01"},
)  # fmt: skip
IMPUTE = replace(
    FORECAST,
    shape=(COLUMNS, WINDOW),
    conditions={"observed": _condition(COLUMNS, WINDOW), "told": _condition(COLUMNS, WINDOW),
                "calendar": _condition(2, WINDOW)},
    about={**_ABOUT, "task": "impute", "window": WINDOW, "test_from": "2021-01-01"},
)  # fmt: skip


def split(spec: DataSpec, n: int, seed: int, start: str = "2020-01-01T00:00:00") -> tuple[Split, np.ndarray]:
    """Windows one after the other in time, their answers apart, and all their values [n, columns, places]."""
    rng = np.random.default_rng(seed)
    steps = spec.shape[1]
    told = HISTORY if spec.about["task"] == "forecast" else 0
    values = np.empty((COLUMNS, n * steps + told))
    root = np.linalg.cholesky(_TOGETHER)
    values[:, 0] = root @ rng.standard_normal(COLUMNS)
    for t in range(1, values.shape[1]):
        values[:, t] = PHI * values[:, t - 1] + np.sqrt(1 - PHI**2) * root @ rng.standard_normal(COLUMNS)
    begins = np.arange(n) * steps
    whole = np.stack([values[:, begin : begin + told + steps] for begin in begins])
    there = rng.random(whole.shape) < 0.9
    there[:, :, max(0, told - 1)] = True  # so that the last value of a history is always told
    hours = 2 * np.pi * (begins[:, None] + np.arange(told + steps)) / 24
    calendar = np.stack([np.sin(hours), np.cos(hours)], axis=1).astype(np.float32)
    known = np.where(there, whole, 0.0).astype(np.float32)
    x = np.where(there[:, :, told:], spec.decode(known[:, :, told:]), 0).astype(np.float32)
    arrays: dict[str, Any] = {"x": x, "present": there[:, :, told:].astype(np.uint8), "calendar": calendar}
    names, part = (("history", "seen"), slice(0, told)) if told else (("observed", "told"), slice(None))
    arrays |= {names[0]: known[:, :, part], names[1]: there[:, :, part].astype(np.float32)}
    times = np.datetime64(start) + begins.astype("timedelta64[h]")
    keys = [f"{str(time).replace('-', '').replace(':', '')}-{nth:08x}" for nth, time in enumerate(times)]
    return Split(arrays, keys), whole


def oracle(spec: DataSpec, told: np.ndarray, m: int, seed: int, spread: float = 1.0) -> np.ndarray:
    """m samples of each window, one window after the other, from the exact distribution given what is told.

    `told` [windows, columns, places] is NaN where nothing is; `spread` multiplies the standard deviation.
    """
    places, steps = told.shape[2], spec.shape[1]
    cov = np.kron(_TOGETHER, PHI ** np.abs(np.subtract.outer(np.arange(places), np.arange(places))))
    rng = np.random.default_rng(seed)
    samples = np.empty((len(told), m, COLUMNS * places))
    for window, values in enumerate(told.reshape(len(told), -1)):
        a, b = np.isnan(values), ~np.isnan(values)
        gain = cov[np.ix_(a, b)] @ np.linalg.inv(cov[np.ix_(b, b)])
        root = np.linalg.cholesky(cov[np.ix_(a, a)] - gain @ cov[np.ix_(b, a)])
        samples[window] = np.where(b, values, 0.0)
        samples[window][:, a] = gain @ values[b] + spread * rng.standard_normal((m, a.sum())) @ root.T
    found = samples.reshape(-1, COLUMNS, places)[..., -steps:]
    return spec.decode(found.astype(np.float32))
