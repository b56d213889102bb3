"""Section `diffusion`: the process, what the network predicts, and how its errors are weighted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, not_negative
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedules import ScheduleConfig
from ddpm_core.diffusion.time_law import TimeLawConfig, Uniform
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.diffusion.weighting import WeightingConfig
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn

    from ddpm_core.likelihood.nll import Data
    from ddpm_core.likelihood.nll_tables import BoundTable
    from ddpm_core.objectives.batch import LabelDropout
    from ddpm_core.objectives.diffusion import DiffusionObjective


@dataclass(frozen=True)
class DiffusionConfig(BaseObjectiveConfig):
    """The weighted error of the network's output at a level of noise (Ho et al. 2020).

    `vlb_weight` is the weight of the bound in L_hybrid (0.001 in Nichol & Dhariwal 2021), for a learned variance.
    """

    kind: Literal["diffusion"]
    schedule: ScheduleConfig
    target: Target
    variance: VarianceName
    weighting: WeightingConfig
    time_law: TimeLawConfig
    vlb_weight: float
    __checks__: ClassVar[Checks] = {"vlb_weight": not_negative}

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """An older version had no `kind`: this was the only objective."""
        return {"kind": "diffusion", **kept}

    @property
    def learned_variance(self) -> bool:
        return self.variance == "learned"

    @property
    def levels(self) -> int:
        return self.schedule.T

    def parameterisation(self) -> Parameterisation:
        return Parameterisation(self.target, self.schedule.build())

    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "DiffusionObjective":
        from ddpm_core.objectives.diffusion import build_objective

        return build_objective(self, spec, dropout)

    def build_held_out(self, spec: DataSpec) -> "DiffusionObjective":
        """With even levels, whatever the training's time law."""
        return replace(self, time_law=Uniform("uniform", stratified=True)).build(spec, None)

    def bound(
        self, net: "nn.Module", data: "Data", *, levels: int | None, seed: int, on_call: Callable[[], None]
    ) -> "BoundTable":
        from ddpm_core.likelihood.nll import bound_table

        return bound_table(net, self.parameterisation(), self.variance, data, levels=levels, seed=seed, on_call=on_call)
