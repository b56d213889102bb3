"""The interface of a network's configuration, which loads without torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from ddpm_core.checks import Config
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.procedure import Rollout
from ddpm_core.spec import LABEL, DataSpec, attribute_key

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkConfig(Config, ABC):
    """Base of every network's configuration. A subclass has a Literal `kind` and the keys of section `model`."""

    is_autoencoder: ClassVar[bool] = False
    """Whether it has `encode` and `decode` beside what samples, as objective `elbo` needs."""

    compiles: ClassVar[bool] = True
    """Whether `torch.compile` covers a training step: not what is called beside `forward`, nor recurrent layers."""

    def check(self, spec: DataSpec) -> None:
        """Refuse data that this network cannot take."""

    def resolved(self, spec: DataSpec, examples: Callable[[], NDArray[Any]]) -> tuple[Self, str | None]:
        """The configuration without `auto`, and the reason for the choice; `examples` gives training data."""
        return self, None

    def procedure(self, spec: DataSpec) -> Rollout | None:
        """How the network is sampled; None: in one loop. The network's attribute `procedure` says the same."""
        return None

    @abstractmethod
    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        """`net(x_t, t, **cond)` with the conditions of the spec and initial weights; imports torch.

        The weights come from torch's global generator. A learned variance needs twice the channels of the data.
        """

    def exported(self, net: "nn.Module") -> "nn.Module":
        """The part of a network that makes samples, which is all that a bundle has."""
        return net


def class_tensor(name: str) -> str:
    """The weights of a network that embed the classes of a condition, by the name of the condition."""
    return f"{LABEL}.weight" if name == LABEL else f"attributes.{attribute_key(name)}.weight"


def check_classes_alone(spec: DataSpec, network: str) -> None:
    """Refuse conditions that are no classes."""
    others = sorted(name for name, condition in spec.conditions.items() if not condition.classes)
    if others:
        raise ParamsError(f"model.kind: {network} is told classes or nothing; got {others}, which are none")


def check_label_alone(spec: DataSpec, network: str) -> None:
    """Refuse conditions other than a class named `label`."""
    others = sorted(set(spec.conditions) - {LABEL})
    if others or (LABEL in spec.conditions and not spec.classes):
        raise ParamsError(
            f"model.kind: {network} is told classes, as the condition `{LABEL}`, or nothing; got {others or LABEL}"
        )


def check_halved(spec: DataSpec, network: str, halvings: int, key: str) -> None:
    """Refuse data that are no pictures, or whose sides a network cannot halve so often; `key` tells how often."""
    if len(spec.shape) != 3:
        raise DataError(f"model.kind: {network} takes pictures (channels, height, width), got {spec.shape}")
    stride = 2**halvings
    if any(side % stride for side in spec.shape[1:]):
        raise ParamsError(
            f"model: height and width must be multiples of {stride} (halved {halvings} times), got {spec.shape[1]} x "
            f"{spec.shape[2]}; resize the pictures, or give fewer model.{key}"
        )
