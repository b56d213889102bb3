"""Conformance: no measure depends on the order of the samples, nor on the batches in which features came."""

import numpy as np
import pytest

from ddpm_core.metrics import measure
from ddpm_core.metrics.frechet import Moments, distance, gaussian_of
from ddpm_core.metrics.measure import RealFeatures, Trust
from ddpm_core.metrics.memorisation import nearest

N, DIMS, CLASSES = 120, 6, 3
# Ends of intervals come from weightings of samples by their place, for two models must be weighted alike.
_BY_PLACE = ("_low", "_high", "_detectable")


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIMS)).astype(np.float32)


def pictures(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 6, 6)).astype(np.uint8)


def all_measures(order: np.ndarray) -> dict[str, float]:
    """Every number of the numbers' room, of samples in this order."""
    trust, labels = Trust(30, 0, 0.95), np.arange(N) % CLASSES
    # Some samples are the same picture, asked for by other labels.
    features, images, asked = rows(N, 0)[np.arange(N) % 90][order], pictures(N, 1)[order], labels[order]
    train = rows(400, 2)
    real = RealFeatures(gaussian_of(train), train, np.arange(400) % CLASSES, rows(N, 3), labels)
    found = measure.distances("fd", features, asked, real, 3, trust)
    found.add(measure.accuracy(asked, features[:, :CLASSES].argmax(axis=1), trust))
    kernel = measure.kernel("kd", features, real, 0.95)
    reach, covered = measure.reach("fd", features, real, 5)
    worst = measure.worst(measure.by_labels("fd", features, asked, real, labels, covered, CLASSES))
    seen, unseen = nearest(images, pictures(200, 4), 1), nearest(pictures(N, 5), pictures(200, 4), 1)
    copies = measure.copies(seen, unseen, 0.05, 0.9, 0.95)
    faults = measure.pixel_faults(images, pictures(N, 5), 255)
    placed = {name: value for name, value in found.metrics.items() if not name.endswith(_BY_PLACE)}
    return {**placed, **kernel, **reach, **worst, **copies, **faults}


def test_the_order_of_the_samples_changes_no_measure():
    straight = all_measures(np.arange(N))
    mixed = all_measures(np.random.default_rng(9).permutation(N))
    assert straight.keys() == mixed.keys()
    assert len(straight) > 30
    for name, value in straight.items():
        assert mixed[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("size", [1, 7, 120, 1000])
def test_the_batches_in_which_features_come_change_no_distance(size):
    whole, reference = rows(N, 0), gaussian_of(rows(400, 2))
    moments = Moments(DIMS)
    for start in range(0, N, size):
        moments.update(whole[start : start + size])
    assert distance(moments.gaussian(), reference) == pytest.approx(distance(gaussian_of(whole), reference), rel=1e-9)


def test_sets_gathered_by_several_processes_are_merged_to_the_same_distance():
    whole, reference = rows(N, 0), gaussian_of(rows(400, 2))
    parts = [Moments(DIMS) for _ in range(3)]
    for number, part in enumerate(parts):
        part.update(whole[number::3])
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert distance(parts[0].gaussian(), reference) == pytest.approx(distance(gaussian_of(whole), reference), rel=1e-9)
