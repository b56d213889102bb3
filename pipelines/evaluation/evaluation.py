"""What stage evaluate gives a kind of data to measure, and what it gets back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.metric import Metric
from ddpm_core.spec import DataSpec
from pipelines.evaluation.reference import Reference
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe
from pipelines.shards.archive import Split

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Samples of a bundle, how they were made, and the real data to hold them against."""

    sampler: Sampler
    recipe: Recipe
    x: NDArray[Any]
    """The samples as data are kept, [n, *shape]."""
    cond: Mapping[str, NDArray[Any]]
    """What the network was told of each sample, by name; empty where it is told nothing."""
    rows: NDArray[np.int64]
    """The datum of the test split that each sample was asked for."""
    seeds: NDArray[np.int64]
    train: Split
    test: Split
    spec: DataSpec
    """Of the data in data/shards; the bundle's own may have fewer conditions."""
    reference: Reference
    config: Any
    """The kind's section `evaluate`."""
    device: "torch.device"
    panels: bool
    """Whether out/samples holds what the report alone shows."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a kind of data measured; the stage adds what is true of every kind."""

    metrics: tuple[Metric, ...]
    controls: Mapping[str, Mapping[str, Any]]
    """Bad samples made from the real data, by name: `words`, `gross` and the flat `metrics` that the gate judges."""
    conditions: Mapping[str, Any]
    """What another measurement must have in common with this one to be compared with it."""
    files: Mapping[str, bytes]
    """The files of out/samples, by name."""
