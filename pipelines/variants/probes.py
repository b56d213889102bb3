"""Inputs as sampling gives them to the network: real data noised to the levels that the plan visits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.noise import step_noise
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.procedure import MODEL_FILE
from ddpm_core.spec import LABEL
from pipelines.sampling.recipe import Recipe
from pipelines.shards.archive import Split, joined, read_index, read_shard, rows_of

Feeds = dict[str, NDArray[Any]]
_MOST_LEVELS = 12


@dataclass(frozen=True, eq=False)
class Probe:
    """A batch at one level: the graph's inputs by name, and what an error of the answer does to x0_hat."""

    level: int
    weight: float
    feeds: Feeds


def first_data(folder: Path, count: int) -> Split:
    """The first data of the train split, from as many shards as hold them."""
    index = read_index(folder)
    parts: list[Split] = []
    for shard in index.shards("train"):
        parts.append(read_shard(index, shard))
        if sum(len(part) for part in parts) >= count:
            break
    arrays = rows_of(joined([part.arrays for part in parts], index.spec), slice(count))
    return Split(arrays, [key for part in parts for key in part.keys][:count])


def probes_of(bundle: Bundle, recipe: Recipe, data: Split, count: int, *, first: int = 0) -> list[Probe]:
    """`count` data of the split from `first` on, at each level where the plan asks the network (12 at most, evenly).

    Where guidance acts the network is asked without the conditions too, so every second datum is told none.
    """
    if bundle.procedure is not None:
        raise ParamsError(
            "variants: need a network that is sampled in one loop, but the one of this bundle makes column after column"
        )
    if len(data) < first + count:
        raise DataError(f"variants: need {first + count} data of the train split, got {len(data)}; ask for fewer")
    rows = rows_of(data.arrays, slice(first, first + count))
    cond = {name: rows[name] for name in bundle.spec.conditions}
    if recipe.guidance.weight:
        cond = {name: _half_untold(bundle.spec.null.get(name), value) for name, value in cond.items()}
    x0 = bundle.spec.encode(rows["x"], cond.get(LABEL))
    schedule, (_, B, c_in) = bundle.schedule, bundle.parameterisation.table()
    probes = []
    for level in _levels(recipe):
        z = step_noise(range(first, first + count), level, bundle.spec.shape)
        x = c_in[level] * (schedule.a[level] * x0 + schedule.g[level] * z)
        t = np.full(count, schedule.time[level], dtype=np.float32)
        # At most 1: where eps is predicted |B| grows without bound, and x0_hat is clamped there.
        weight = min(1.0, abs(float(B[level])))
        probes.append(Probe(level, weight, _typed(bundle, {"x": x, "t": t, **cond})))
    return probes


def _levels(recipe: Recipe) -> list[int]:
    levels = sorted(set(recipe.plan.t[recipe.plan.asks].tolist()), reverse=True)
    kept = np.linspace(0, len(levels) - 1, min(len(levels), _MOST_LEVELS)).round().astype(int)
    return [levels[i] for i in kept]


def _half_untold(null: int | float | None, value: NDArray[Any]) -> NDArray[Any]:
    value = value.copy()
    if null is not None:
        value[1::2] = null
    return value


def _typed(bundle: Bundle, feeds: Mapping[str, NDArray[Any]]) -> Feeds:
    inputs = bundle.graphs[MODEL_FILE].inputs
    return {name: np.ascontiguousarray(feeds[name], dtype=each.dtype) for name, each in inputs.items()}
