"""Roughness: closed forms, and which pictures lie outside that of real ones."""

import numpy as np
import pytest

from ddpm_core.metrics.roughness import Grain, outside, roughness, usual_range
from tests.support.described import numbers


def test_flat_pictures_have_none_and_a_ramp_has_it_at_its_edges_alone():
    flat = np.full((2, 3, 8, 8), 77, dtype=np.uint8)
    assert roughness(flat, 255).tolist() == [0, 0]
    ramp = np.broadcast_to(np.arange(10, dtype=np.uint8), (1, 1, 10, 10))
    # Only the outermost columns differ from their mean: by a third of a level, 20 of 100 pixels.
    assert roughness(ramp, 9)[0] == pytest.approx(20 / 100 / 3 / 9, rel=1e-5)


def test_a_checkerboard_of_the_whole_range_is_nearly_as_rough_as_can_be():
    board = (255 * (np.indices((8, 8)).sum(axis=0) % 2)).astype(np.uint8)[None, None]
    # Inside, four or five of nine pixels of a 3 x 3 part are bright: 4/9 of the range on average; edges have less.
    assert 0.3 < roughness(board, 255)[0] <= 0.5


def test_two_in_a_hundred_real_pictures_lie_outside():
    values = np.arange(1000) / 1000
    usual = usual_range(values)
    assert outside(values, usual).mean() == pytest.approx(0.02, abs=0.001)
    assert outside(np.array([-1.0, 0.5, 2.0]), usual).tolist() == [True, False, True]


def test_grain_sees_a_quarter_of_noise_among_real_pictures():
    rng = np.random.default_rng(0)

    def smooth(n: int) -> np.ndarray:
        start = rng.integers(0, 60, (n, 1, 1, 1))
        return (start + rng.integers(5, 20, (n, 1, 1, 1)) * np.arange(8)).astype(np.uint8) * np.ones(
            (1, 1, 8, 1), np.uint8
        )

    noise = rng.integers(0, 256, (100, 1, 8, 8)).astype(np.uint8)
    found = numbers(Grain.of(smooth(400), smooth(800), 255).measure(np.concatenate([smooth(300), noise]), 0.95))
    assert found["rough_share"] == pytest.approx(0.25 + 0.75 * 0.02, abs=0.03)
    assert found["rough_share_low"] > 0.2 < found["rough_share_high"]
    assert found["rough_share_heldout"] < 0.05
