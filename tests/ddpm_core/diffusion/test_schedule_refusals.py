"""Schedules that are none, or that leave signal at the end, are refused or told."""

import logging

import numpy as np
import pytest

from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import (
    Cosine,
    Edm,
    GeometricVE,
    Linear,
    Quadratic,
    RectifiedFlow,
    ShiftedCosine,
    Sigmoid,
    VpContinuous,
    zero_terminal_snr,
)
from ddpm_core.errors import ParamsError


def test_unscaled_short_schedule_is_refused():
    with pytest.raises(ParamsError, match=r"must end in noise.*ratio is 0\.57.*scale_ends"):
        Linear("linear", 100, 1e-4, 0.02, False, False).build()


def test_betas_up_to_a_tenth_of_the_papers_are_refused():
    with pytest.raises(ParamsError, match="must end in noise"):
        Linear("linear", 1000, 1e-4, 0.002, True, False).build()


def test_a_little_signal_at_the_end_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        Linear("linear", 1000, 1e-4, 0.012, True, False).build()
    assert "signal-to-noise ratio of 0.00231 (4.8 % of the amplitude)" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear("linear", 10, 1e-4, 0.02, True, False).build(), "below 1, got 2; take T above 20"),
        (lambda: Linear("linear", 1000, 0.02, 1e-4, True, False).build(), "beta_end must be above beta_start"),
        (lambda: Linear("linear", 1, 1e-4, 0.02, True, False), "T: must be 2 or more levels, got 1"),
        (lambda: Quadratic("quadratic", 9, 0.0, 2.0, True, False), "beta_start: must be between 0 and 1.*beta_end"),
        (lambda: Cosine("cosine", 9, -1.0, 0.999, False), "s: must be 0 or more, got -1.0"),
        (lambda: Sigmoid("sigmoid", 9, 3.0, -3.0, 1.0, 1e-9, False), "end must be above start"),
        (lambda: VpContinuous("vp_continuous", 9, 0.1, 0.0, False), "beta_max: must be above 0"),
        (lambda: VpContinuous("vp_continuous", 9, 0.1, 0.2, False).build(), "must end in noise"),
        (lambda: GeometricVE("geometric_ve", 9, 5.0, 1.0, 0.5), "sigma_max must be above sigma_min"),
        (
            lambda: ShiftedCosine("shifted_cosine", 9, 0, 64, 1.0, 1.0, False),
            "side: must be at least 1, got 0",
        ),
        (
            lambda: ShiftedCosine("shifted_cosine", 9, 64, 64, 1.0, 1.0, False),
            "logsnr_max must be above logsnr_min, got logsnr_min=1.0, logsnr_max=1.0",
        ),
        (lambda: ShiftedCosine("shifted_cosine", 9, 1, 64, -9.0, 9.0, False).build(), "must end in noise"),
        (lambda: Edm("edm", 9, 0.002, 0.1, 7.0, 0.5).build(), "must end in noise"),
        (lambda: zero_terminal_snr(RectifiedFlow("rectified_flow", 9).build()), "belongs to VP schedules, got a flow"),
    ],
)
def test_errors_say_what_must_hold(make, message):
    with pytest.raises(ParamsError, match=message):
        make()


@pytest.mark.parametrize(
    ("a", "g", "time", "process", "message"),
    [
        ([1, 0.5], [0, 0.5, 1], [0, 1], "vp", "equally long"),
        ([1, np.nan], [0, 1], [0, 1], "vp", "finite"),
        ([0.9, 0.5], [0, 1], [0, 1], "vp", r"level 0 must be clean data \(a = 1, g = 0\), got a = 0.9, g = 0.0"),
        ([1, 0.5, 0.4], [0, 0, 1], [0, 1, 2], "vp", "g must be above 0 after level 0"),
        ([1, 0], [0, 0], [0, 1], "vp", "g must be above 0 after level 0"),
        ([1, 0.5, 0.6], [0, 0.8, 0.8], [0, 1, 2], "vp", "must rise from level to level"),
        ([1, -0.5], [0, 1], [0, 1], "vp", "must not be negative"),
        ([1, 0.5], [0, 1], [0, 1], "sde", "process must be vp, ve or flow, got 'sde'"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_schedule_that_is_none_is_refused(a, g, time, process, message):
    """By one error, and no warning of numpy's before it."""
    with pytest.raises(ParamsError, match=message):
        Schedule(np.array(a, float), np.array(g, float), np.array(time, np.float32), process)


@pytest.mark.parametrize(("s", "t"), [(500, 100), (7, 7), (-1, 1000), (3, 1001), (1.5, 3)])
def test_a_step_goes_between_two_levels_s_below_t(schedule_of, s, t):
    schedule = schedule_of("cosine")
    for ask in (schedule.beta_between, schedule.beta_tilde_between, schedule.posterior_mean_between):
        with pytest.raises(ParamsError, match="levels"):
            ask(s, t)
    with pytest.raises(ParamsError, match="levels"):
        schedule.beta_between(np.array([1, s]), np.array([2, t]))
