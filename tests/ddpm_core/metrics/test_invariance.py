"""Conformance: no measure depends on the order of the samples, nor on the batches in which features came."""

import numpy as np
import pytest

from ddpm_core.metrics.accuracy import accuracy
from ddpm_core.metrics.coverage import reach
from ddpm_core.metrics.data import FeatureView
from ddpm_core.metrics.distances import distances
from ddpm_core.metrics.frechet import Moments, RealFeatures, distance, gaussian_of
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.kernel import kernel_distance
from ddpm_core.metrics.likeness import Judge, likeness
from ddpm_core.metrics.memorisation import copies, nearest
from ddpm_core.metrics.pixels import pixel_faults
from ddpm_core.metrics.roughness import Grain, rough_share
from ddpm_core.metrics.spectrum import mesh
from tests.support.described import eval_data, numbers

N, DIMS, CLASSES = 120, 6, 3


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIMS)).astype(np.float32)


def pictures(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 6, 6)).astype(np.uint8)


def all_measures(order: np.ndarray) -> dict[str, float]:
    """Every number of the numbers' room, of samples in this order.

    Ends of intervals come from weightings of samples by their place, for two models must be weighted alike.
    """
    labels = np.arange(N) % CLASSES
    # Some samples are the same picture, asked for by other labels.
    features, images, asked = rows(N, 0)[np.arange(N) % 90][order], pictures(N, 1)[order], labels[order]
    train, unseen, training = rows(400, 2), pictures(N, 5), pictures(200, 4)
    real = RealFeatures(gaussian_of(train), train, np.arange(400) % CLASSES, rows(N, 3), labels)
    view = FeatureView(Judge.of("x", real, labels, 1, 0), True, features, features, features, "fd", None, None)
    data = eval_data(
        images=images, asked=asked, unseen=unseen, top=255, classes=CLASSES, conditional=True, labelled=True,
        views=(view,), grain=Grain.of(unseen, training, 255), nearest=nearest(images, training, 1),
        unseen_nearest=nearest(unseen, training, 1), classified=features[:, :CLASSES].argmax(axis=1),
        unseen_accuracy=0.5, resampling=Resampling(30, 0, 0.95),
        settings=eval_data(floor_draws=3, coverage_k=5, copy_quantile=0.05, copy_ratio=0.9, confidence=0.95),
    )  # fmt: skip
    measures = (distances, likeness, rough_share, pixel_faults, accuracy, mesh, copies, reach)
    plain = {m.name: m.value for measure in measures for m in measure(data) if m.value is not None}
    ends = kernel_distance(features, real.test_rows).interval(0.95)
    return {**plain, **numbers(copies(data)), "kd_low": ends.low, "kd_high": ends.high}


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
