"""What the pipeline asks of a network's configuration, which loads without torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from ddpm_core.checks import Config
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkConfig(Config, ABC):
    """Base of every network's configuration, which has besides a Literal `kind` and the keys of section `model`."""

    def check(self, spec: DataSpec) -> None:
        """Refuse data that this network cannot take."""

    def resolved(self, spec: DataSpec, examples: Callable[[], NDArray[Any]]) -> tuple[Self, str | None]:
        """The same without `auto`, and why it came to what it did; `examples`: data of training, if it must look."""
        return self, None

    @abstractmethod
    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        """`net(x_t, t, **cond)`, told the conditions of the spec; torch, imported here, draws its first weights.

        They come from torch's global generator. A learned variance takes twice the channels of the data.
        """
