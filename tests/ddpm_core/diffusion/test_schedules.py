"""Schedules against known values and their own laws."""

import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import (
    Edm,
    RectifiedFlow,
    ScheduleConfig,
    ShiftedCosine,
    Sigmoid,
    zero_terminal_snr,
)
from ddpm_core.errors import ParamsError

ALL = (
    "linear",
    "quadratic",
    "cosine",
    "shifted_cosine",
    "sigmoid",
    "vp_continuous",
    "geometric_ve",
    "edm",
    "rectified_flow",
    "cosine_zero_snr",
    "linear_zero_snr",
)
VP = (
    "linear",
    "quadratic",
    "cosine",
    "shifted_cosine",
    "sigmoid",
    "vp_continuous",
    "cosine_zero_snr",
    "linear_zero_snr",
)


@pytest.mark.parametrize(
    ("t", "beta", "alpha_bar", "beta_tilde"),
    [
        (1, 1e-4, 0.9999, 0.0),
        (2, 1.1991991992e-04, 0.9997800920721, 5.4531876613e-05),
        (100, 2.0720720721e-03, 0.8970181456750, 2.0345962595e-03),
        (500, 1.0040040040e-02, 0.07858724288178, 1.0031355415e-02),
        (1000, 2e-2, 4.035829765376e-05, 1.9999983527e-02),
    ],
)
def test_linear_has_the_known_values(schedule_of, t, beta, alpha_bar, beta_tilde):
    """alpha_bar is the product up to and with t, beta ends at 0.02, nothing is clipped."""
    schedule = schedule_of("linear")
    assert schedule.beta[t] == pytest.approx(beta, rel=1e-9)
    assert schedule.alpha_bar[t] == pytest.approx(alpha_bar, rel=1e-12)
    assert schedule.beta_tilde[t] == pytest.approx(beta_tilde, rel=1e-9)


@pytest.mark.parametrize(
    ("t", "alpha_bar", "beta_tilde"),
    [
        (1, 0.9999587157752, 0.0),
        (2, 0.9999125759, 2.178949615e-05),
        (100, 0.9720927371, 5.172290804e-04),
        (500, 0.4938435904406, 3.136199904e-03),
        (1000, 2.428766907035e-09, 0.9989975761),
    ],
)
def test_cosine_has_the_known_values(schedule_of, t, alpha_bar, beta_tilde):
    schedule = schedule_of("cosine")
    assert schedule.alpha_bar[t] == pytest.approx(alpha_bar, rel=1e-9)
    assert schedule.beta_tilde[t] == pytest.approx(beta_tilde, rel=1e-8)


def test_cosine_caps_exactly_one_beta(schedule_of):
    assert (schedule_of("cosine").beta > 0.999 - 1e-12).sum() == 1


def test_shifted_cosine_at_its_reference_is_the_plain_cosine():
    """alpha = cos, sigma = sin of an angle in equal steps, between the two ends of the log-SNR."""
    schedule = ShiftedCosine("shifted_cosine", 1000, 64, 64, -15.0, 15.0, False).build()
    first, last = math.atan(math.exp(-7.5)), math.atan(math.exp(7.5))
    angle = first + np.arange(1, 1001) / 1000 * (last - first)
    assert schedule.a[1:] == pytest.approx(np.cos(angle), rel=1e-9)
    assert schedule.g[1:] == pytest.approx(np.sin(angle), rel=1e-9)
    assert np.log(schedule.snr[-1]) == pytest.approx(-15, rel=1e-9)


@pytest.mark.parametrize("size", [8, 128, 512])
def test_shifted_cosine_has_the_references_noise_after_averaging_to_its_size(size):
    """The mean of (size / 64)^2 pixels has as much less noise: SNR (size / 64)^2 is that of 64 x 64."""
    reference, shifted = (ShiftedCosine("shifted_cosine", 200, n, 64, -15.0, 15.0, False).build() for n in (64, size))
    assert shifted.snr[1:] * (size / 64) ** 2 == pytest.approx(reference.snr[1:], rel=1e-9)


def test_linear_betas_are_the_straight_line(schedule_of):
    assert schedule_of("linear").beta[1:] == pytest.approx(np.linspace(1e-4, 0.02, 1000), rel=1e-11)


def test_quadratic_is_linear_in_the_root_of_beta(schedule_of):
    assert np.sqrt(schedule_of("quadratic").beta[1:]) == pytest.approx(np.linspace(0.01, 0.02**0.5, 1000), rel=1e-11)


def test_ends_are_scaled_so_that_fewer_levels_end_as_noisy(schedule_of):
    assert schedule_of("linear", 100).beta[[1, 100]] == pytest.approx([1e-3, 0.2])
    assert schedule_of("linear", 100).alpha_bar[-1] == pytest.approx(2.06e-5, rel=0.1)


