"""Section `diffusion`: the process, what the network predicts of it, and how its errors are weighed."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, Config, not_negative
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedule import ScheduleConfig
from ddpm_core.diffusion.time_law import TimeLawConfig
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.diffusion.weighting import WeightingConfig


@dataclass(frozen=True)
class DiffusionConfig(Config):
    """`vlb_weight` is L_hybrid's share of the bound (0.001 in Nichol & Dhariwal 2021), for a learned variance."""

    schedule: ScheduleConfig
    target: Target
    variance: VarianceName
    weighting: WeightingConfig
    time_law: TimeLawConfig
    vlb_weight: float
    __checks__: ClassVar[Checks] = {"vlb_weight": not_negative}

    @property
    def learned_variance(self) -> bool:
        """Whether the network has twice the channels."""
        return self.variance == "learned"

    def parameterisation(self) -> Parameterisation:
        """The target on the built schedule."""
        return Parameterisation(self.target, self.schedule.build())
