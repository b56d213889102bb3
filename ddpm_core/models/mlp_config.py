"""The parameters of the residual multilayer perceptron of mlp.py, for data of a few numbers; without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.models.base import NetworkConfig, check_label_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.mlp import MLP


@dataclass(frozen=True)
class MLPConfig(NetworkConfig):
    """Residual blocks of two linear layers each, to which the embedding of time and label is added.

    It takes data of any shape and sees them as one vector. Cost: about 2 blocks width^2 multiplications a datum.
    """

    kind: Literal["mlp"]
    width: int
    blocks: int
    dropout: float

    __checks__: ClassVar[Checks] = {
        "width": (lambda v: v >= 4 and v % 2 == 0, "an even number of at least 4"),
        "blocks": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def check(self, spec: DataSpec) -> None:
        """Data of any shape, with a label or no condition."""
        check_label_alone(spec, self.kind)

    def build(self, spec: DataSpec, learned_variance: bool) -> "MLP":
        from ddpm_core.models.mlp import MLP

        self.check(spec)
        return MLP(self, spec.shape, len(spec.classes), learned_variance)