def test_sigmoid_halves_the_signal_in_the_middle(schedule_of):
    schedule = schedule_of("sigmoid")
    assert schedule.alpha_bar[500] == pytest.approx(0.5)
    assert schedule.alpha_bar[-1] == pytest.approx(1e-9)


@pytest.mark.parametrize(("start", "end", "tau"), [(-3.0, 3.0, 1.0), (0.0, 3.0, 0.7), (-1.0, 2.0, 0.3)])
def test_sigmoid_is_the_papers(start, end, tau):
    """alpha_bar is the sigmoid of the straight line from start to end over tau, brought to 1 and 0 at its ends."""
    schedule = Sigmoid("sigmoid", 100, start, end, tau, 1e-9, False).build()

    def sigmoid(x):
        return 1 / (1 + math.exp(-x / tau))

    t = 0.4
    want = (sigmoid(end) - sigmoid(start + t * (end - start))) / (sigmoid(end) - sigmoid(start))
    assert schedule.alpha_bar[40] == pytest.approx(want, rel=1e-12)


def test_vp_continuous_is_the_integral_of_its_rate(schedule_of):
    """alpha_bar(t) = exp(-int beta), beta = 0.1 + 19.9 t; the network is told 1000 t."""
    schedule = schedule_of("vp_continuous", 400)
    assert schedule.alpha_bar[100] == pytest.approx(math.exp(-(0.1 * 0.25 + 19.9 * 0.25**2 / 2)))
    assert schedule.time[100] == 250


def test_edm_has_the_known_sigmas():
    sigma = Edm("edm", 18, 0.002, 80.0, 7.0, 0.5).build().sigma[::-1]
    assert sigma[:3] == pytest.approx([80, 57.586, 40.7856], rel=1e-5)
    assert sigma[-3:] == pytest.approx([0.00752802, 0.002, 0], rel=1e-5)


def test_edm_tells_the_network_a_quarter_of_ln_sigma(schedule_of):
    schedule = schedule_of("edm", 50)
    assert schedule.time[1:] == pytest.approx(np.log(schedule.sigma[1:]) / 4, rel=1e-6)


def test_geometric_sigmas_have_one_ratio(schedule_of):
    sigma = schedule_of("geometric_ve", 50).sigma[1:]
    assert sigma[[0, -1]] == pytest.approx([0.01, 50])
    assert np.ptp(sigma[1:] / sigma[:-1]) < 1e-12


def test_rectified_flow_is_the_straight_line():
    schedule = RectifiedFlow("rectified_flow", 10).build()
    assert schedule.a + schedule.g == pytest.approx(1)
    assert schedule.g[[0, 3, 10]] == pytest.approx([0, 0.3, 1])


@pytest.mark.parametrize("name", VP)
def test_vp_keeps_unit_variance(schedule_of, name):
    schedule = schedule_of(name)
    assert schedule.a**2 + schedule.g**2 == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("T", [25, 1000])
def test_laws_of_every_schedule(schedule_of, name, T):
    schedule = schedule_of(name, T)
    assert schedule.T == T
    assert schedule.a.dtype == schedule.g.dtype == np.float64
    assert schedule.time.dtype == np.float32
    assert (schedule.a[0], schedule.g[0], schedule.beta[0], schedule.beta_tilde[:2].tolist()) == (1, 0, 0, [0, 0])
    assert (np.diff(schedule.lam[1:]) < 0).all()
    assert (np.diff(schedule.time[1:]) > 0).all()
    assert (schedule.beta[1:] > 0).all()
    # Beta-tilde is below beta; where the noise of the level before is nearly all there is, they are as good as equal.
    assert (schedule.beta_tilde[1:] <= schedule.beta[1:]).all()
    assert not schedule.a.flags.writeable
    assert not schedule.time.flags.writeable


@pytest.mark.parametrize("name", ALL)
def test_dict_round_trip_is_exact(schedule_of, name):
    schedule = schedule_of(name, 30)
    again = Schedule.from_dict(json.loads(json.dumps(schedule.to_dict())))
    for field in ("a", "g", "time"):
        assert getattr(again, field).tobytes() == getattr(schedule, field).tobytes()
    assert (again.process, again.sigma_data) == (schedule.process, schedule.sigma_data)


@pytest.mark.parametrize("name", ["linear", "cosine", "edm", "rectified_flow"])
def test_steps_compose(schedule_of, name):
    """q(x_t | x_u) after q(x_u | x_s) is q(x_t | x_s)."""
    q = schedule_of(name, 50)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 49), min_size=3, max_size=3, unique=True).map(sorted))
    def check(levels):
        s, u, t = levels
        root = q.root_alpha_between(s, u) * q.root_alpha_between(u, t)
        variance = q.root_alpha_between(u, t) ** 2 * q.beta_between(s, u) + q.beta_between(u, t)
        assert root == pytest.approx(q.root_alpha_between(s, t), rel=1e-12)
        assert variance == pytest.approx(q.beta_between(s, t), rel=1e-9)

    check()


