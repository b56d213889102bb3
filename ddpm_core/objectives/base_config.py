"""The interface of an objective's configuration, which loads without torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from ddpm_core.bundle.student import Student
from ddpm_core.checks import Config
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn

    from ddpm_core.likelihood.nll import Data
    from ddpm_core.likelihood.nll_tables import BoundTable
    from ddpm_core.objectives.base import Objective
    from ddpm_core.objectives.batch import LabelDropout


class BaseObjectiveConfig(Config, ABC):
    """Base of every objective's configuration. A subclass has a Literal `kind` and the keys of section `diffusion`.

    It also has `target` and `variance`, which a bundle needs for sampling: keys of the section, or constants.
    """

    needs_autoencoder: ClassVar[bool] = False
    """Whether it trains networks with `encode` and `decode` (`is_autoencoder`), and no other."""

    @property
    def learned_variance(self) -> bool:
        """Whether the network has twice the channels."""
        return False

    @property
    def levels(self) -> int:
        """The number of levels of noise, T."""
        return self.parameterisation().schedule.T

    @abstractmethod
    def parameterisation(self) -> Parameterisation:
        """The target on the schedule."""

    @abstractmethod
    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "Objective":
        """The objective of a training; imports torch."""

    def student(self) -> Student | None:
        """What the bundle of a student says of it."""
        return None

    def build_held_out(self, spec: DataSpec) -> "Objective":
        """The objective for held-out data, by which a training compares its steps: without condition dropout."""
        return self.build(spec, None)

    def bound(
        self, net: "nn.Module", data: "Data", *, levels: int | None, seed: int, on_call: Callable[[], None]
    ) -> "BoundTable":
        """The variational bound of data under a trained network, in bits per dimension.

        It takes `bound_calls(data, T, levels)` evaluations of the network, and calls `on_call` after each.
        """
        raise ParamsError(f"diffusion.kind: {type(self).__name__} has no bound of a likelihood; measure it otherwise")
