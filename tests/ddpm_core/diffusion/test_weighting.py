"""Loss weights against known values and against each other."""

from typing import get_args

import numpy as np
import pytest

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import noise_alone
from ddpm_core.diffusion.weighting import (
    P2,
    EdmWeight,
    MinSnr,
    Simple,
    Snr,
    SoftMinSnr,
    Vlb,
    WeightingConfig,
    vlb_weights,
)
from ddpm_core.errors import ParamsError

EXAMPLES = {
    "simple": Simple("simple"),
    "snr": Snr("snr"),
    "vlb": Vlb("vlb", "fixed_large"),
    "min_snr": MinSnr("min_snr", 5.0),
    "soft_min_snr": SoftMinSnr("soft_min_snr", 5.0),
    "p2": P2("p2", 1.0, 1.0),
    "edm": EdmWeight("edm"),
}


@pytest.mark.parametrize(
    ("variance", "t", "weight"),
    [
        ("fixed_large", 2, 0.272692),
        ("fixed_large", 10, 0.073717),
        ("fixed_large", 100, 0.010081),
        ("fixed_small", 2, 0.599672),
        ("fixed_small", 10, 0.086437),
    ],
)
def test_bounds_weight_of_the_noise_is_known(schedule_of, variance, t, weight):
    p = Parameterisation("eps", schedule_of("linear"))
    assert vlb_weights(p, variance)[t] == pytest.approx(weight, abs=6e-7)
    s = p.schedule
    sigma2 = s.beta[t] if variance == "fixed_large" else s.beta_tilde[t]
    paper = s.beta[t] ** 2 / (2 * sigma2 * (1 - s.beta[t]) * (1 - s.alpha_bar[t]))
    assert vlb_weights(p, variance)[t] == pytest.approx(paper, rel=1e-9)


def test_every_weighting_has_an_example():
    assert {get_args(cls.__annotations__["kind"])[0] for cls in get_args(WeightingConfig)} == set(EXAMPLES)


@pytest.mark.parametrize("name", ["linear", "cosine", "edm", "rectified_flow", "cosine_zero_snr"])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_laws_of_every_weighting(schedule_of, kind, name):
    schedule = schedule_of(name)
    for target in ("x0", "flow"):
        table = EXAMPLES[kind].table(Parameterisation(target, schedule))
        assert table.shape == (schedule.T + 1,)
        assert table[0] == 0
        assert np.isfinite(table).all()
        assert (table[1:-1] > 0).all()
        assert table[-1] >= 0


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "simple"])
def test_weight_of_an_error_does_not_depend_on_the_target(schedule_of, kind):
    """The same error of x0 costs the same, whatever the network predicts."""
    schedule = schedule_of("linear")
    of_x0 = EXAMPLES[kind].table(Parameterisation("x0", schedule))
    for target in ("eps", "v", "mu", "score", "flow"):
        p = Parameterisation(target, schedule)
        assert EXAMPLES[kind].table(p)[1:] / p.table()[1][1:] ** 2 == pytest.approx(of_x0[1:], rel=1e-9)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_one_level_has_a_weight(kind):
    table = EXAMPLES[kind].table(Parameterisation("x0", noise_alone()))
    assert table.shape == (2,)
    assert np.isfinite(table).all()


def test_snr_is_the_simple_loss_of_the_noise(schedule_of):
    p = Parameterisation("eps", schedule_of("linear"))
    assert Snr("snr").table(p)[1:] == pytest.approx(1)


def test_score_matching_weights_by_the_variance_of_the_noise(schedule_of):
    """Song & Ermon 2019: lambda(sigma) = sigma^2."""
    p = Parameterisation("score", schedule_of("geometric_ve"))
    assert Snr("snr").table(p)[1:] == pytest.approx(p.schedule.sigma[1:] ** 2)


def test_min_snr_for_noise_and_for_v(schedule_of):
    """min(SNR, 5) / SNR, and / (SNR + 1)."""
    schedule = schedule_of("cosine")
    snr = schedule.snr[1:]
    eps, v = (MinSnr("min_snr", 5.0).table(Parameterisation(t, schedule))[1:] for t in ("eps", "v"))
    assert eps == pytest.approx(np.minimum(snr, 5) / snr)
    assert v == pytest.approx(np.minimum(snr, 5) / (snr + 1))


def test_soft_min_snr_is_below_both(schedule_of):
    p = Parameterisation("x0", schedule_of("cosine"))
    soft, hard = SoftMinSnr("soft_min_snr", 5.0).table(p), MinSnr("min_snr", 5.0).table(p)
    assert (soft[1:] < hard[1:]).all()
    assert soft[1] == pytest.approx(hard[1], rel=1e-3)


def test_p2_for_the_noise(schedule_of):
    p = Parameterisation("eps", schedule_of("linear"))
    assert P2("p2", 1.0, 0.5).table(p)[1:] == pytest.approx((1 + p.schedule.snr[1:]) ** -0.5)


def test_edm_weight_is_one_for_edms_own_target(schedule_of):
    assert EdmWeight("edm").table(Parameterisation("edm", schedule_of("edm")))[1:] == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinSnr("min_snr", 0.0), "gamma: must be above 0, got 0.0"),
        (lambda: SoftMinSnr("soft_min_snr", -1.0), "gamma: must be above 0"),
        (lambda: P2("p2", 0.0, -1.0), "k: must be above 0.*gamma: must be 0 or more"),
    ],
)
def test_errors_say_what_must_hold(make, message):
    with pytest.raises(ParamsError, match=message):
        make()
