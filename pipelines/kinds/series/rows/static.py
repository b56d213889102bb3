"""Features of a series as a whole, such as its area or its capacity, as a network is told them. numpy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec


@dataclass(frozen=True)
class StaticFeatures:
    """`columns`, their mean and standard deviation over the series, and the values of each series."""

    columns: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    values: Sequence[Sequence[float]]  # of each series, in the order of their labels

    @classmethod
    def of(cls, columns: Sequence[str], series: Mapping[str, NDArray[np.float64]]) -> "StaticFeatures":
        """Of the features of each series; DataError where one has none."""
        for name, given in series.items():
            if np.isnan(given).any():
                column = columns[int(np.isnan(given).argmax())]
                raise DataError(
                    f"source.static: series {name!r} must have a value in column {column!r}, but no row has one; fill "
                    "it in, or leave the column out"
                )
        values = np.array(list(series.values()))
        std = values.std(axis=0)
        return cls(tuple(columns), values.mean(axis=0).tolist(), np.where(std > 0, std, 1.0).tolist(), values.tolist())

    @classmethod
    def from_spec(cls, spec: DataSpec) -> "StaticFeatures":
        return cls(**spec.about["static"])

    def of_series(self, label: int) -> NDArray[np.float32]:
        """As a network is told them; -1 is the label of the only series."""
        return self.scaled(self.values[max(label, 0)])

    def scaled(self, values: Sequence[float]) -> NDArray[np.float32]:
        return np.asarray((np.array(values) - np.array(self.mean)) / np.array(self.std), dtype=np.float32)
