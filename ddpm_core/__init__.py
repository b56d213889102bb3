"""Diffusion models as tables of floats: schedules, parameterisations, samplers and losses, without a framework.

The numbers room (diffusion, samplers, metrics, gate, the format of a bundle) needs numpy alone; the torch room
(tensors, models, objectives, likelihood, training, a bundle's export) needs torch and is imported from its modules.

    import ddpm_core as d
    schedule = d.Cosine(kind="cosine", T=1000, s=0.008, beta_max=0.999, zero_terminal_snr=False).build()
    plan, x_T = d.named("dpmpp_2m", steps=20, base=None).plan(schedule, "fixed_small"), d.initial(seeds, shape)
    x = d.generate(plan, d.Parameterisation("v", schedule), denoise, x_T, noise, bound=d.clip_to((-1.0, 1.0)))

The public names are the imports of `ddpm_core.api`, and nowhere else. An editor and a type checker follow them there;
at run time that module is loaded when a name is first asked for, so that `import ddpm_core` does not even load numpy.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpm_core.api import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        if name != "__all__" and name.startswith("_"):
            raise AttributeError(name)
        found = vars(import_module("ddpm_core.api")).items()
        names = {key: value for key, value in found if not (key.startswith("_") or isinstance(value, ModuleType))}
        if name == "__all__":
            return sorted(names)
        if name not in names:
            raise AttributeError(f"ddpm_core has no {name!r}; it has {', '.join(sorted(names))}")
        return names[name]

    def __dir__() -> list[str]:
        return __getattr__("__all__")
