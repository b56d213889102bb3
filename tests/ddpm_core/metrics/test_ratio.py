"""A few samples against as many real images: evenly from the classes, and only then with little chance."""

import numpy as np
import pytest

from ddpm_core.metrics.frechet import gaussian_of, subset_floor
from ddpm_core.metrics.labels import even_part
from ddpm_core.metrics.measure import RealFeatures, Trust
from ddpm_core.metrics.ratio import ratio_to_train

TRUST = Trust(60, 0, 0.95)


def classes_apart(labels: np.ndarray, seed: int) -> np.ndarray:
    """Features of classes whose means lie far apart, so that how often each comes matters most."""
    draw = np.random.default_rng(seed)
    means = 5.0 * np.eye(3, 12)
    return (means[labels] + draw.normal(size=(len(labels), 12))).astype(np.float32)


@pytest.fixture(scope="module")
def real() -> RealFeatures:
    draw = np.random.default_rng(1)
    train, test = (draw.integers(0, 3, n) for n in (3000, 900))
    rows = classes_apart(train, 2)
    return RealFeatures(gaussian_of(rows), rows, train, classes_apart(test, 3), test)


def test_as_good_as_real_is_a_ratio_of_one(real: RealFeatures) -> None:
    labels = np.random.default_rng(4).permutation(real.test_labels)
    asked = labels[even_part(labels, 150)]
    floor = subset_floor(real.test_rows, real.test_labels, asked, real.train, 20, 0)
    ratios = [ratio_to_train(classes_apart(asked, seed), asked, real, floor, TRUST) for seed in range(10, 30)]
    values = [found.value for found in ratios if found is not None]
    assert len(values) == 20
    assert np.mean(values) == pytest.approx(1.0, abs=0.2)
    assert sum(found.ends.low <= 1 <= found.ends.high for found in ratios if found is not None) >= 16


def test_labels_are_kept_so_their_chance_is_in_neither_side(real: RealFeatures) -> None:
    labels = np.random.default_rng(4).permutation(real.test_labels)[:150]
    even = real.test_labels[even_part(real.test_labels, 150)]
    wide, narrow = (
        ratio_to_train(classes_apart(asked, 5), kind, real, 1.0, TRUST)
        for asked, kind in ((labels, np.full(150, -1)), (even, even))
    )
    assert wide is not None
    assert narrow is not None
    assert narrow.ends.high - narrow.ends.low < 0.5 * (wide.ends.high - wide.ends.low)


def test_a_floor_of_nothing_gives_no_unit(real: RealFeatures) -> None:
    asked = np.zeros(20, dtype=np.int64)
    assert ratio_to_train(real.test_rows[:20], asked, real, 0.0, TRUST) is None
