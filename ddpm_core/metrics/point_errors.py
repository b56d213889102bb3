"""Errors of one number made of the samples. The median has the least absolute error, the mean the least square."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.ensemble import Ensemble, Weighings
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.quantile_loss import scaled

Floats = NDArray[np.float64]

MASE = Metric(
    "mase",
    "absolute error of the median in units of the seasonal naive forecast's error on training data (MASE)",
    "lower",
    floor="mase_baseline",
    tile=("MASE; of the best baseline {floor:.3g}", ".3g"),
)
_KINDS = {"mae": "mean absolute error", "rmse": "root of the mean square error"}


def point_errors(of: Ensemble, errors: Floats, weighings: Weighings) -> Iterator[Metric]:
    """MAE and RMSE of median and mean in standard deviations, and MASE by seasonal errors [windows, columns]."""
    for point, forecast in (("median", of.quantile(0.5)), ("mean", of.mean)):
        off = np.abs(of.known - forecast)
        for kind, words in _KINDS.items():
            name = f"{kind}_{point}"
            metric = Metric(name, f"{words} of the {point}, in standard deviations", "lower", floor=f"{name}_baseline")
            if kind == "mae":
                yield weighings.measured(metric, of.ratio(off))
            else:
                yield weighings.root(metric, of.ratio(off * off))
    in_errors = scaled(of, np.abs(of.known - of.quantile(0.5)), errors)
    if in_errors:
        yield weighings.mean(MASE, in_errors)
