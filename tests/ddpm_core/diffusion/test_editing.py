"""Known regions, starts between noise and data, inversion and paths, by the same loop."""

import numpy as np
import pytest

from ddpm_core.diffusion.editing import known_region, levels_from, noised, slerp, take, with_resampling
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import Purpose, initial, step_noise
from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.inversion import inversion

ORACLE = GaussianOracle(0.3, 0.25)
SEEDS, SHAPE = [1, 2, 3], (1, 4, 4)


def noise(step):
    return step_noise(SEEDS, step, SHAPE)


def other_noise(step):
    return step_noise(SEEDS, step, SHAPE, purpose=Purpose.RESAMPLE)


@pytest.mark.parametrize("times", [1, 3])
def test_known_pixels_come_out_as_given(schedule_of, sampler_of, times):
    schedule = schedule_of("linear")
    p = Parameterisation("eps", schedule)
    plan = with_resampling(sampler_of("ancestral", 20).plan(schedule, "fixed_small"), schedule, 4, times)
    x0, mask = np.full((3, *SHAPE), 0.8, np.float32), np.zeros((3, *SHAPE), np.float32)
    mask[..., :2] = 1
    on_step = known_region(plan, schedule, x0, mask, other_noise)
    x = generate(plan, p, ORACLE.network(p), initial(SEEDS, SHAPE), noise, on_step=on_step)
    assert (x[..., :2] == np.float32(0.8)).all()
    assert (on_step(0, x0 + 2, x0)[..., 2:] == (x0 + 2)[..., 2:]).all()
    assert not (x[..., 2:] == np.float32(0.8)).any()


def test_resampling_walks_each_stretch_so_often_and_asks_the_network_only_on_the_way_down(schedule_of, sampler_of):
    schedule = schedule_of("linear")
    plan = sampler_of("ancestral", 20).plan(schedule, "fixed_small")
    walked = with_resampling(plan, schedule, 5, 3)
    assert len(walked) == 20 * 3 + 4 * 2
    assert walked.evaluations == 60
    assert walked.noise_step.tolist() == list(range(1, len(walked) + 1))


def test_resampling_keeps_the_marginal(schedule_of, sampler_of):
    """With the optimal variance each way down is exact, and so is each way up."""
    from ddpm_core.diffusion.variance import OptimalVariance

    schedule = schedule_of("cosine", 100)
    p = Parameterisation("x0", schedule)
    plan = sampler_of("ancestral", 10).plan(schedule, OptimalVariance(ORACLE.x0_variance(schedule)))
    walked = take(with_resampling(plan, schedule, 3, 2), slice(0, 19))
    start = tuple(float(m) for m in ORACLE.marginal(schedule, 100))
    got = moments(walked, p, ORACLE.network(p), start)
    assert got == pytest.approx(ORACLE.marginal(schedule, int(walked.s[-1])), rel=1e-10)


def test_sampler_with_memory_is_not_resampled(schedule_of, sampler_of):
    schedule = schedule_of("linear")
    with pytest.raises(ParamsError, match="dpmpp_2m looks at the row before; take ancestral or ddim"):
        with_resampling(sampler_of("dpmpp_2m", 9).plan(schedule, "fixed_small"), schedule, 2, 2)
    with pytest.raises(ParamsError, match="at least 1, got 0 and 2"):
        with_resampling(sampler_of("ddim", 9).plan(schedule, "fixed_small"), schedule, 0, 2)


def test_start_between_noise_and_data(schedule_of, sampler_of):
    """From q(x_t | data) at any level the sampler gives the data's law again."""
    schedule = schedule_of("linear")
    levels = levels_from(spaced_levels("trailing", schedule, 200), schedule, 0.4)
    assert levels[0] == 400
    plan = sampler_of("ddim", 200).over(levels, schedule, "fixed_small")
    p = Parameterisation("x0", schedule)
    start = tuple(float(m) for m in ORACLE.marginal(schedule, 400))
    assert moments(plan, p, ORACLE.network(p), start) == pytest.approx((0.3, 0.25), rel=0.03)
    assert noised(schedule, 2.0, 400, 0.0) == pytest.approx(2 * schedule.a[400])
    assert noised(schedule, 0.0, 400, 3.0) == pytest.approx(3 * schedule.g[400])


def test_strength_is_a_share(schedule_of):
    levels = [1000, 500, 100, 0]
    assert levels_from(levels, schedule_of("linear"), 1.0) == levels
    assert levels_from(levels, schedule_of("linear"), 0.01) == [100, 0]
    with pytest.raises(ParamsError, match="strength: must be above 0 and at most 1, got 0"):
        levels_from(levels, schedule_of("linear"), 0)


def test_inversion_finds_the_noise_again(schedule_of, sampler_of):
    schedule = schedule_of("cosine")
    p = Parameterisation("v", schedule)
    levels = spaced_levels("trailing", schedule, 500)
    x0 = np.linspace(-1, 1.5, 8)[:, None]
    x_T = generate(inversion(levels, schedule), p, ORACLE.network(p), x0, noise)
    again = generate(sampler_of("ddim", 500).over(levels, schedule, "fixed_small"), p, ORACLE.network(p), x_T, noise)
    assert again == pytest.approx(x0, abs=0.01)
    assert x_T == pytest.approx(ORACLE.flow(schedule, x0, 2, 1000), abs=0.02)


def test_inversion_walks_the_levels_upwards_from_the_lowest_and_bounds_nothing(schedule_of):
    plan = inversion([1000, 500, 1, 0], schedule_of("cosine"))
    assert (plan.t.tolist(), plan.s.tolist()) == ([1, 500], [500, 1000])
    assert (plan.kind, plan.bound, plan.needs_noise) == ("ddim_inversion", "none", False)


def test_slerp_goes_from_one_to_the_other_at_equal_length():
    x, y = initial([1, 2], (3, 8, 8)), initial([3, 4], (3, 8, 8))
    assert slerp(x, y, 0.0) == pytest.approx(x, abs=1e-6)
    assert slerp(x, y, 1.0) == pytest.approx(y, abs=1e-6)
    middle = slerp(x, y, 0.5)
    assert middle.dtype == np.float32
    assert np.linalg.norm(middle) == pytest.approx(np.linalg.norm(x), rel=0.05)
    assert slerp(x, x, 0.3) == pytest.approx(x)


def test_slerp_of_noises_that_round_off_makes_more_than_parallel_is_finite():
    x = initial(range(200), (3,))
    assert np.isfinite(slerp(x, 3 * x, 0.3)).all()
    assert np.isfinite(slerp(x, -x, 0.3)).all()
