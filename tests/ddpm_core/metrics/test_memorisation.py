"""Planted copies are found, and what is no copy is not."""

from math import comb

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.memorisation import chance, lone_copies, near_copies, nearest


def pictures(n: int, seed: int) -> np.ndarray:
    """Smooth 12 x 12 pictures: random low-frequency patterns, so that neighbours differ in distance."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 1, 4, 4))
    return coarse.repeat(3, axis=2).repeat(3, axis=3).astype(np.uint8)


TRAIN, UNSEEN = pictures(1500, 0), pictures(800, 1)


def test_nearest_are_those_of_the_plain_search():
    queries, references = pictures(30, 2), TRAIN[:200]
    gaps = queries.reshape(30, 1, -1).astype(float) - references.reshape(1, 200, -1)
    plain = np.sort(np.sqrt((gaps**2).sum(axis=2)), axis=1)
    found = nearest(queries, references)
    np.testing.assert_array_equal(found.first, plain[:, 0])
    np.testing.assert_array_equal(found.second, plain[:, 1])
    np.testing.assert_array_equal(found.index, np.sqrt((gaps**2).sum(axis=2)).argmin(axis=1))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_few_references_are_enough(count: int):
    queries, references = pictures(9, 2), TRAIN[:count]
    gaps = queries.reshape(9, 1, -1).astype(float) - references.reshape(1, count, -1)
    plain = np.sort(np.sqrt((gaps**2).sum(axis=2)), axis=1)
    found = nearest(queries, references)
    np.testing.assert_array_equal([found.first, found.second], plain[:, :2].T)


def test_with_shifts_the_nearest_are_those_of_the_plain_search_over_all_of_them():
    """Of every two references the gap is that of the shift which makes it smallest; two shifts of one are one."""
    queries, references = pictures(20, 2), TRAIN[:60]
    moves = [(down, across) for down in range(3) for across in range(3)]
    for i, (down, across) in enumerate(moves):
        queries[i] = np.roll(references[i], (down - 1, across - 1), (1, 2))
    inner = references[None, ..., 1:-1, 1:-1].reshape(1, 60, -1).astype(float)
    moved = [queries[..., down : down + 10, across : across + 10].reshape(20, 1, -1) for down, across in moves]
    gaps = np.min([np.linalg.norm(each - inner, axis=2) for each in moved], axis=0)
    found = nearest(queries, references, 1)
    np.testing.assert_array_equal(found.first[:9], 0)
    np.testing.assert_array_equal(found.index, gaps.argmin(axis=1))
    np.testing.assert_allclose([found.first, found.second], np.sort(gaps, axis=1)[:, :2].T, rtol=1e-12)


def test_an_exact_copy_has_distance_zero_exactly():
    found = nearest(TRAIN[7:8], TRAIN)
    assert (found.first[0], found.index[0], found.ratio[0]) == (0.0, 7, 0.0)


def test_a_copy_of_what_the_training_set_has_twice_has_ratio_one():
    twice = np.concatenate([TRAIN, TRAIN[:1]])
    assert nearest(TRAIN[:1], twice).ratio[0] == 1.0


@pytest.mark.parametrize("share", [0.005, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("noise", [0, 6])
def test_planted_copies_are_counted(share: float, noise: int):
    samples = pictures(800, 3)
    copies = int(share * len(samples))
    shake = np.random.default_rng(4).normal(0, noise, (copies, *samples.shape[1:]))
    samples[:copies] = np.clip(TRAIN[:copies] + shake, 0, 255).astype(np.uint8)
    found, unseen = nearest(samples, TRAIN), nearest(UNSEEN, TRAIN)
    for result in (near_copies(found, unseen, 0.001), lone_copies(found, unseen, 0.5)):
        assert share <= result.share <= share + 0.006
        assert result.heldout <= 0.002
    assert near_copies(found, unseen, 0.001).chance < 0.1


def test_fresh_samples_are_no_copies():
    found = near_copies(nearest(pictures(800, 5), TRAIN), nearest(UNSEEN, TRAIN), 0.001)
    assert found.share <= 0.005
    assert found.chance > 0.01


@pytest.mark.parametrize(("suspects", "samples", "unseen", "heldout"), [(1, 5, 0, 5), (3, 10, 1, 20), (2, 4, 2, 3)])
def test_chance_is_the_exact_hypergeometric_tail(suspects: int, samples: int, unseen: int, heldout: int):
    drawn = suspects + unseen
    tail = sum(comb(samples, k) * comb(heldout, drawn - k) for k in range(suspects, drawn + 1))
    assert chance(suspects, samples, unseen, heldout) == pytest.approx(tail / comb(samples + heldout, drawn), rel=1e-12)


def test_chance_of_no_suspects_is_certain():
    assert chance(0, 10, 3, 10) == 1.0


def test_chance_is_how_often_equal_sets_give_so_many():
    rng = np.random.default_rng(8)
    counts = []
    for _ in range(4000):
        samples, unseen = rng.random(40), rng.random(60)
        counts.append((samples < unseen.min()).sum())
    for suspects in (1, 2, 3):
        assert np.mean(np.array(counts) >= suspects) == pytest.approx(chance(suspects, 40, 0, 60), abs=0.03)


@pytest.mark.parametrize(
    ("queries", "references", "message"),
    [(TRAIN[:1], TRAIN[:1], "at least 2 training examples, got 1"), (TRAIN[:1], TRAIN[:3, :, :6], "the same size")],
)
def test_what_cannot_be_compared_is_refused(queries, references, message: str):
    with pytest.raises(DataError, match=message):
        nearest(queries, references)


def test_a_shift_that_leaves_nothing_in_sight_is_refused():
    half = min(TRAIN.shape[-2:]) // 2
    with pytest.raises(DataError, match=rf"evaluate\.copy_shift: .* got {half} pixels for pictures of .*; lower it"):
        nearest(TRAIN[:1], TRAIN, half)
