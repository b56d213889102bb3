"""The names of the files of out/samples, which stage evaluate writes and the report reads, and fans as JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.kinds.series.rows.fan import Fan

FANS, FORECASTERS, BY_STEP, BY_COLUMN = "fans.json", "forecasters.csv", "by_step.csv", "by_column.csv"
COVERAGE, PIT, QUANTILES = "coverage.csv", "pit.csv", "quantiles.csv"
MODEL = "the model"
BINS = 20  # of the PIT histogram


def plain_fan(fan: Fan) -> dict[str, Any]:
    def listed(values: Any) -> list[float | None]:
        return [None if np.isnan(each) else float(f"{each:.6g}") for each in values]

    return {
        "title": fan.title,
        "told": listed(fan.told),
        "samples": [listed(each) for each in fan.samples],
        "truth": None if fan.truth is None else listed(fan.truth),
        "ends": list(fan.ends),
    }


def read_fan(plain: Mapping[str, Any]) -> Fan:
    """What `plain_fan` gave."""
    told, samples = (np.array(plain[name], dtype=np.float64) for name in ("told", "samples"))
    truth = None if plain["truth"] is None else np.array(plain["truth"], dtype=np.float64)
    return Fan(plain["title"], told, samples, truth, (plain["ends"][0], plain["ends"][1]))
