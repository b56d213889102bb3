"""The energy distance: known values, what it does not depend on, and its interval."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.energy import Against, against, cross_means, energy, row_means
from ddpm_core.metrics.intervals import around, resampled, resampled_within

DIMS = 16


def drawn(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, DIMS)) + shift).astype(np.float32)


def none(n: int) -> np.ndarray:
    return np.full(n, -1)


UNSEEN, TRAINING = drawn(500, 1), drawn(1500, 2)
HELD = against(UNSEEN, TRAINING, none(1500), none(500), draws=3, seed=0)


def value(samples: np.ndarray, held: Against = HELD) -> float:
    return energy(samples, none(len(samples)), held, rounds=20, seed=0).value


def test_mean_distances_are_those_of_every_pair():
    a, b = drawn(7, 3), drawn(5, 4)
    every = np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=2)
    own = np.linalg.norm(a[:, None].astype(float) - a[None].astype(float), axis=2)
    of_a, of_b = cross_means(a, b)
    np.testing.assert_allclose(of_a, every.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(of_b, every.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(row_means(a), own.sum(axis=1) / 6, rtol=1e-6)


def test_the_value_is_the_formula():
    samples = drawn(40, 5, 0.5)
    pair = cross_means(samples, UNSEEN)[0].mean() * 2 - row_means(samples).mean()
    real = [cross_means(TRAINING, UNSEEN)[0].mean() * 2 - row_means(TRAINING).mean()]
    assert value(samples) == pytest.approx((pair - real[0]) / row_means(UNSEEN).mean(), abs=0.01)


@pytest.mark.parametrize("n", [50, 200, 800])
def test_samples_of_the_data_score_nothing_however_many(n):
    scores = [value(drawn(n, seed)) for seed in range(10, 22)]
    assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(12) + 5e-4


@pytest.mark.parametrize("k", [1, 4, 10])
def test_k_real_images_repeated_score_one_in_k(k):
    scores = [value(np.resize(drawn(k, seed), (400, DIMS))) for seed in range(8)]
    assert np.mean(scores) == pytest.approx(1 / k, rel=0.25)


def test_a_share_replaced_by_others_scores_its_square():
    far = drawn(1000, 6, 3.0)
    whole = value(far)
    for share in (0.5, 0.25):
        mixed = np.concatenate([far[: int(1000 * share)], drawn(1000, 7)[int(1000 * share) :]])
        assert value(mixed) == pytest.approx(share**2 * whole, rel=0.15)


def test_the_unit_makes_it_independent_of_the_scale_and_place_of_features():
    moved = against(UNSEEN * 3 + 5, TRAINING * 3 + 5, none(1500), none(500), draws=3, seed=0)
    samples = drawn(300, 8, 0.4)
    assert value(samples * 3 + 5, moved) == pytest.approx(value(samples), rel=1e-3)


def test_labels_asked_for_are_kept_on_both_sides():
    """Samples of one class beside unseen images of two: only training images of that class say what is normal."""
    labels = np.arange(1500) % 2
    rows = drawn(1500, 9) + 4.0 * labels[:, None].astype(np.float32)
    asked = np.where(np.arange(300) % 10 == 0, 1, 0)
    samples = drawn(300, 10) + 4.0 * asked[:, None].astype(np.float32)
    unseen = drawn(500, 11) + 4.0 * (np.arange(500) % 2)[:, None].astype(np.float32)
    kept = against(unseen, rows, labels, asked, draws=3, seed=0)
    loose = against(unseen, rows, labels, none(300), draws=3, seed=0)
    assert abs(energy(samples, asked, kept, 20, 0).value) < 0.02
    assert energy(samples, asked, loose, 20, 0).value > 0.1


def test_the_interval_covers_and_narrows_with_n():
    inside, reach = 0, []
    for seed in range(40):
        found = energy(drawn(150, 100 + seed, 0.3), none(150), HELD, rounds=60, seed=seed)
        ends = around(found.value, found.replicates, 0.95)
        truth = TRUTH
        inside += ends.low <= truth <= ends.high
        reach.append(ends.high - ends.low)
    assert inside >= 34
    more = energy(drawn(1350, 99, 0.3), none(1350), HELD, rounds=60, seed=0)
    assert more.replicates.spread < np.mean(reach) / (2 * 1.96)


TRUTH = value(drawn(6000, 98, 0.3))


def test_what_a_weighting_adds_is_the_weighted_formula_less_the_plain_one():
    """In the weights of the samples e is quadratic: its odd part is linear, its even part is the rest."""
    n, m, rounds, seed = 30, len(UNSEEN), 6, 5
    samples = drawn(n, 13, 0.2)
    found = energy(samples, none(n), HELD, rounds, seed).replicates
    to_unseen, from_unseen = cross_means(samples, UNSEEN)
    own = np.linalg.norm(samples[:, None].astype(float) - samples[None].astype(float), axis=2)

    def weighted(w: np.ndarray) -> float:
        return (2 * w @ to_unseen / n - w @ own @ w / (n * (n - 1))) / HELD.unit

    unseen = 2 * resampled(m, rounds, seed) @ (from_unseen - HELD.floor_of_unseen) / m / HELD.unit
    for i, s in enumerate(resampled_within(none(n), rounds, seed)):
        up, down, plain = weighted(1 + s), weighted(1 - s), weighted(np.ones(n))
        assert found.linear[i] == pytest.approx((up - down) / 2 + unseen[i], rel=1e-5, abs=1e-9)
        assert found.curved[i] == pytest.approx((up + down) / 2 - plain, rel=1e-5, abs=1e-9)


def test_blocks_change_nothing(monkeypatch):
    from ddpm_core.metrics import energy as module

    samples = drawn(100, 12, 0.2)
    whole = energy(samples, none(100), HELD, 20, 0)
    monkeypatch.setattr(module, "_BLOCK", 7)
    cut = energy(samples, none(100), HELD, 20, 0)
    assert cut.value == pytest.approx(whole.value, rel=1e-9)
    np.testing.assert_allclose(cut.replicates.curved, whole.replicates.curved, rtol=1e-6)
    np.testing.assert_allclose(cut.replicates.linear, whole.replicates.linear, rtol=1e-6)


@pytest.mark.parametrize(
    ("unseen", "training", "message"),
    [(UNSEEN[:1], TRAINING, "got 1 and 1500"), (UNSEEN, TRAINING[:1], "got 500 and 1"),
     (np.ones((5, DIMS), np.float32), TRAINING, "data that differ")],
)  # fmt: skip
def test_what_gives_no_unit_is_refused(unseen, training, message):
    with pytest.raises(DataError, match=message):
        against(unseen, training, none(len(training)), none(5), draws=1, seed=0)
    with pytest.raises(DataError, match="at least 2 samples, got 1"):
        energy(UNSEEN[:1], none(1), HELD, 20, 0)
