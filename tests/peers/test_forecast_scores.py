"""Our scores of forecasts against those of scoringrules, on the same samples."""

import numpy as np
import pytest

from ddpm_core.metrics.crps import fair_crps
from ddpm_core.metrics.energy_score import energy_score
from ddpm_core.metrics.ensemble import Ensemble
from ddpm_core.metrics.quantile_loss import quantile_losses
from tests.peers.peer import peer


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).gamma(2.0, size=shape)


@pytest.mark.parametrize("estimator", ["fair", "pwm"])
def test_crps(estimator: str) -> None:
    x, y = drawn(300, 40), drawn(300)
    theirs = peer("scoringrules").crps_ensemble(y, x, estimator=estimator)
    np.testing.assert_allclose(fair_crps(np.sort(x, axis=-1), y), theirs, rtol=1e-12, atol=1e-14)


def test_energy_score() -> None:
    x, y = drawn(12, 30, 7), drawn(12, 7)
    theirs = peer("scoringrules").es_ensemble(y, x, estimator="fair")
    ours = [energy_score(samples, truth) * np.sqrt(7) for samples, truth in zip(x, y, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_quantile_loss() -> None:
    x, y = drawn(20, 25, 1, 4), drawn(20, 1, 4)
    ours = quantile_losses(Ensemble(x, y, np.ones(y.shape, dtype=bool)), (0.3,))
    theirs = peer("scoringrules").quantile_score(y, np.quantile(x, 0.3, axis=1), 0.3)
    np.testing.assert_allclose(ours, 2 * theirs, rtol=1e-12)
