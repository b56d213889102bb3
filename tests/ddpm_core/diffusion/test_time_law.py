"""The law of t: what it draws, that the loss stays unbiased, and what a checkpoint keeps."""

import json
import math

import numpy as np
import pytest

from ddpm_core.diffusion.time_law import LogitNormal, LogNormal, SecondMoment, Uniform
from ddpm_core.errors import IntegrityError, ParamsError


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("stratified", [True, False])
def test_uniform_draws_every_level_alike(schedule_of, stratified):
    law = Uniform("uniform", stratified).build(schedule_of("linear", 50))
    t, factor = law.draw(100_000, rng())
    assert (factor == 1).all()
    assert np.bincount(t, minlength=51)[1:] == pytest.approx(2000, rel=0.1)
    assert t.min() == 1
    assert t.max() == 50


def test_stratified_batch_spreads_over_the_levels(schedule_of):
    law = Uniform("uniform", True).build(schedule_of("linear", 1000))
    t, _ = law.draw(100, rng(1))
    assert (np.diff(np.sort(t)) == 10).all()
    assert not (np.diff(t) > 0).all()


def test_stratified_items_each_obey_the_law(schedule_of):
    law = Uniform("uniform", True).build(schedule_of("cosine", 10))
    first = [law.draw(3, rng(seed))[0][0] for seed in range(4000)]
    assert np.bincount(first, minlength=11)[1:] == pytest.approx(400, rel=0.2)


def laws(schedule):
    second = SecondMoment("second_moment", False, 2, 0.01).build(schedule)
    for _ in range(2):
        second.observe(np.arange(1, schedule.T + 1), np.linspace(5, 0.1, schedule.T))
    return [
        Uniform("uniform", True).build(schedule),
        second,
        LogNormal("log_normal", False, -0.5, 1.0, True).build(schedule),
        LogitNormal("logit_normal", False, 0.5, 0.8, True).build(schedule),
    ]


def test_the_factor_keeps_the_mean_over_levels(schedule_of):
    """E_p[f(t) / (T p_t)] is the mean of f, whatever the law."""
    schedule = schedule_of("cosine", 40)
    f = np.sin(np.arange(41.0)) + 2
    for law in laws(schedule):
        p = law.probabilities()
        assert p.sum() == pytest.approx(1)
        assert (p * law.factors() * f[1:]).sum() == pytest.approx(f[1:].mean(), rel=1e-9)
        t, factor = law.draw(60_000, rng())
        assert np.bincount(t, minlength=41)[1:] / 60_000 == pytest.approx(p, abs=8e-3)
        assert factor == pytest.approx(law.factors()[t - 1])


def test_second_moment_is_uniform_until_every_level_was_seen_often_enough(schedule_of):
    law = SecondMoment("second_moment", True, 2, 0.001).build(schedule_of("linear", 30))
    law.observe(np.arange(1, 31), np.arange(30.0))
    law.observe(np.arange(1, 30), np.arange(29.0))
    assert law.probabilities() == pytest.approx(1 / 30)
    law.observe(np.array([30]), np.array([29.0]))
    assert law.probabilities()[29] > 1 / 30


def test_second_moment_is_the_root_of_the_mean_square_of_the_newest_losses(schedule_of):
    law = SecondMoment("second_moment", False, 2, 0.1).build(schedule_of("linear", 25))
    for value in (100.0, 3.0, 4.0):
        law.observe(np.arange(1, 26), np.where(np.arange(25) == 0, value, 1.0))
    root = np.where(np.arange(25) == 0, np.sqrt(12.5), 1.0)
    assert law.probabilities() == pytest.approx(0.9 * root / root.sum() + 0.1 / 25)


def test_state_goes_through_json_and_back(schedule_of):
    schedule = schedule_of("cosine", 40)
    law = laws(schedule)[1]
    again = SecondMoment("second_moment", False, 2, 0.01).build(schedule)
    again.load_state_dict(json.loads(json.dumps(law.state_dict())))
    assert (again.probabilities() == law.probabilities()).all()
    assert (again.draw(9, rng())[0] == law.draw(9, rng())[0]).all()


