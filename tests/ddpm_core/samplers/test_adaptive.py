"""Langevin steps that choose their own size."""

import numpy as np
import pytest

from ddpm_core.diffusion.noise import Purpose, initial, step_noise
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.adaptive import AdaptiveLangevin

ORACLE = GaussianOracle(0.3, 0.25)
SHAPE = (1, 30, 30)


def run(schedule, seeds, corrections=2, target="x0"):
    p = Parameterisation(target, schedule)
    sampler = AdaptiveLangevin(40, "trailing", "none", "adaptive_langevin", corrections, 0.1)
    return sampler.sample(
        p,
        "fixed_small",
        ORACLE.network(p),
        schedule.start_scale * initial(seeds, SHAPE),
        lambda step: step_noise(seeds, step, SHAPE),
        lambda step: step_noise(seeds, step, SHAPE, purpose=Purpose.RESAMPLE),
    )


@pytest.mark.parametrize("name", ["linear", "geometric_ve"])
def test_corrections_bring_the_variance_nearer(schedule_of, sampler_of, name):
    """Of 40 coarse ancestral steps with the small variance, which alone give too little."""
    schedule, seeds = schedule_of(name), range(20)
    corrected = run(schedule, seeds)
    assert corrected.dtype == np.float32
    assert corrected.mean() == pytest.approx(0.3, abs=0.02)
    assert abs(corrected.var() - 0.25) < abs(run(schedule, seeds, 1).var() - 0.25) < 0.1


def test_image_does_not_depend_on_its_neighbours(schedule_of):
    schedule = schedule_of("linear")
    assert (run(schedule, [3, 4])[1:] == run(schedule, [4])).all()


@pytest.mark.parametrize("name", ["linear", "geometric_ve"])
def test_result_does_not_depend_on_what_the_network_predicts(schedule_of, name):
    one, two = (run(schedule_of(name), [3], target=target) for target in ("x0", "eps"))
    assert two == pytest.approx(one, abs=1e-3)


def test_it_has_no_plan_and_says_so_by_name(schedule_of):
    sampler = AdaptiveLangevin(40, "trailing", "none", "adaptive_langevin", 1, 0.16)
    with pytest.raises(ParamsError, match=r"adaptive_langevin: .* cannot be exported; take predictor_corrector"):
        sampler.plan(schedule_of("linear"), "fixed_small")
    with pytest.raises(ParamsError, match=r"corrections: must be at least 1.*snr: must be above 0"):
        AdaptiveLangevin(40, "trailing", "none", "adaptive_langevin", 0, 0.0)
