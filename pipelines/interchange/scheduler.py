"""diffusers' scheduler configurations: what they say of the process, as section `diffusion`, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.parameterisation import Target
from ddpm_core.diffusion.plan import Bound
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import Cosine, Linear, Quadratic, ScheduleConfig
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.errors import ParamsError
from ddpm_core.objectives.diffusion_config import DiffusionConfig

KNOWN = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
TARGETS: dict[str, Target] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCES: dict[str, VarianceName] = {
    "fixed_small": "fixed_small",
    "fixed_small_log": "fixed_small",
    "fixed_large": "fixed_large",
    "learned_range": "learned",
}
_NEAR = 1e-6


def chosen(known: Mapping[Any, Any], value: Any, key: str) -> Any:
    """The value in a table, or a ParamsError that names the key."""
    if value not in known:
        raise ParamsError(f"{key}: must be one of {', '.join(map(str, known))} to be imported, got {value!r}")
    return known[value]


def process_of(scheduler: Mapping[str, Any], file: str) -> tuple[DiffusionConfig, Bound]:
    """Schedule, target and variance of a scheduler's configuration, and how it clamps x0_hat."""
    kind = scheduler.get("_class_name")
    if kind not in KNOWN:
        raise ParamsError(f"{file}: _class_name must be one of {', '.join(KNOWN)} to be imported, got {kind!r}")
    config = diffusion_config(
        _schedule(scheduler, file),
        chosen(TARGETS, scheduler.get("prediction_type", "epsilon"), f"{file}: prediction_type"),
        chosen(VARIANCES, scheduler.get("variance_type") or "fixed_small", f"{file}: variance_type"),
    )
    config.parameterisation()  # refuses a target that does not fit the schedule
    return config, _bound(scheduler, file)


def diffusion_config(schedule: ScheduleConfig, target: Target, variance: VarianceName) -> DiffusionConfig:
    """Section `diffusion` of an imported model; what counts in training alone has its usual values."""
    return DiffusionConfig(
        "diffusion", schedule, target, variance, Simple("simple"), Uniform("uniform", stratified=True), 0.001
    )


def _schedule(scheduler: Mapping[str, Any], file: str) -> ScheduleConfig:
    if scheduler.get("trained_betas") is not None:
        raise ParamsError(f"{file}: trained_betas must be null to be imported, got a list; name its beta_schedule")
    T, to_zero = int(scheduler.get("num_train_timesteps", 1000)), bool(scheduler.get("rescale_betas_zero_snr", False))
    start, end = float(scheduler.get("beta_start", 1e-4)), float(scheduler.get("beta_end", 0.02))
    name = scheduler.get("beta_schedule", "linear")
    schedules: dict[str, ScheduleConfig] = {
        "linear": Linear("linear", T, start, end, scale_ends=False, zero_terminal_snr=to_zero),
        "scaled_linear": Quadratic("quadratic", T, start, end, scale_ends=False, zero_terminal_snr=to_zero),
        "squaredcos_cap_v2": Cosine("cosine", T, 0.008, 0.999, zero_terminal_snr=to_zero),
    }
    found: ScheduleConfig = chosen(schedules, name, f"{file}: beta_schedule")
    return found


def _bound(scheduler: Mapping[str, Any], file: str) -> Bound:
    if scheduler.get("thresholding"):
        return "dynamic"
    if not scheduler.get("clip_sample", scheduler["_class_name"] in ("DDPMScheduler", "DDIMScheduler")):
        return "none"
    if scheduler.get("clip_sample_range", 1.0) != 1.0:
        raise ParamsError(
            f"{file}: clip_sample_range must be 1.0, the range of the data, got {scheduler['clip_sample_range']}"
        )
    return "clip"


def scheduler_of(bundle: Bundle) -> dict[str, Any]:
    """The configuration of a DDPMScheduler for a bundle; a schedule without a name there goes as its betas."""
    schedule, targets = bundle.schedule, {ours: theirs for theirs, ours in TARGETS.items()}
    if schedule.process != "vp" or not np.array_equal(schedule.time, np.arange(schedule.T + 1)):
        raise ParamsError(
            f"schedule: must be a vp process told by its level's number to go to diffusers, got {schedule.process} "
            f"with times up to {schedule.time[-1]:g} of {schedule.T} levels"
        )
    if bundle.target not in targets:
        raise ParamsError(f"target: must be one of {', '.join(targets)} to go to diffusers, got {bundle.target}")
    sampler = bundle.sample["sampler"]
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": schedule.T,
        **_betas(schedule),
        "prediction_type": targets[bundle.target],
        "variance_type": {"learned": "learned_range"}.get(bundle.variance, bundle.variance),
        "clip_sample": sampler["bound"] == "clip",
        "clip_sample_range": 1.0,
        "thresholding": sampler["bound"] == "dynamic",
        "timestep_spacing": "trailing",
        "steps_offset": 0,
        "rescale_betas_zero_snr": False,
    }


def _betas(schedule: Schedule) -> dict[str, Any]:
    beta, T = schedule.beta[1:], schedule.T
    start, end = float(beta[0]), float(beta[-1])
    cosine = Cosine("cosine", T, 0.008, 0.999, zero_terminal_snr=False).build().beta[1:]
    named = {
        "linear": np.linspace(start, end, T),
        "scaled_linear": np.linspace(start**0.5, end**0.5, T) ** 2,
        "squaredcos_cap_v2": cosine,
    }
    for name, values in named.items():
        if np.abs(values - beta).max() < _NEAR:
            return {"beta_schedule": name, "beta_start": start, "beta_end": end, "trained_betas": None}
    return {"beta_schedule": "linear", "beta_start": start, "beta_end": end, "trained_betas": beta.tolist()}