def test_log_normal_draws_every_level_however_far_from_its_mean(schedule_of):
    """A millionth of the uniform law is at every level, so no corrected factor is beyond a million."""
    law = LogNormal("log_normal", False, -1.2, 0.1, True).build(schedule_of("edm"))
    assert law.probabilities().min() == pytest.approx(1e-6 / law.T, rel=1e-5)
    assert law.factors().max() == pytest.approx(1e6, rel=1e-5)


def test_log_normal_has_its_moments(schedule_of):
    schedule = schedule_of("edm", 1000)
    law = LogNormal("log_normal", False, -1.2, 1.2, False).build(schedule)
    ln_sigma = np.log(schedule.sigma[law.draw(50_000, rng())[0]])
    assert ln_sigma.mean() == pytest.approx(-1.2, abs=0.02)
    assert ln_sigma.std() == pytest.approx(1.2, abs=0.02)
    assert (law.factors() == 1).all()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.6)])
def test_logit_normal_of_rectified_flow_has_its_moments(schedule_of, mean, std):
    """Esser et al. 2024, eq. 19: the logit of t is normal, and levels 1..T are t = i / T."""
    law = LogitNormal("logit_normal", True, mean, std, False).build(schedule_of("rectified_flow", 1000))
    t = law.draw(200_000, rng())[0] / 1000
    logit = np.log(t[t < 1] / (1 - t[t < 1]))
    assert logit.mean() == pytest.approx(mean, abs=0.01)
    assert logit.std() == pytest.approx(std, abs=0.01)
    assert np.median(t) == pytest.approx(1 / (1 + np.exp(-mean)), abs=2e-3)
    assert law.probabilities().min() > 0
    assert (law.factors() == 1).all()
    density = np.exp(-0.5 * mean**2 / std**2) / (std * math.sqrt(2 * math.pi)) / 0.25
    assert law.probabilities()[499] * 1000 == pytest.approx(density, rel=1e-3)


def test_logit_normal_is_log_normal_where_every_level_holds_signal(schedule_of):
    """logit t = ln(g / a) = ln sigma, with t = g / (a + g)."""
    for name, mean in (("vp_continuous", -0.5), ("edm", -1.2)):
        schedule = schedule_of(name)
        logit = LogitNormal("logit_normal", False, mean, 1.0, False).build(schedule).probabilities()
        log = LogNormal("log_normal", False, mean, 1.0, False).build(schedule).probabilities()
        assert abs(logit - log).sum() / 2 < 0.01


def test_logit_normal_draws_the_last_level_without_signal(schedule_of):
    """Sampling begins there."""
    for name in ("rectified_flow", "cosine_zero_snr"):
        p = LogitNormal("logit_normal", False, 0.0, 1.0, True).build(schedule_of(name, 50)).probabilities()
        assert p[-1] > 1e-8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda of: LogNormal("log_normal", False, 0.0, 1.0, False).build(of("cosine_zero_snr")), "zero terminal SNR"),
        (lambda of: LogNormal("log_normal", False, 90.0, 1.0, False).build(of("edm")), "mean 90.0 and std 1.0 lie out"),
        (lambda of: LogNormal("log_normal", False, 0.0, 0.0, False), "std: must be above 0"),
        (lambda of: LogitNormal("logit_normal", False, 0.0, -1.0, False), "std: must be above 0"),
        (lambda of: SecondMoment("second_moment", False, 0, 1.5), "history: must be at least 1.*uniform_share"),
    ],
)
def test_errors_say_what_must_hold(schedule_of, make, message):
    with pytest.raises(ParamsError, match=message):
        make(schedule_of)


def test_a_checkpoint_of_another_law_is_refused(schedule_of):
    schedule = schedule_of("cosine", 40)
    state = laws(schedule)[1].state_dict()
    with pytest.raises(IntegrityError, match=r"losses of shape \(40, 2\), this training needs \(40, 3\)"):
        SecondMoment("second_moment", False, 3, 0.01).build(schedule).load_state_dict(state)
    with pytest.raises(IntegrityError, match="FixedLaw has no state"):
        Uniform("uniform", True).build(schedule).load_state_dict(state)
