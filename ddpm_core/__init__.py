"""Diffusion models as tables of floats: schedules, parameterisations, samplers and losses, without a framework.

The numbers room (diffusion, samplers, metrics, gate, the format of a bundle) needs numpy alone; the torch room
(tensors, models, objectives, likelihood, training, a bundle's export) needs torch.

    import ddpm_core as d
    schedule = d.Cosine(kind="cosine", T=1000, s=0.008, beta_max=0.999, zero_terminal_snr=False).build()
    plan, x_T = d.named("dpmpp_2m", steps=20, base=None).plan(schedule, "fixed_small"), d.initial(seeds, shape)
    x = d.generate(plan, d.Parameterisation("v", schedule), denoise, x_T, noise, bound=d.clip_to((-1.0, 1.0)))

The public names are the imports of `ddpm_core.api` and, where torch is needed, of `ddpm_core.torch_api`, and nowhere
else. An editor and a type checker follow them there; at run time the module is loaded when a name is first asked for.
So `import ddpm_core` does not even load numpy, and only a name of TORCH_NAMES loads torch; `import *` leaves those out.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

TORCH_NAMES = (
    "Batch",
    "DiffusionObjective",
    "Process",
    "bind",
    "bind_guided",
    "bound",
    "estimate_x0_variance",
    "first_step",
    "ode_levels",
    "ode_log_likelihood",
)

if TYPE_CHECKING:
    from ddpm_core.api import *  # noqa: F403
    from ddpm_core.torch_api import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        if name != "__all__" and name.startswith("_"):
            raise AttributeError(name)
        if name in TORCH_NAMES:
            return getattr(import_module("ddpm_core.torch_api"), name)
        found = vars(import_module("ddpm_core.api")).items()
        names = {key: value for key, value in found if not (key.startswith("_") or isinstance(value, ModuleType))}
        if name == "__all__":
            return sorted(names)
        if name not in names:
            raise AttributeError(f"ddpm_core has no {name!r}; it has {', '.join(sorted([*names, *TORCH_NAMES]))}")
        return names[name]

    def __dir__() -> list[str]:
        return sorted([*__getattr__("__all__"), *TORCH_NAMES])
