"""The interface of an objective's configuration, which loads without torch."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ddpm_core.checks import Config
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.objectives.base import Objective
    from ddpm_core.objectives.batch import LabelDropout


class BaseObjectiveConfig(Config, ABC):
    """Base of every objective's configuration. A subclass has a Literal `kind` and the keys of section `diffusion`.

    Among these are `target` and `variance`, which a bundle needs for sampling.
    """

    @property
    def learned_variance(self) -> bool:
        """Whether the network has twice the channels."""
        return False

    @abstractmethod
    def parameterisation(self) -> Parameterisation:
        """The target on the schedule."""

    @abstractmethod
    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "Objective":
        """The objective of a training; imports torch."""

    def build_held_out(self, spec: DataSpec) -> "Objective":
        """The objective for held-out data, by which a training compares its steps: without condition dropout."""
        return self.build(spec, None)
