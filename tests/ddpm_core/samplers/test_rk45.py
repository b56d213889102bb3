"""The ODE with steps of its own size, against flows that are known."""

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.noise import initial
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.rk45 import Rk45, signal_and_noise

ORACLE = GaussianOracle(0.3, 0.25)
NAMES = ("linear", "cosine", "vp_continuous", "geometric_ve", "edm", "rectified_flow", "cosine_zero_snr")


def network(p):
    """The exact network of N(0.3, 0.25) for target x0, at any time: what it is told says sigma."""
    schedule = p.schedule
    known = np.log(schedule.sigma[1:][schedule.a[1:] > 0])
    times = schedule.time[1:][schedule.a[1:] > 0].astype(np.float64)

    def denoise(x_in, time):
        told = np.asarray(time.tolist())
        sigma = np.exp(np.interp(told, times, known))
        a, g = signal_and_noise(schedule.process, sigma)
        a = np.where(told > times[-1], 0.0, a)  # the level without signal
        g = np.where(told > times[-1], 1.0, g)
        c_in = p.at(np.where(a > 0, a, 1.0), g)[2]
        like = x_in.new_tensor if isinstance(x_in, torch.Tensor) else np.asarray
        a, g, c_in = (like(column[:, None]) for column in (a, g, c_in))
        return 0.3 + 0.25 * a / (0.25 * a**2 + g**2) * (x_in / c_in - 0.3 * a)

    return denoise


def solve(schedule, x, rtol, most_steps=500, bound=None):
    p = Parameterisation("x0", schedule)
    return Rk45("rk45", rtol, rtol, most_steps).sample(p, network(p), x, bound=bound)


def starts(schedule):
    return np.array([[-1.0, 0.2], [0.4, 0.1], [1.5, -0.7]]) * schedule.start_scale


@pytest.mark.parametrize("name", NAMES)
def test_result_is_x0_hat_at_the_end_of_the_exact_flow(schedule_of, name):
    schedule = schedule_of(name)
    x, top = starts(schedule), int(np.flatnonzero(schedule.a > 0)[-1])
    from_top = x if top == schedule.T else schedule.a[top] * 0.3 + schedule.g[top] * x
    exact = ORACLE.x0_hat(schedule, ORACLE.flow(schedule, from_top, top, 1), 1)
    found = solve(schedule, x, 1e-7)
    assert found.x0 == pytest.approx(exact, abs=3e-6)


def test_a_tenth_of_the_tolerance_is_a_smaller_error_and_costs_more(schedule_of):
    """Order 5: the error of a step falls as h^5, so a tenth of it takes 10^(1/5) = 1.6 times the steps."""
    schedule = schedule_of("vp_continuous")
    x = starts(schedule)
    exact = ORACLE.x0_hat(schedule, ORACLE.flow(schedule, x, schedule.T, 1), 1)
    errors, costs = [], []
    for rtol in (1e-3, 1e-5, 1e-7, 1e-9):
        found = solve(schedule, x, rtol)
        errors.append(float(np.abs(found.x0 - exact).max()))
        costs.append(found.evaluations[0])
        assert errors[-1] < 50 * rtol
    assert errors == sorted(errors, reverse=True)
    growth = (costs[-1] / costs[1]) ** (1 / 4)
    assert growth == pytest.approx(10**0.2, rel=0.12)


def test_evaluations_are_what_the_network_was_asked(schedule_of):
    schedule = schedule_of("edm")
    p = Parameterisation("x0", schedule)
    inner, calls = network(p), []

    def denoise(x, time):
        calls.append(len(x))
        return inner(x, time)

    found = Rk45("rk45", 1e-4, 1e-4, 200).sample(p, denoise, starts(schedule)[:1])
    assert found.evaluations == [len(calls)]
    assert (len(calls) - 1) % 6 == 0


def test_image_does_not_depend_on_its_neighbours(schedule_of):
    schedule = schedule_of("cosine")
    x = np.concatenate([starts(schedule), [[30.0, -30.0]]])  # the last takes more steps
    together = solve(schedule, x, 1e-5)
    assert len(set(together.evaluations)) > 1
    for i in range(4):
        alone = solve(schedule, x[i : i + 1], 1e-5)
        np.testing.assert_array_equal(alone.x0, together.x0[i : i + 1])
        assert alone.evaluations == [together.evaluations[i]]


def test_torch_gives_the_same_images(schedule_of):
    schedule = schedule_of("vp_continuous")
    x = initial(range(4), (2,)).astype(np.float64)
    one, two = solve(schedule, x, 1e-6), solve(schedule, torch.from_numpy(x), 1e-6)
    assert two.x0.numpy() == pytest.approx(one.x0, abs=1e-9)
    assert one.evaluations == two.evaluations


def test_x0_hat_is_bounded_before_it_is_used(schedule_of):
    found = solve(schedule_of("edm"), starts(schedule_of("edm")), 1e-4, bound=lambda D: D.clip(-0.1, 0.1))
    assert found.x0.max() <= 0.1 + 1e-12


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_signal_and_noise_of_a_process(process):
    sigma = np.geomspace(1e-3, 1e3, 9)
    a, g = signal_and_noise(process, sigma)
    assert g / a == pytest.approx(sigma, rel=1e-12)
    kept = {"vp": a**2 + g**2, "ve": a, "flow": a + g}[process]
    assert kept == pytest.approx(np.ones(9), rel=1e-12)


def test_it_has_no_plan_and_says_so_by_name(schedule_of):
    with pytest.raises(ParamsError, match=r"rk45: .* cannot be exported; take heun or dpmpp_2m"):
        Rk45("rk45", 1e-3, 1e-3, 100).plan(schedule_of("linear"), "fixed_small")


def test_what_cannot_be_solved_is_told(schedule_of):
    with pytest.raises(ParamsError, match=r"solved in 5 steps, and was not; give more, or a larger rtol than 1e-09"):
        solve(schedule_of("linear"), starts(schedule_of("linear")), 1e-9, most_steps=5)
    p = Parameterisation("x0", schedule_of("linear"))
    with pytest.raises(ParamsError, match="most_steps"):
        Rk45("rk45", 1e-3, 1e-3, 30).sample(p, lambda x, time: x * np.nan, starts(p.schedule))
    with pytest.raises(ParamsError, match=r"rtol: must be above 0.*atol: must be above 0.*most_steps: must be at le"):
        Rk45("rk45", 0.0, -1.0, 0)
