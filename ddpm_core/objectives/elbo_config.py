"""Section `diffusion` with `kind: elbo`: a variational autoencoder, which samples in one evaluation of its decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedules import noise_alone
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn

    from ddpm_core.likelihood.nll import Data
    from ddpm_core.likelihood.nll_tables import BoundTable
    from ddpm_core.objectives.batch import LabelDropout
    from ddpm_core.objectives.elbo import ElboObjective

Likelihood = Literal["normal", "logistic"]


@dataclass(frozen=True)
class ElboConfig(BaseObjectiveConfig):
    """The evidence lower bound of Kingma & Welling 2014, for a variational autoencoder.

    `likelihood` is the distribution p(x | z) around its mean. Of data with levels it is the probability of the level,
    else a density.
    """

    kind: Literal["elbo"]
    likelihood: Likelihood

    needs_autoencoder: ClassVar[bool] = True
    target: ClassVar[Target] = "x0"
    variance: ClassVar[VarianceName] = "fixed_small"

    def parameterisation(self) -> Parameterisation:
        """x_0 from noise without signal."""
        return Parameterisation(self.target, noise_alone())

    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "ElboObjective":
        from ddpm_core.objectives.elbo import ElboObjective

        return ElboObjective(self.likelihood, spec, dropout)

    def bound(
        self, net: "nn.Module", data: "Data", *, levels: int | None, seed: int, on_call: Callable[[], None]
    ) -> "BoundTable":
        from ddpm_core.objectives.elbo import elbo_table

        return elbo_table(net, self.likelihood, data, seed=seed, on_call=on_call)
