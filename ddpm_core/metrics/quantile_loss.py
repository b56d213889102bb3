"""Quantile losses as the leaderboards of forecasting define them (GIFT-Eval, fev, AutoGluon, the M competitions).

The loss of a quantile f at level q is 2 |(y - f) (1[y <= f] - q)|, and the levels are 0.1 to 0.9; their mean is about
the CRPS, and larger by the coarseness of the levels and by the chance in samples. Of a column

    wQL = sum of the mean losses / sum of |y|          SQL = mean of (mean loss / seasonal error)

with y in the data's own unit, and the seasonal error that of the naive forecast one season back on training data. Of
several columns it is the mean of theirs.
"""

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.ensemble import Ensemble, Ratio
from ddpm_core.metrics.metric import Metric

Floats = NDArray[np.float64]

LEVELS = tuple(round(0.1 * nth, 1) for nth in range(1, 10))

WQL = Metric(
    "wql",
    "quantile loss at 0.1 to 0.9 over the sum of absolute values, as leaderboards define it (wQL)",
    "lower",
    floor="wql_baseline",
)
SQL = Metric(
    "sql",
    "quantile loss at 0.1 to 0.9 in units of the seasonal naive forecast's error on training data (SQL)",
    "lower",
    floor="sql_baseline",
)


def quantile_losses(of: Ensemble, levels: tuple[float, ...] = LEVELS) -> Floats:
    """The mean over the levels, [windows, columns, steps], in units of each column's standard deviation."""
    total = np.zeros(of.truth.shape)
    for level in levels:
        quantile = of.quantile(level)
        total += 2.0 * np.abs((of.known - quantile) * ((of.known <= quantile) - level))
    return total / len(levels)


def weighted(of: Ensemble, losses: Floats, mean: Floats, std: Floats) -> dict[str, Ratio]:
    """wQL of each column whose values are not all 0; `mean` and `std` [windows, columns] are of their scaling."""
    loss = np.where(of.counts, losses, 0.0).sum(axis=2) * std
    size = np.where(of.counts, np.abs(of.known * std[:, :, None] + mean[:, :, None]), 0.0).sum(axis=2)
    return {str(k): Ratio(loss[:, k], size[:, k]) for k in range(size.shape[1]) if size[:, k].sum() > 0}


def scaled(of: Ensemble, losses: Floats, errors: Floats) -> dict[str, Ratio]:
    """Losses in units of the seasonal errors [windows, columns], of each column that has any."""
    found = {}
    for k in range(errors.shape[1]):
        usable = of.counts[:, k] & (errors[:, k, None] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(usable, losses[:, k] / errors[:, k, None], 0.0)
        if usable.any():
            found[str(k)] = Ratio(each.sum(axis=1), usable.sum(axis=1).astype(np.float64))
    return found
