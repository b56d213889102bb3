"""What stage reference makes for series: the season, the seasonal errors, and the errors of each baseline."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import npz_bytes
from ddpm_core.spec import DataSpec
from pipelines.evaluation.reference import RealData, Reference
from pipelines.kinds.series.reference.baselines import (
    Baseline,
    ByDistance,
    Climatology,
    Paths,
    by_distance,
    paths,
    points,
    season_of,
    seasonal_errors,
)
from pipelines.kinds.series.reference.config import ReferenceConfig
from pipelines.kinds.series.reference.windows import Windows

BASELINES = "baselines.npz"


def build(real: RealData) -> tuple[dict[str, Any], dict[str, bytes]]:
    config: ReferenceConfig = real.config
    return of_windows(Windows.of(real.train, real.spec), real.spec, config)


def of_windows(train: Windows, spec: DataSpec, config: ReferenceConfig) -> tuple[dict[str, Any], dict[str, bytes]]:
    season = season_of(train, spec, config.season)
    errors = seasonal_errors(train, season, max(1, len(spec.classes)))
    kept: dict[str, NDArray[Any]] = {}
    for name, point in points(spec, season).items():
        rng = np.random.Generator(np.random.Philox(key=[config.seed, len(train)]))
        if spec.about["task"] == "impute":
            kept[name] = by_distance(point, train, rng)
        else:
            kept[name], kept[f"{name}: series"] = paths(point, train, rng)
    about = {"season": season, "seasonal_errors": [[float(f"{error:.9g}") for error in each] for each in errors]}
    return about, {BASELINES: npz_bytes(kept)}


def baselines(reference: Reference, train: Windows, spec: DataSpec) -> dict[str, Baseline]:
    """The baselines by name, from what `build` wrote."""
    found: dict[str, Baseline] = {}
    with np.load(io.BytesIO(reference.files[BASELINES]), allow_pickle=False) as kept:
        for name, point in points(spec, reference.content["season"]).items():
            if spec.about["task"] == "impute":
                found[name] = ByDistance(point, kept[name])
            else:
                found[name] = Paths(point, kept[name], kept[f"{name}: series"])
    found["climatology"] = Climatology(train)
    return found
