"""k-means on the first principal components of features: Lloyd, 1982, from the centres of k-means++ (Arthur, 2007)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

_COMPONENTS = 64
_STARTS, _ROUNDS = 4, 100
_LEAST_SHARE = 4  # a cluster holds at least a fourth of its even share of the pictures, or it is no cluster


@dataclass(frozen=True, eq=False)
class Clusters:
    """The way from features to clusters: the largest cluster is number 0."""

    mean: Rows  # [D]
    axes: Rows  # [D, components]
    centres: Rows  # [k, components]

    @classmethod
    def of(cls, features: NDArray[np.float32], k: int, seed: int = 0) -> "Clusters":
        """At most k clusters of these features. Small ones are dissolved: a class of a few pictures teaches little."""
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        _, axes = np.linalg.eigh(rows.T @ rows)  # by rising eigenvalues
        axes = np.ascontiguousarray(axes[:, ::-1][:, :_COMPONENTS])
        points = rows @ axes
        k = min(k, len(points))
        tries = [_lloyd(points, _first_centres(points, k, seed, start)) for start in range(_STARTS)]
        centres = min(tries, key=lambda found: _nearest(points, found)[1].sum())
        while True:
            sizes = np.bincount(_nearest(points, centres)[0], minlength=len(centres))
            if len(centres) == 1 or sizes.min() * _LEAST_SHARE * k >= len(points):
                break
            centres = _lloyd(points, np.delete(centres, sizes.argmin(), axis=0))
        return cls(mean, axes, centres[np.argsort(-sizes, kind="stable")])

    def label(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """The cluster of each row."""
        return _nearest((features - self.mean) @ self.axes, self.centres)[0]


def _nearest(points: Rows, centres: Rows) -> tuple[NDArray[np.int64], Rows]:
    """The nearest centre of each point, and the square of its distance."""
    squares = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    labels = squares.argmin(axis=1)
    return labels, np.maximum(squares[np.arange(len(points)), labels], 0.0)


def _first_centres(points: Rows, k: int, seed: int, start: int) -> Rows:
    """k-means++: each further centre is a point drawn by the square of its distance to the nearest so far."""
    rng = np.random.Generator(np.random.Philox(key=[seed, start]))
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < k:
        squares = _nearest(points, points[chosen])[1]
        if not squares.any():  # fewer different points than centres
            break
        chosen.append(int(rng.choice(len(points), p=squares / squares.sum())))
    return points[chosen]


def _lloyd(points: Rows, centres: Rows) -> Rows:
    """Centres that are the means of the points nearest to them; one that no point is nearest to goes."""
    labels = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        before, labels = labels, _nearest(points, centres)[0]
        if (before == labels).all():
            break
        sizes = np.bincount(labels, minlength=len(centres))
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, points)
        centres = sums[sizes > 0] / sizes[sizes > 0, None]
    return centres
