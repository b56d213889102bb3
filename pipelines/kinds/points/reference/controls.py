"""Bad samples made from training points: what the gate must refuse, so that it can show that it does.

The gross ones differ from any data, whatever these are. The others may be what the data are (a Gaussian, say), so the
verdict only tells which of them it cannot see.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]  # as the network sees them: of mean 0 and standard deviation 1 along each axis
Labels = NDArray[np.int64]

WORDS: Mapping[str, tuple[str, bool]] = {
    "one point": ("one training point repeated", True),
    "noise": ("uniform noise over twice the range", True),
    "shifted": ("training points moved by a standard deviation", True),
    "half": ("training points on one side of the middle", True),
    "copies": ("training points", True),
    "half noise": ("half uniform noise over twice the range, half training points", True),
    "gaussian": ("a Gaussian of the same mean and covariance", False),
    "one class": ("training points of one class", False),
    "noise added": ("training points with noise of a quarter of a standard deviation", False),
}
"""What each control is in words, and whether it is gross."""


@dataclass(frozen=True, eq=False)
class Control:
    """Bad samples by their name in WORDS."""

    name: str
    points: Points

    @property
    def words(self) -> str:
        return WORDS[self.name][0]

    @property
    def gross(self) -> bool:
        return WORDS[self.name][1]


def controls(points: Points, labels: Labels, n: int, seed: int) -> Iterator[Control]:
    """Every control that these training points (labels: -1 for none) allow, of n points or as many as there are."""
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    every = points[rng.permutation(len(points))].astype(np.float64)
    some, n = every[:n], min(n, len(points))
    low, high = every.min(axis=0), every.max(axis=0)
    noise = (low + high) / 2 + (high - low) * rng.uniform(-1.0, 1.0, (n, points.shape[1]))
    lower = every[np.argsort(every[:, 0], kind="stable")[: max(1, len(every) // 2)]]
    made = {
        "one point": np.repeat(every[:1], n, axis=0),
        "noise": noise,
        "shifted": some + np.eye(points.shape[1])[0],
        "half": rng.permutation(lower)[:n],
        "copies": some,
        "half noise": np.concatenate([noise[: n // 2], some[n // 2 :]]),
        "gaussian": rng.multivariate_normal(every.mean(axis=0), np.cov(every.T), n, method="eigh"),
        "noise added": some + 0.25 * rng.standard_normal(some.shape),
    }
    if len(np.unique(labels)) > 1:
        made["one class"] = points[labels == np.bincount(labels[labels >= 0]).argmax()][:n].astype(np.float64)
    yield from (Control(name, made[name].astype(np.float32)) for name in WORDS if name in made)
