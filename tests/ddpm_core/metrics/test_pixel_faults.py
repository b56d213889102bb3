"""The tables of copies and of what pixels alone show, samples beside unseen images; how their numbers are rounded."""

import numpy as np
import pytest

from ddpm_core.metrics.intervals import clopper_pearson
from ddpm_core.metrics.memorisation import Nearest, chance, copies
from ddpm_core.metrics.metric import rounded
from ddpm_core.metrics.pixels import pixel_faults
from tests.support.described import eval_data, numbers


def test_each_fault_is_told_of_samples_and_of_unseen_images_by_its_own_name():
    samples, unseen = (np.random.default_rng(seed).integers(1, 15, (10, 1, 4, 4), dtype=np.uint8) for seed in (0, 1))
    samples[0] = 3
    samples[1], samples[2] = samples[4], samples[4]
    samples[3, 0, 0, 0] = 15
    unseen[:2] = 5
    unseen[2, 0, 0] = 0
    assert numbers(pixel_faults(eval_data(images=samples, unseen=unseen, top=15))) == {
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


def test_both_counts_of_copies_are_told_by_name_with_their_bounds_and_chances():
    def found(first, second):
        return Nearest(np.array(first, float), np.array(second, float), np.zeros(len(first), np.int64))

    samples = found([1, 1, 1, 9, 9], [8, 2, 2, 10, 10])
    unseen = found([3, 4, 5, 6], [4, 5, 6, 7])
    settings = eval_data(copy_quantile=0.1, copy_ratio=0.3, confidence=0.9)
    got = numbers(copies(eval_data(nearest=samples, unseen_nearest=unseen, settings=settings)))
    # Nearer than 3, the least of the unseen: three samples of five. Nearer than 0.3 of the second nearest: one.
    assert got == pytest.approx(
        {
            "near_share": 0.6,
            "near_share_high": clopper_pearson(3, 5, 0.9).high,
            "near_share_heldout": 0.0,
            "near_chance": chance(3, 5, 0, 4),
            "lone_share": 0.2,
            "lone_share_high": clopper_pearson(1, 5, 0.9).high,
            "lone_share_heldout": 0.0,
            "lone_chance": chance(1, 5, 0, 4),
        }
    )