@pytest.mark.parametrize("name", ALL)
def test_posterior_is_bayes(schedule_of, name):
    """q(x_s | x_t, x_0) from the product of two Gaussians, precisions added, for any s < t."""
    q = schedule_of(name, 50)
    for s, t in [(1, 2), (3, 9), (20, 49), (49, 50)]:
        c, beta, g2 = q.root_alpha_between(s, t), q.beta_between(s, t), q.g[s] ** 2
        precision = c**2 / beta + 1 / g2
        of_x_t, of_x_0 = q.posterior_mean_between(s, t)
        assert q.beta_tilde_between(s, t) == pytest.approx(1 / precision, rel=1e-9)
        assert of_x_t == pytest.approx(c / beta / precision, rel=1e-9)
        assert of_x_0 == pytest.approx(q.a[s] / g2 / precision, rel=1e-9)


def test_posterior_mean_in_terms_of_the_noise(schedule_of):
    """mu_tilde = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t): with the root, at every t."""
    q = schedule_of("linear")
    x0, eps = 0.7, -1.3
    for t in (1, 2, 10, 500, 1000):
        x_t = q.a[t] * x0 + q.g[t] * eps
        of_x_t, of_x_0 = q.posterior_mean_between(t - 1, t)
        mean = (x_t - q.beta[t] / math.sqrt(1 - q.alpha_bar[t]) * eps) / math.sqrt(1 - q.beta[t])
        assert of_x_t * x_t + of_x_0 * x0 == pytest.approx(mean, rel=1e-9)


def test_log_variance_of_the_first_step_is_that_of_the_second(schedule_of):
    """beta_tilde_1 is 0; its logarithm is not a floor of 1e-20 but ln beta_tilde_2."""
    q = schedule_of("linear")
    large, small = q.log_variances_between(0, 1)
    assert large == pytest.approx(math.log(1e-4))
    assert small == pytest.approx(math.log(5.4531876613e-05))
    assert q.log_variances_between(1, 2)[1] == pytest.approx(math.log(5.4531876613e-05))
    whole = math.log(q.beta_between(0, 1000))
    assert q.log_variances_between(0, 1000) == pytest.approx((whole, whole))


def test_zero_terminal_snr_moves_the_ends_as_the_paper_says(schedule_of):
    before, after = schedule_of("linear"), zero_terminal_snr(schedule_of("linear"))
    assert after.a[-1] == 0
    assert after.g[-1] == 1
    assert after.a[1] == pytest.approx(before.a[1], rel=1e-15)
    assert after.a[0] == 1


def test_unions_example_list_is_complete(schedule_of):
    assert {get_args(cls.__annotations__["kind"])[0] for cls in get_args(ScheduleConfig)} <= set(ALL)


# ---- what is refused


def test_what_the_network_is_told_is_float32_and_a_copy():
    given = np.array([0.0, 1.0])
    schedule = Schedule(np.array([1.0, 0.0]), np.array([0.0, 1.0]), given, "vp")
    assert schedule.time.dtype == np.float32
    assert given.flags.writeable


# ---------------------------------------------------------------------------------------------- of a table of one's own


def test_a_schedule_of_betas_or_alpha_bars_is_the_one_that_has_them(schedule_of):
    for name in ("linear", "cosine", "cosine_zero_snr"):
        schedule = schedule_of(name)
        for own in (Schedule.from_betas(schedule.beta[1:]), Schedule.from_alpha_bar(schedule.alpha_bar[1:])):
            assert own.a == pytest.approx(schedule.a, rel=1e-9, abs=1e-12)
            assert own.g == pytest.approx(schedule.g, rel=1e-9)
            assert own.time.tolist() == list(range(1001))
            assert own.process == "vp"
    betas = np.linspace(1e-4, 0.02, 1000)
    assert (Schedule.from_betas(betas).a == schedule_of("linear").a).all()
    assert Schedule.from_betas(list(betas)).alpha_bar[1:] == pytest.approx(np.cumprod(1 - betas))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule.from_betas([0.1, 1.2]), r"betas: must be \[T\], each above 0 and at most 1"),
        (lambda: Schedule.from_betas([[0.1, 0.2]]), r"betas: must be \[T\].*got shape \(1, 2\)"),
        (lambda: Schedule.from_betas([0.0, 0.1]), "each above 0"),
        (lambda: Schedule.from_alpha_bar([1.0, 0.5]), "alpha_bar: .*below 1 .*without level 0"),
        (lambda: Schedule.from_alpha_bar([0.5, 0.6]), "must rise from level to level"),
        (lambda: Schedule.from_alpha_bar([0.5, -0.6]), "alpha_bar: "),
        (lambda: Schedule.from_alpha_bar([]), "alpha_bar: "),
    ],
)
def test_tables_that_are_no_schedule_are_refused(make, message):
    with pytest.raises(ParamsError, match=message):
        make()
