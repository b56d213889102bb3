"""What of the data the samples reach: the neighbourhood of every unseen image, in an extractor's features."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.data import EvalData, Features, Labels
from ddpm_core.metrics.frechet import RealFeatures
from ddpm_core.metrics.metric import Metric

_BLOCK = 1024


def reach(data: EvalData) -> Iterator[Metric]:
    """How samples and unseen images lie among each other, beside what as many training images do; by class too."""
    for view in data.views:
        if view.distance is not None:
            metrics, covered = measure_reach(view.distance, view.rows, view.judge.real, data.settings.coverage_k)
            yield from metrics
            if metrics and data.classes:
                yield from _by_class(view.distance, view.rows, data.asked, view.judge.real, covered, data.classes)


_MEANINGS = {
    "coverage": "unseen images that samples reach",
    "density": "unseen images near a sample, 1 = as dense as the data",
    "precision": "samples that lie where unseen images do",
    "recall": "unseen images that lie where samples do",
}


def measure_reach(name: str, samples: Features, real: RealFeatures, k: int) -> tuple[list[Metric], NDArray[np.bool_]]:
    """The four measures in one extractor's features, and the unseen images that samples reach."""
    if min(len(real.test_rows), len(samples)) <= k:
        return [], np.zeros(len(real.test_rows), dtype=np.bool_)
    mine, training = neighbours(real.test_rows, samples, k), real.train_rows[: len(samples)]
    best = neighbours(real.test_rows, training, k).means() if len(training) > k else {}
    metrics = []
    for what, value in mine.means().items():
        metric = Metric(
            f"{name}_{what}", _MEANINGS[what], "inside" if what == "density" else "higher",
            floor=f"{name}_{what}_real",
            contrast=(f"{what} in {name}", f"{_MEANINGS[what]}; real: as many training images"),
            share=what != "density",
        )  # fmt: skip
        metrics += [
            metric.measured(value),
            Metric(metric.floor, "the same of as many training images").measured(best.get(what)),
        ]
    return metrics, mine.covered


def _by_class(
    name: str, samples: Features, asked: Labels, real: RealFeatures, covered: NDArray[np.bool_], classes: int
) -> Iterator[Metric]:
    """The covered share of each class, and how diverse the samples asked for it are, 1 = as unseen real images."""
    lowest, labels = "samples' reach in the class where it is lowest", real.test_labels
    metric = Metric(f"{name}_coverage_class_min", lowest, "higher", by_class=f"{name}_coverage")
    yield metric.worst(class_coverage(covered, labels, classes))
    if (asked >= 0).all():
        true = diversity(real.test_rows, labels, classes)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = diversity(samples, asked, classes) / true
        least = Metric(
            f"{name}_diversity_class_min",
            "how far samples of a class lie apart where that is least, 1 = as unseen images",
            "higher",
            by_class=f"{name}_diversity",
            contrast=(
                f"diversity of class {{label}} in {name}",
                "how far two samples of the class lie apart, 1 = as far as two unseen real ones",
            ),
        )
        yield least.worst(np.where(np.isfinite(ratio), ratio, np.nan))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of reference images and samples in a space of features, each with a ball that reaches its k-th neighbour."""

    covered: NDArray[np.bool_]  # reference rows with a sample within their ball (Naeem et al. 2020, eq. 6)
    recalled: NDArray[np.bool_]  # reference rows within some sample's ball (Kynkaanniemi et al. 2019, eq. 2)
    precise: NDArray[np.bool_]  # samples within some reference row's ball (the same)
    density: float  # reference balls that a sample lies in, through k, on average (Naeem et al. 2020, eq. 5)

    def means(self) -> dict[str, float]:
        return {
            "coverage": float(self.covered.mean()),
            "density": self.density,
            "precision": float(self.precise.mean()),
            "recall": float(self.recalled.mean()),
        }


def neighbours(reference: NDArray[np.float32], samples: NDArray[np.float32], k: int) -> Neighbours:
    """All four at once: the distances between the sets are worked out in one pass."""
    around_reference, around_samples = _radius(reference, k), _radius(samples, k)
    covered, recalled, balls = [], [], np.zeros(len(samples), dtype=np.int64)
    precise = np.zeros(len(samples), dtype=np.bool_)
    start = 0
    for block in _squared(reference, samples):
        radius = around_reference[start : start + len(block), None]
        start += len(block)
        covered.append(block.min(axis=1) < radius[:, 0])
        recalled.append((block <= around_samples).any(axis=1))
        precise |= (block <= radius).any(axis=0)
        balls += (block < radius).sum(axis=0)
    return Neighbours(np.concatenate(covered), np.concatenate(recalled), precise, float(balls.mean() / k))


def _radius(rows: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """The squared distance of each row to its k-th neighbour in its own set."""
    if len(rows) <= k:
        raise DataError(f"coverage takes more than k = {k} images, got {len(rows)}; lower evaluate.coverage_k")
    # Column 0 of a row's distances to its own set is the row itself.
    return np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _squared(rows, rows)])


def _squared(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Squared distances of a's rows to b's, in blocks of a's rows."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    b_norm = (b64 * b64).sum(axis=1)
    for start in range(0, len(a64), _BLOCK):
        rows = a64[start : start + _BLOCK]
        yield np.maximum((rows * rows).sum(axis=1)[:, None] + b_norm - 2.0 * rows @ b64.T, 0.0)


def class_coverage(covered: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The covered share of each class's reference rows; NaN where a class has none."""
    total = np.bincount(labels, minlength=classes)
    reached = np.bincount(labels[covered], minlength=classes)
    return class_shares(reached, total)


def diversity(rows: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """For each class the mean squared distance of two of its rows; NaN where it has fewer than two."""
    values = np.full(classes, np.nan)
    for label in range(classes):
        own = rows[labels == label].astype(np.float64)
        if len(own) > 1:
            values[label] = 2.0 * own.var(axis=0, ddof=1).sum()
    return values


def class_shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
