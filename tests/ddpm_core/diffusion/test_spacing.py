"""Which levels are visited."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddpm_core.diffusion.spacing import Spacing, respaced, spaced_levels
from ddpm_core.errors import ParamsError


def test_known_levels(schedule_of):
    q = schedule_of("linear")
    assert spaced_levels("leading", q, 10) == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1, 0]
    assert spaced_levels("trailing", q, 10) == [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert spaced_levels("linspace", q, 5) == [1000, 750, 500, 251, 1, 0]


def test_all_levels_are_all_levels(schedule_of):
    for spacing in get_args(Spacing):
        assert spaced_levels(spacing, schedule_of("cosine", 60), 60) == list(range(60, -1, -1))


@pytest.mark.parametrize("spacing", get_args(Spacing))
@pytest.mark.parametrize("name", ["linear", "cosine", "edm", "rectified_flow", "cosine_zero_snr"])
def test_levels_fall_to_0_and_are_as_many_as_asked(schedule_of, spacing, name):
    schedule = schedule_of(name, 100)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 100))
    @example(1)
    @example(2)
    @example(3)
    def check(steps):
        levels = spaced_levels(spacing, schedule, steps)
        assert len(levels) == steps + 1
        assert (np.diff(levels) < 0).all()
        assert levels[-1] == 0
        assert levels[0] <= 100
        assert spacing == "leading" or levels[0] == 100

    check()


@pytest.mark.parametrize("spacing", get_args(Spacing))
def test_one_step_begins_where_its_spacing_does(schedule_of, spacing):
    assert spaced_levels(spacing, schedule_of("linear"), 1) == [1 if spacing == "leading" else 1000, 0]


def test_log_snr_is_even_in_lambda(schedule_of):
    schedule = schedule_of("vp_continuous")
    steps = np.diff(schedule.lam[spaced_levels("log_snr", schedule, 12)[:-1]])
    # Between the first levels of a discrete schedule lambda jumps; the others are even.
    assert steps[:-1] == pytest.approx(steps[:-1].mean(), rel=0.1)


@pytest.mark.parametrize("spacing", ["log_snr", "karras"])
def test_without_signal_at_the_end_the_others_are_spaced_before_it(schedule_of, spacing):
    schedule = schedule_of("cosine_zero_snr", 100)
    before = respaced(schedule, list(range(100)))
    assert spaced_levels(spacing, schedule, 10) == [100, *spaced_levels(spacing, before, 9)]
    assert spaced_levels(spacing, schedule, 2) == [100, 1, 0]


def test_karras_is_even_in_the_seventh_root_of_sigma(schedule_of):
    schedule = schedule_of("edm")
    assert spaced_levels("karras", schedule, 28) == spaced_levels("linspace", schedule, 28)


def test_quadratic_is_even_in_the_root_of_the_level(schedule_of):
    roots = np.sqrt(spaced_levels("quadratic", schedule_of("linear"), 10)[:-1])
    # Within half a level, which is 1 / (4 root) of a root.
    assert (np.abs(roots - np.linspace(1000**0.5, 1, 10)) <= 0.26 / roots).all()


def test_respaced_schedule_keeps_what_the_network_is_told(schedule_of):
    schedule = schedule_of("linear")
    few = respaced(schedule, [1000, 500, 1, 0])
    assert few.T == 3
    assert few.time.tolist() == [0, 1, 500, 1000]
    assert few.alpha_bar.tolist() == schedule.alpha_bar[[0, 1, 500, 1000]].tolist()
    assert few.beta[2] == pytest.approx(1 - schedule.alpha_bar[500] / schedule.alpha_bar[1])


@pytest.mark.parametrize("steps", [0, 1001])
def test_more_steps_than_levels_are_refused(schedule_of, steps):
    with pytest.raises(ParamsError, match=f"steps: must be from 1 to the schedule's 1000 levels, got {steps}"):
        spaced_levels("trailing", schedule_of("linear"), steps)


def test_unknown_spacing_is_refused(schedule_of):
    with pytest.raises(ParamsError, match=r"spacing: must be one of leading, .*, got 'even'"):
        spaced_levels("even", schedule_of("linear"), 3)


def test_explicit_levels_lie_within_the_schedule(schedule_of):
    assert spaced_levels((40, 3, 0), schedule_of("linear", 50), 2) == [40, 3, 0]
    with pytest.raises(ParamsError, match=r"none above the schedule's 50, got \[51, 3, 0\]"):
        spaced_levels((51, 3, 0), schedule_of("linear", 50), 2)
