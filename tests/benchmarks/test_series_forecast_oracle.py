"""The ratios beside an exact forecast are those of closed forms."""

import importlib
from types import ModuleType

import numpy as np
import pytest

from tests.support.imports import ROOT


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("series_forecast_oracle")


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (0.0, 2.0), (0.0, 0.5), (1.5, 1.0)])
def test_crps_and_energy_in_one_dimension_are_the_closed_form(oracle: ModuleType, shift: float, spread: float) -> None:
    """E|X - Y| - E|X - X'| / 2 of X from N(shift, spread^2) and Y from N(0, 1), by that of Y, 1 / sqrt(pi)."""
    random = np.random.default_rng(0)
    x, y = shift + spread * random.standard_normal((400, 1, 40)), random.standard_normal((400, 1, 40))
    wide = np.hypot(1.0, spread)
    far = oracle.crps_ratio(np.full((2, 1), shift / wide), np.zeros(1), np.ones(1)) * wide  # of E|X - Y|
    want = far - spread
    if shift == 0:
        assert want == pytest.approx(np.sqrt(2) * wide - spread)
    assert oracle.crps_ratio(x[:, 0], np.zeros(40), np.ones(40)) == pytest.approx(want, abs=0.02)
    assert oracle.energy_ratio(x, y) == pytest.approx(want, abs=0.03)


def test_the_forecast_is_that_of_the_windows_it_draws(oracle: ModuleType) -> None:
    random = np.random.default_rng(0)
    var = oracle.Var.standard()
    x = var.windows(20_000, random)
    assert np.cov(x[:, :, -1].T) == pytest.approx(var.covariance, abs=0.03)
    np.testing.assert_allclose(np.diag(var.covariance), 1.0)
    mean, covariance = var.forecast(x[:, :, oracle.L - 1])
    off = x[:, :, oracle.L :] - mean
    for h in (0, oracle.H - 1):
        assert np.cov(off[:, :, h].T) == pytest.approx(covariance[h], abs=0.03)


def test_exact_samples_reach_every_bar_and_shuffled_series_are_noticed(oracle: ModuleType) -> None:
    random = np.random.default_rng(0)
    var = oracle.Var.standard()
    x = var.windows(64, random)[:, :, : oracle.L]
    truth, samples = (var.futures(x[:, :, -1], 50, random) for _ in range(2))
    found = oracle.judge(var, x, samples, truth)
    assert all(low <= found[name] <= high for name, (low, high) in oracle.BARS.items())
    for k in range(oracle.K):
        samples[:, :, k] = samples[random.permutation(50)][:, :, k]
    other = oracle.judge(var, x, samples, truth)
    assert other["energy"] > found["energy"] + 0.005
    assert other["crps_sum"] > found["crps_sum"] + 0.005
