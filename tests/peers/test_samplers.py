"""Our plans against diffusers' schedulers: the same levels, network, x_T and noise give the same pictures."""

import pytest
import torch

from ddpm_core.diffusion.schedules import Edm, RectifiedFlow
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.ddim import Ddim
from ddpm_core.samplers.dpmpp import Dpmpp1, Dpmpp2m, Dpmpp2s
from ddpm_core.samplers.euler import Euler
from ddpm_core.samplers.heun import Heun
from ddpm_core.samplers.unipc import Unipc2
from tests.peers import sampling
from tests.peers.peer import peer
from tests.peers.sampling import EXACT, PREDICTION, SCHEDULES, assert_same_pictures, in_float64, levels_of, seeded

diffusers = peer("diffusers")

predictions = pytest.mark.parametrize("prediction", list(PREDICTION))
schedules = pytest.mark.parametrize("name", list(SCHEDULES))


@schedules
@predictions
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize(("spacing", "steps"), [("leading", 1000), ("linspace", 10)])
def test_ddpm_is_our_ancestral_sampler(
    name: str, prediction: str, variance: Variance, spacing: str, steps: int
) -> None:
    schedule = SCHEDULES[name]
    scheduler = diffusers.DDPMScheduler(
        beta_schedule=name,
        prediction_type=prediction,
        variance_type=variance,
        timestep_spacing=spacing,
        clip_sample=True,
    )
    in_float64(scheduler, schedule, steps)
    plan = Ancestral(steps, "leading", "clip", "ancestral").over(levels_of(scheduler), schedule, variance)
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction], within=EXACT, generator=seeded())


@schedules
def test_ddpm_with_a_learned_variance_is_our_learned_variance(name: str) -> None:
    schedule = SCHEDULES[name]
    scheduler = diffusers.DDPMScheduler(
        beta_schedule=name, prediction_type="v_prediction", variance_type="learned_range", timestep_spacing="leading"
    )
    in_float64(scheduler, schedule, 20)
    plain = sampling.network("v", schedule)

    def net(x: torch.Tensor, level: float) -> torch.Tensor:
        return torch.cat([plain(x, level), torch.sin(5 * x)], dim=1)

    plan = Ancestral(20, "leading", "clip", "ancestral").over(levels_of(scheduler), schedule, "learned")
    assert_same_pictures(plan, scheduler, schedule, "v", net=net, within=EXACT, generator=seeded())


@schedules
@predictions
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("spacing", "steps"), [("leading", 50), ("trailing", 10)])
def test_ddim(name: str, prediction: str, eta: float, spacing: str, steps: int) -> None:
    schedule = SCHEDULES[name]
    scheduler = diffusers.DDIMScheduler(
        beta_schedule=name, prediction_type=prediction, timestep_spacing=spacing, clip_sample=True
    )
    in_float64(scheduler, schedule, steps)
    plan = Ddim(steps, "leading", "clip", "ddim", eta).over(levels_of(scheduler), schedule, "fixed_small")
    as_ours = {"eta": eta, "use_clipped_model_output": True, "generator": seeded()}
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction], within=EXACT, **as_ours)


@predictions
@pytest.mark.parametrize("steps", [5, 12, 40])
@pytest.mark.parametrize(("order", "sampler"), [(1, Dpmpp1), (2, Dpmpp2m)])
def test_dpm_solver_multistep(prediction: str, steps: int, order: int, sampler: type) -> None:
    # Its third order is in test_peculiarities.py.
    schedule = SCHEDULES["linear"]
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_order=order, prediction_type=prediction, timestep_spacing="trailing", final_sigmas_type="zero"
    )
    in_float64(scheduler, schedule, steps)
    kind = "dpmpp_1" if order == 1 else "dpmpp_2m"
    plan = sampler(steps, "leading", "none", kind).over(levels_of(scheduler), schedule, "fixed_small")
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction])


@predictions
@pytest.mark.parametrize("steps", [4, 15])
def test_dpm_solver_singlestep_at_the_levels_of_our_2s(prediction: str, steps: int) -> None:
    # The peer takes every second of its timesteps for the middle of a step: it is given ours.
    schedule = SCHEDULES["linear"]
    plan = Dpmpp2s(steps, "log_snr", "none", "dpmpp_2s").plan(schedule, "fixed_small")
    assert plan.evaluations == 2 * steps - 1
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        solver_order=2, prediction_type=prediction, final_sigmas_type="zero", lower_order_final=True
    )
    in_float64(scheduler, schedule, timesteps=[int(t) - 1 for t in plan.t])
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction])


