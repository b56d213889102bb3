"""The kernel distance against its definition and a jackknife done by hand."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.kernel import kernel_distance


def rows(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 3)) + shift


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    def mean(x: np.ndarray, y: np.ndarray, *, same: bool) -> float:
        k = (x @ y.T / x.shape[1] + 1) ** 3
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)) if same else k.mean())

    return mean(a, a, same=True) + mean(b, b, same=True) - 2 * mean(a, b, same=False)


def test_it_is_the_unbiased_estimate_over_all_pairs():
    assert kernel_distance(rows(20, 0), rows(13, 1, 0.5)).value == pytest.approx(
        by_definition(rows(20, 0), rows(13, 1, 0.5))
    )


def test_its_spread_is_the_jackknife_of_both_sides():
    a, b = rows(9, 0), rows(7, 1, 0.5)
    of_a = [by_definition(np.delete(a, i, axis=0), b) for i in range(9)]
    of_b = [by_definition(a, np.delete(b, i, axis=0)) for i in range(7)]
    assert kernel_distance(a, b).spread == pytest.approx(np.sqrt(np.var(of_a) * 8 + np.var(of_b) * 6))


def test_its_interval_covers_none_where_the_distributions_are_equal():
    covered = 0
    for seed in range(100):
        ends = kernel_distance(rows(60, seed), rows(60, 1000 + seed)).interval(0.95)
        covered += ends.low <= 0 <= ends.high
    assert covered >= 90


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match=r"at least 3 images a side and equal features, got \(2, 3\) and \(9, 3\)"):
        kernel_distance(rows(2, 0), rows(9, 1))
