"""Lost regions: none where nothing is lost, the share that is gone where it is, and an interval."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import around
from ddpm_core.metrics.regions import CLUSTERINGS, REGIONS, lost, lost_regions, make_regions

EVERY = np.arange(16)
CENTRES = 20 * np.random.default_rng(0).standard_normal((16, 8))


def drawn(n: int, seed: int, groups: np.ndarray = EVERY) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.choice(groups, n)] + rng.standard_normal((n, 8))).astype(np.float32)


MADE = make_regions(drawn(800, 1))
UNSEEN = drawn(400, 2)


def test_clusterings_are_repeatable_and_differ_from_one_another():
    again = make_regions(drawn(800, 1))
    assert len(MADE.centres) == CLUSTERINGS
    assert {centres.shape for centres in MADE.centres} == {(REGIONS, 8)}
    assert all(np.array_equal(a, b) for a, b in zip(MADE.centres, again.centres, strict=True))
    assert not np.array_equal(MADE.centres[0], MADE.centres[1])


def test_each_row_lies_in_the_region_of_its_nearest_centre():
    rows = UNSEEN[:50]
    for regions, centres in zip(MADE.of(rows), MADE.centres, strict=True):
        gaps = np.linalg.norm(rows[:, None] - centres[None], axis=2)
        assert regions.tolist() == gaps.argmin(axis=1).tolist()


def test_real_images_lose_nothing():
    assert lost(drawn(400, 3), UNSEEN, MADE, rounds=50, seed=0).value == 0
    assert lost_regions(drawn(400, 3), UNSEEN, MADE) == []


@pytest.mark.parametrize(("groups", "share"), [(np.arange(8), 0.5), (np.arange(4), 0.75), (np.arange(1), 15 / 16)])
def test_the_share_of_the_modes_that_are_gone_is_lost(groups, share):
    found = lost(drawn(400, 4, groups), UNSEEN, MADE, rounds=100, seed=0)
    ends = around(found.value, found.replicates, 0.95)
    assert found.value == pytest.approx(share, abs=0.12)
    assert ends.low < found.value < ends.high
    assert ends.high - ends.low < 0.25
    gone, regions = lost_regions(drawn(400, 4, groups), UNSEEN, MADE), MADE.of(UNSEEN)[0]
    assert [len(rows) for rows in gone] == sorted((len(rows) for rows in gone), reverse=True)
    assert all(rows.tolist() == np.flatnonzero(regions == regions[rows[0]]).tolist() for rows in gone)


def test_a_mode_seen_half_as_often_is_not_lost_and_one_a_tenth_as_often_is():
    usual = drawn(400, 5, np.arange(15))
    assert lost(np.concatenate([usual, drawn(13, 6, np.array([15]))]), UNSEEN, MADE, 20, 0).value < 0.02
    gone = lost(np.concatenate([usual, drawn(2, 6, np.array([15]))]), UNSEEN, MADE, 20, 0)
    assert 0.03 < gone.value < 0.12


def test_few_training_images_give_fewer_regions_and_too_few_none():
    assert make_regions(drawn(24, 7)).centres[0].shape == (6, 8)
    with pytest.raises(DataError, match="at least 8 training images, got 5"):
        make_regions(drawn(5, 7))


def test_training_images_that_are_all_the_same_make_regions_too():
    same = np.ones((40, 3), dtype=np.float32)
    assert lost(same[:10], same[:10], make_regions(same), 20, 0).value == 0