@schedules
@predictions
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 25])
@pytest.mark.parametrize("corrected", [True, False])
def test_unipc(name: str, prediction: str, steps: int, corrected: bool) -> None:
    # Without its corrector it is DPM-Solver++ 2M.
    schedule = SCHEDULES[name]
    scheduler = diffusers.UniPCMultistepScheduler(
        solver_order=2,
        solver_type="bh2",
        beta_schedule=name,
        prediction_type=prediction,
        timestep_spacing="trailing",
        final_sigmas_type="zero",
        disable_corrector=[] if corrected else list(range(steps)),
    )
    in_float64(scheduler, schedule, steps)
    unipc, dpmpp = Unipc2(steps, "leading", "none", "unipc_2"), Dpmpp2m(steps, "leading", "none", "dpmpp_2m")
    plan = (unipc if corrected else dpmpp).over(levels_of(scheduler), schedule, "fixed_small")
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction])


@predictions
@pytest.mark.parametrize("steps", [10, 25])
@pytest.mark.parametrize(("peer_name", "sampler"), [("EulerDiscreteScheduler", Euler), ("HeunDiscreteScheduler", Heun)])
def test_euler_and_heun(prediction: str, steps: int, peer_name: str, sampler: type) -> None:
    schedule = SCHEDULES["linear"]
    scheduler = getattr(diffusers, peer_name)(
        prediction_type=prediction, timestep_spacing="trailing", beta_start=1e-4, beta_end=0.02
    )
    in_float64(scheduler, schedule, steps)
    kind = "euler" if sampler is Euler else "heun"
    plan = sampler(steps, "leading", "none", kind).over(levels_of(scheduler), schedule, "fixed_small")
    assert plan.evaluations == len(scheduler.timesteps)
    # The peer's sample is x / a, data with noise of deviation sigma on top.
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction], their_scale=1 / float(schedule.a[-1]))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_ancestral_sampling_in_sigma_is_ours(prediction: str) -> None:
    # Karras et al.'s sigma_up is the deviation of q(x_s | x_t, x_0): an Euler step to sigma_down, then noise.
    schedule = SCHEDULES["linear"]
    scheduler = diffusers.EulerAncestralDiscreteScheduler(
        prediction_type=prediction, timestep_spacing="trailing", beta_start=1e-4, beta_end=0.02
    )
    in_float64(scheduler, schedule, 25)
    plan = Ancestral(25, "leading", "none", "ancestral").over(levels_of(scheduler), schedule, "fixed_small")
    run = {"their_scale": 1 / float(schedule.a[-1]), "generator": seeded()}
    assert_same_pictures(plan, scheduler, schedule, PREDICTION[prediction], **run)


@pytest.mark.parametrize(
    ("peer_name", "sampler", "kind"),
    [("EDMEulerScheduler", Euler, "euler"), ("EDMDPMSolverMultistepScheduler", Dpmpp2m, "dpmpp_2m")],
)
@pytest.mark.parametrize("steps", [8, 18])
def test_edm_with_its_preconditioning(peer_name: str, sampler: type, kind: str, steps: int) -> None:
    schedule = Edm("edm", steps, 0.002, 80.0, 7.0, 0.5).build()
    scheduler = getattr(diffusers, peer_name)(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    scheduler.set_timesteps(steps)
    plan = sampler(steps, "leading", "none", kind).over(range(steps, -1, -1), schedule, "fixed_small")

    def net(x: torch.Tensor, time: float) -> torch.Tensor:
        return torch.tanh(x + 0.3 * time)

    assert_same_pictures(plan, scheduler, schedule, "edm", net=net, first_level=0)


def test_rectified_flow_is_euler_along_the_straight_line() -> None:
    steps = 16
    schedule = RectifiedFlow("rectified_flow", steps).build()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[level / steps for level in range(steps, 0, -1)])
    plan = Euler(steps, "leading", "none", "euler").over(range(steps, -1, -1), schedule, "fixed_small")

    def net(x: torch.Tensor, time: float) -> torch.Tensor:
        return torch.tanh(x - 0.002 * time)

    assert_same_pictures(plan, scheduler, schedule, "flow", net=net, first_level=0)
