"""Judges by class and the grain of pictures: each is held against its own kind of real images."""

import numpy as np

from ddpm_core.metrics.frechet import RealFeatures, gaussian_of
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.roughness import Grain

CENTRES = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 60.0]])


def of_classes(labels: np.ndarray, seed: int) -> np.ndarray:
    """Features of well-parted classes."""
    return (CENTRES[labels] + np.random.default_rng(seed).standard_normal((len(labels), 2))).astype(np.float32)


TRAINING, UNSEEN, ASKED = (np.arange(n) % 3 for n in (300, 90, 150))
ROWS = of_classes(TRAINING, 0)
REAL = RealFeatures(gaussian_of(ROWS), ROWS, TRAINING, of_classes(UNSEEN, 1), UNSEEN)


def test_a_class_is_judged_beside_the_unseen_images_of_that_class():
    judge = Judge.of("x", REAL, ASKED, 1, 0)
    samples = of_classes(ASKED, 2)
    np.testing.assert_allclose(judge.by_class(samples, ASKED, 3), 0, atol=0.15)
    samples[ASKED == 1] = of_classes(np.full(50, 2), 3)  # asked for the second class, it shows the third
    found = judge.by_class(samples, ASKED, 3)
    np.testing.assert_allclose(found[[0, 2]], 0, atol=0.15)
    assert found[1] > 10


def test_a_class_of_fewer_than_ten_has_no_number_of_its_own():
    judge = Judge.of("x", REAL, ASKED, 1, 0)
    few = np.concatenate([ASKED[ASKED != 1], np.full(9, 1)])
    assert np.isnan(judge.by_class(of_classes(few, 4), few, 4)).tolist() == [False, True, False, True]


def test_what_is_usual_is_told_by_training_pictures_and_not_by_those_that_are_judged():
    rng = np.random.default_rng(0)
    flat = np.broadcast_to(rng.integers(0, 200, (200, 1, 1, 1)), (200, 1, 8, 8)) + rng.integers(0, 3, (200, 1, 8, 8))
    noise = rng.integers(0, 256, (50, 1, 8, 8)).astype(np.uint8)
    assert Grain.of(noise, flat.astype(np.uint8), 255).heldout == 1
    assert Grain.of(flat[:50].astype(np.uint8), flat.astype(np.uint8), 255).heldout < 0.1
