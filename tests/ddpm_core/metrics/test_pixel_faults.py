"""The table of what pixels alone show, samples beside unseen images; and how its numbers are rounded."""

import numpy as np
import pytest

from ddpm_core.metrics.measure import pixel_faults, rounded


def test_each_fault_is_told_of_samples_and_of_unseen_images_by_its_own_name():
    samples, unseen = (np.random.default_rng(seed).integers(1, 15, (10, 1, 4, 4), dtype=np.uint8) for seed in (0, 1))
    samples[0] = 3
    samples[1], samples[2] = samples[4], samples[4]
    samples[3, 0, 0, 0] = 15
    unseen[:2] = 5
    unseen[2, 0, 0] = 0
    assert pixel_faults(samples, unseen, 15) == {
        "constant_share": 0.1,
        "constant_share_heldout": 0.2,
        "duplicate_share": pytest.approx(0.2),
        "duplicate_share_heldout": pytest.approx(0.1),
        "saturated_share": 1 / 160,
        "saturated_share_heldout": 4 / 160,
    }


@pytest.mark.parametrize(
    ("value", "want"), [(1.234567894e-7, 1.23456789e-7), (-98765.4321678, -98765.4322), (1000, 1000.0), (0.0, 0.0)]
)
def test_nine_digits_are_kept(value, want):
    assert rounded({"a": value}) == {"a": want}
    assert isinstance(rounded({"a": value})["a"], float)
