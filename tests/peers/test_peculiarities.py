"""Where diffusers 0.42 differs from us: each test states in what exactly, so that neither can change unseen.

Defects of the peer, as far as we see: noise on the finished picture (fixed_large, learned_range), NaN
(fixed_large_log), steps that land elsewhere than the next one starts (DDIM, linspace), no noise at the first levels
(bfloat16), float32 before a difference is taken, a third order that is a second (DPM-Solver++ 3M). Other conventions:
what follows a clip, the cap of dynamic thresholding, Heun on a steep schedule, the order of the last step but
one.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.editing import chain, take
from ddpm_core.diffusion.generate import begin, generate, step_once
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import Linear, Sigmoid
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.ddim import Ddim
from ddpm_core.samplers.dpmpp_3m import Dpmpp3m
from ddpm_core.samplers.heun import Heun
from ddpm_core.tensors.process import Process
from tests.ddpm_core.samplers.test_orders import even_in_lambda
from tests.peers.peer import peer
from tests.peers.sampling import (
    EXACT,
    PREDICTION,
    SCHEDULES,
    assert_agree,
    assert_same_pictures,
    difference,
    in_float64,
    levels_of,
    network,
    ours,
    theirs,
    unit_noise,
)

diffusers = peer("diffusers")

LINEAR, COSINE = SCHEDULES["linear"], SCHEDULES["squaredcos_cap_v2"]


@pytest.mark.parametrize("variance", ["fixed_large", "learned_range"])
def test_ddpm_adds_noise_to_the_finished_picture_unless_its_last_timestep_is_0(variance: str) -> None:
    scheduler = diffusers.DDPMScheduler(variance_type=variance, timestep_spacing="trailing", clip_sample=True)
    in_float64(scheduler, LINEAR, 20)
    last = int(scheduler.timesteps[-1])
    assert last == 49
    x, z = unit_noise(1), unit_noise(2)
    net = network("eps", LINEAR)
    answer = net(x, last + 1)
    if variance == "learned_range":
        answer = torch.cat([answer, torch.ones_like(x)], dim=1)  # all of it beta_{t|s}
    found = scheduler.step(answer, last, x, generator=torch.Generator().manual_seed(2)).prev_sample
    plan = Ancestral(1, "leading", "clip", "ancestral").over([last + 1, 0], LINEAR, "fixed_small")
    clean = ours(plan, LINEAR, "eps", net, x)
    assert_agree(found - clean, float(LINEAR.beta_between(0, last + 1)) ** 0.5 * z, 1e-6)
    assert not plan.needs_noise


def test_ddpm_with_fixed_large_log_gives_no_numbers() -> None:
    # The root is taken of ln(beta), which is below zero.
    scheduler = diffusers.DDPMScheduler(variance_type="fixed_large_log")
    x = unit_noise(1)
    assert scheduler.step(0.1 * x, 500, x).prev_sample.isnan().all()


def test_ddim_on_linspace_lands_elsewhere_than_the_next_step_starts() -> None:
    # The step's end is taken T // steps below its start, whatever the next timestep is.
    scheduler = diffusers.DDIMScheduler(timestep_spacing="linspace", clip_sample=False)
    in_float64(scheduler, LINEAR, 10)
    levels = levels_of(scheduler)
    start, end = levels[5:7]
    assert (start, end) == (445, 334)
    net, x = network("eps", LINEAR), unit_noise(1)
    found = scheduler.step(net(x, start), start - 1, x).prev_sample

    def landing_at(level: int) -> torch.Tensor:
        plan = Ddim(1, "leading", "none", "ddim", 0.0).over([start, level], LINEAR, "fixed_small")
        return ours(plan, LINEAR, "eps", net, x)

    assert_agree(found, landing_at(start - 100), EXACT)
    assert difference(found, landing_at(end)) > 3e-3


def test_add_noise_in_bfloat16_leaves_the_first_ten_levels_without_noise() -> None:
    # alpha_bar is rounded to bfloat16 first, in which 0.998 is 1. Ours looks it up in float64.
    scheduler = diffusers.DDPMScheduler()
    timesteps = torch.arange(12)
    zero, noise = (torch.zeros(12, 1, dtype=torch.bfloat16), torch.ones(12, 1, dtype=torch.bfloat16))
    found = scheduler.add_noise(zero, noise, timesteps)[:, 0]
    assert (found[:10] == 0).all()
    assert (found[10:] > 0).all()
    process = Process(Parameterisation("eps", LINEAR))
    levels = process.at(timesteps.numpy() + 1, zero)
    np.testing.assert_allclose(process.perturb(levels, zero, noise)[:, 0].float(), LINEAR.g[1:13], rtol=4e-3)


def test_float32_products_lose_the_noise_of_the_first_level() -> None:
    # 1 - alpha_bar is formed from a float32 alpha_bar near 1, so that 3 of 7 digits are gone.
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    noise = 1 - scheduler.alphas_cumprod.double().numpy()
    off = np.abs(noise / COSINE.g[1:] ** 2 - 1)
    assert off[0] > 1e-4
    assert off[500:].max() < 1e-6


def test_ddim_goes_on_with_the_unclipped_noise_unless_told_otherwise() -> None:
    # Ours derives the noise again from the clipped x0_hat, which the peer does with use_clipped_model_output.
    scheduler = diffusers.DDIMScheduler(clip_sample=True)
    in_float64(scheduler, LINEAR, 10)
    t, s = 901, 801
    assert levels_of(scheduler)[:2] == [t, s]
    x, eps = 3 * unit_noise(1), unit_noise(2)
    x0 = ((x - float(LINEAR.g[t]) * eps) / float(LINEAR.a[t])).clip(-1, 1)
    found = scheduler.step(eps, t - 1, x).prev_sample
    assert_agree(found, float(LINEAR.a[s]) * x0 + float(LINEAR.g[s]) * eps, EXACT)
    again = (x - float(LINEAR.a[t]) * x0) / float(LINEAR.g[t])
    told = scheduler.step(eps, t - 1, x, use_clipped_model_output=True).prev_sample
    assert_agree(told, float(LINEAR.a[s]) * x0 + float(LINEAR.g[s]) * again, EXACT)
    assert difference(found, told) > 1e-2


def test_dynamic_thresholding_is_a_clip_unless_its_cap_is_lifted() -> None:
    # sample_max_value is 1 by default, and the quantile is capped by it.
    x = 2 * unit_noise(1)
    dynamic, clip = operator("dynamic", (-1.0, 1.0)), operator("clip", (-1.0, 1.0))
    assert dynamic is not None
    assert clip is not None
    capped = diffusers.DDPMScheduler(thresholding=True)
    assert_agree(capped._threshold_sample(x), clip(x), EXACT)
    lifted = diffusers.DDPMScheduler(thresholding=True, sample_max_value=1e6)
    assert_agree(lifted._threshold_sample(x), dynamic(x), EXACT)
    assert difference(clip(x), dynamic(x)) > 0.1


def test_heun_on_a_steep_schedule_overshoots_where_ours_falls_back_to_euler() -> None:
    # Both are affine on Gaussian data: two points of x_T tell the deviation of what they make of it.
    oracle = GaussianOracle(0.3, 0.25)
    scheduler = diffusers.HeunDiscreteScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
    in_float64(scheduler, COSINE, 5)

    def net(x: torch.Tensor, level: float) -> torch.Tensor:
        a, g = float(COSINE.a[int(level)]), float(COSINE.g[int(level)])
        return (x - a * oracle.x0_hat(COSINE, x, int(level))) / g

    x_T = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    expected = theirs(scheduler, net, x_T / float(COSINE.a[-1]))
    plan = Heun(5, "leading", "none", "heun").over(levels_of(scheduler), COSINE, "fixed_small")
    found = ours(plan, COSINE, "eps", net, x_T)
    assert float(expected[1] - expected[0]) ** 2 > 1000
    assert 0.1 < float(found[1] - found[0]) ** 2 < 0.5


def with_half_the_bend(plan: SamplingPlan, schedule: Schedule) -> SamplingPlan:
    """DPM-Solver++ 3M as it is in the peer, which takes the second divided difference for D'': it is half of it."""
    weights = np.zeros((3, len(plan)))
    lam = [float(schedule.lam[t]) for t in plan.t]
    for i in np.flatnonzero(plan.past_D[:, 1]) if plan.memory > 1 else ():
        h = float(schedule.lam[plan.s[i]]) - lam[i]
        p, q = (lam[i - 1] - lam[i]) / h, (lam[i - 2] - lam[i]) / h
        square = 1 - 2 / h * (1 + np.expm1(-h) / h)  # of v under h e^(h (v - 1)), over v = 0..1
        difference_of = np.array([1 / (p * q), 1 / (p * (p - q)), 1 / (q * (q - p))])
        weights[:, i] = 0.5 * schedule.a[plan.s[i]] * square * difference_of
    past_D = np.pad(plan.past_D, ((0, 0), (0, 2)))[:, :2] - weights[1:].T
    return replace(plan, c_D=plan.c_D - weights[0], past_D=past_D)


def third_order(steps: int, prediction: str) -> Any:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_order=3, prediction_type=prediction, timestep_spacing="trailing", final_sigmas_type="zero"
    )
    return in_float64(scheduler, LINEAR, steps)


@pytest.mark.parametrize("prediction", list(PREDICTION))
@pytest.mark.parametrize("steps", [3, 4, 9, 14])
def test_third_order_of_dpm_solver_takes_half_the_bend_of_ours(prediction: str, steps: int) -> None:
    scheduler = third_order(steps, prediction)
    plan = Dpmpp3m(steps, "leading", "none", "dpmpp_3m").over(levels_of(scheduler), LINEAR, "fixed_small")
    assert_same_pictures(with_half_the_bend(plan, LINEAR), scheduler, LINEAR, PREDICTION[prediction])
    if steps > 4:
        again = third_order(steps, prediction)
        with pytest.raises(AssertionError, match="relative difference"):
            assert_same_pictures(plan, again, LINEAR, PREDICTION[prediction], within=1e-3)


@pytest.mark.parametrize("process", ["vp", "flow"])
def test_with_half_the_bend_the_order_is_2_and_not_3(process: str) -> None:
    # Twice the steps: an error 8 times smaller with the whole bend, 4 times with half of it.
    oracle, errors = GaussianOracle(0.3, 0.25), np.zeros((2, 2))
    for column, steps in enumerate((640, 1280)):
        schedule = even_in_lambda(steps + 1, process, (6 / steps) ** 1.5)
        p = Parameterisation("x0", schedule)
        whole = Dpmpp3m(1, "leading", "none", "dpmpp_3m").over(range(schedule.T, 0, -1), schedule, "fixed_small")
        x = np.array([[-1.0], [0.4], [1.5]])
        exact = oracle.flow(schedule, x, schedule.T, 1)
        for row, plan in enumerate((whole, with_half_the_bend(whole, schedule))):
            found = generate(plan, p, oracle.network(p), x, unit_noise)
            errors[row, column] = np.abs(found - exact).max()
    assert np.log2(errors[:, 0] / errors[:, 1]) == pytest.approx([3, 2], abs=0.15)


@pytest.mark.parametrize("prediction", list(PREDICTION))
def test_from_15_steps_on_the_last_but_one_is_of_third_order_too(prediction: str) -> None:
    # Ours is of second order there whatever the number of steps.
    scheduler = third_order(20, prediction)
    sampler, levels = Dpmpp3m(20, "leading", "none", "dpmpp_3m"), levels_of(scheduler)
    whole = sampler.over(levels, LINEAR, "fixed_small")
    to_the_last = with_half_the_bend(sampler.over(levels[:-1], LINEAR, "fixed_small"), LINEAR)
    as_theirs = chain([to_the_last, take(whole, slice(-1, None))])
    assert (as_theirs.past_D[:, 1] != 0).sum() == (whole.past_D[:, 1] != 0).sum() + 1
    assert_same_pictures(as_theirs, scheduler, LINEAR, PREDICTION[prediction])


def test_few_levels_keep_signal_unless_the_ends_are_scaled() -> None:
    # The peer trains 100 levels of betas made for 1,000, and samples from noise that is none. Ours refuses.
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=100)
    assert float(scheduler.alphas_cumprod[-1]) == pytest.approx(0.3636, abs=1e-4)
    with pytest.raises(ParamsError, match="a schedule must end in noise"):
        Linear("linear", 100, 1e-4, 0.02, False, False).build()


def test_a_schedule_of_the_same_name_is_another() -> None:
    # `sigmoid` is a sigmoid of beta there (GeoDiff), of alpha_bar here (Chen 2023).
    schedule: Schedule = Sigmoid("sigmoid", 1000, -3.0, 3.0, 1.0, 1e-9, False).build()
    scheduler = diffusers.DDPMScheduler(beta_schedule="sigmoid")
    assert np.abs(scheduler.alphas_cumprod.numpy() - schedule.alpha_bar[1:]).max() > 0.2
    expected = torch.sigmoid(torch.linspace(-6, 6, 1000)) * (0.02 - 1e-4) + 1e-4
    np.testing.assert_allclose(scheduler.betas, expected, rtol=1e-6)


def test_a_row_of_ours_can_be_stepped_alone() -> None:
    # What the peer calls `step` is `step_once`: the same state in, the same state out.
    plan = Ddim(1, "leading", "none", "ddim", 0.0).over([500, 400], LINEAR, "fixed_small")
    net, x = network("eps", LINEAR), unit_noise(1)
    (row,) = plan.rows(Parameterisation("eps", LINEAR))
    stepped = step_once(row, begin(x), lambda x_in, time: net(x_in, float(time[0])), unit_noise)
    assert torch.equal(stepped.x, ours(plan, LINEAR, "eps", net, x))
