"""Diffusion models as tables of floats: schedules, parameterisations, samplers and losses, without a framework.

The numbers room (diffusion, samplers, metrics) needs numpy alone; the torch room (process, denoiser, objective,
likelihood, models, training) needs torch. Names below are imported when they are first used, so `import ddpm_core`
costs nothing and never imports torch.

    import ddpm_core as d
    schedule = d.Cosine(kind="cosine", T=1000, s=0.008, beta_max=0.999, zero_terminal_snr=False).build()
    plan = d.named("dpmpp_2m", steps=20, base=None).plan(schedule, "fixed_small")
    x = d.generate(plan, d.Parameterisation("v", schedule), denoise, plan.start_scale * d.initial(seeds, shape), noise)
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "errors": ("DdpmError", "ParamsError"),
    "spec": ("DataSpec",),
    "diffusion.levels": ("Schedule",),
    "diffusion.schedule": (
        "Cosine",
        "Edm",
        "GeometricVE",
        "Linear",
        "Quadratic",
        "RectifiedFlow",
        "ScheduleConfig",
        "Sigmoid",
        "VpContinuous",
        "zero_terminal_snr",
    ),
    "diffusion.parameterisation": ("Parameterisation", "eps_of", "score_of"),
    "diffusion.plan": ("PlanBuilder", "SamplingPlan"),
    "diffusion.spacing": ("respaced", "spaced_levels"),
    "diffusion.variance": ("OptimalVariance",),
    "diffusion.weighting": ("EdmWeight", "MinSnr", "P2", "Simple", "Snr", "SoftMinSnr", "Vlb", "WeightingConfig"),
    "diffusion.time_law": ("LogNormal", "SecondMoment", "TimeLaw", "TimeLawConfig", "Uniform"),
    "diffusion.config": ("DiffusionConfig",),
    "diffusion.bounds": ("clip_to", "dynamic_threshold"),
    "diffusion.edits": ("known_region", "levels_from", "noised", "slerp", "with_resampling"),
    "diffusion.guidance": ("guided",),
    "diffusion.noise": ("initial", "step_noise"),
    "diffusion.oracle": ("GaussianOracle", "moments"),
    "diffusion.generate": ("advance", "generate", "stack", "step_once"),
    "samplers": (
        "Ancestral",
        "Ddim",
        "Dpmpp1",
        "Dpmpp2m",
        "Dpmpp2s",
        "Dpmpp3m",
        "Euler",
        "Heun",
        "HeunChurn",
        "Langevin",
        "PredictorCorrector",
        "SamplerConfig",
        "Unipc2",
    ),
    "samplers.base": ("Sampler", "add_ancestral", "add_ddim", "steps_of"),
    "samplers.inversion": ("inversion",),
    "samplers.config": ("GuidanceConfig", "SampleConfig", "named"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"ddpm_core has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"ddpm_core.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
