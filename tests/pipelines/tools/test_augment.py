"""Changes of pictures are drawn by (seed, step), at their rate, and leave what they were given alone."""

import numpy as np
import pytest
import torch

from ddpm_core.training.config import AugmentConfig
from pipelines.tools.augment import augmenter

IMAGES = np.random.default_rng(0).integers(0, 256, (400, 1, 3, 4)).astype(np.uint8)


def test_nothing_asked_for_hands_the_pictures_through() -> None:
    assert augmenter(AugmentConfig(0.0, 0.0), 0)(IMAGES, 0) is IMAGES


@pytest.mark.parametrize(("config", "axis"), [(AugmentConfig(1.0, 0.0), 3), (AugmentConfig(0.0, 1.0), 2)])
def test_certain_flips_are_flips_and_twice_is_nothing(config: AugmentConfig, axis: int) -> None:
    augment = augmenter(config, 0)
    before = IMAGES.copy()
    np.testing.assert_array_equal(augment(IMAGES, 0), np.flip(IMAGES, axis))
    np.testing.assert_array_equal(augment(augment(IMAGES, 0), 1), IMAGES)
    np.testing.assert_array_equal(IMAGES, before)


def test_flips_come_at_their_rate_each_picture_alone() -> None:
    flipped = augmenter(AugmentConfig(0.3, 0.0), 0)(IMAGES, 0)
    turned = (flipped == IMAGES[..., ::-1]).all(axis=(1, 2, 3))
    kept = (flipped == IMAGES).all(axis=(1, 2, 3))
    assert bool((turned | kept).all())
    assert turned.mean() == pytest.approx(0.3, abs=0.07)


def test_the_draw_is_a_function_of_seed_and_step_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    augment = augmenter(AugmentConfig(0.5, 0.5), 1)
    np.testing.assert_array_equal(augment(IMAGES, 5), augmenter(AugmentConfig(0.5, 0.5), 1)(IMAGES, 5))
    assert (augment(IMAGES, 5) != augment(IMAGES, 6)).any()
    assert (augment(IMAGES, 5) != augmenter(AugmentConfig(0.5, 0.5), 2)(IMAGES, 5)).any()
    assert torch.equal(state, torch.get_rng_state())
