"""What the pipeline asks of an objective's configuration, which loads without torch."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ddpm_core.checks import Config
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.objectives.base import Objective
    from ddpm_core.objectives.batch import LabelDropout


class BaseObjectiveConfig(Config, ABC):
    """Base of every objective's configuration, which has a Literal `kind` and the keys of section `diffusion`.

    Among these are `target` and `variance`: a bundle samples by them and by the parameterisation.
    """

    @property
    def learned_variance(self) -> bool:
        """Whether the network has twice the channels."""
        return False

    @abstractmethod
    def parameterisation(self) -> Parameterisation:
        """The target on the built schedule."""

    @abstractmethod
    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "Objective":
        """What a training minimises; torch is imported here."""

    def build_held_out(self, spec: DataSpec) -> "Objective":
        """The loss by which the steps of a training are compared, on data held out: with every label shown."""
        return self.build(spec, None)
