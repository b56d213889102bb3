"""The parameters of the transformer of transformer.py; without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.base import NetworkConfig, check_classes_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.transformer import Transformer


@dataclass(frozen=True)
class TransformerConfig(NetworkConfig):
    """The diffusion transformer (DiT) of Peebles & Xie 2023, with adaLN-Zero, for pictures of any size.

    Cost: about 12 depth width^2 multiplications a patch, and 2 depth width more for every patch that it attends to.
    """

    kind: Literal["transformer"]
    patch: int
    width: int
    depth: int
    heads: int
    expansion: int
    dropout: float
    refine: int

    __checks__: ClassVar[Checks] = {
        "patch": at_least_1,
        "width": (lambda v: v >= 4 and v % 4 == 0, "a multiple of 4"),
        "depth": at_least_1,
        "heads": at_least_1,
        "expansion": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "refine": (lambda v: v >= 0, "0 or more"),
    }

    def faults(self) -> list[str]:
        if self.width % self.heads:
            return [f"heads: must divide width, got heads={self.heads}, width={self.width}"]
        return []

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """An older version had no `refine`, which is 0."""
        return {"refine": 0, **kept}

    def check(self, spec: DataSpec) -> None:
        """Requires pictures whose sides are multiples of `patch`, with classes or no condition."""
        check_classes_alone(spec, self.kind)
        if len(spec.shape) != 3:
            raise DataError(
                f"model.kind: transformer takes pictures of shape (channels, height, width), got {tuple(spec.shape)}"
            )
        common = gcd(*spec.shape[1:])
        if common % self.patch:
            allowed = ", ".join(str(side) for side in range(1, common + 1) if common % side == 0)
            raise ParamsError(
                f"model.patch: must divide both sides of pictures of {spec.shape[1]} x {spec.shape[2]}, "
                f"got {self.patch}; allowed: {allowed}"
            )

    def build(self, spec: DataSpec, learned_variance: bool) -> "Transformer":
        from ddpm_core.models.transformer import Transformer

        self.check(spec)
        channels, height, width = spec.shape
        attributes = {name: len(each.classes) for name, each in spec.attributes.items()}
        return Transformer(self, (channels, height, width), len(spec.classes), learned_variance, attributes)
