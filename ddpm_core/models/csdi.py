"""CSDI (Tashiro et al. 2021): windows of several columns, given some of their values and asked for the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import ParamsError
from ddpm_core.models.base import NetworkConfig
from ddpm_core.models.told import CALENDAR, OBSERVED, STATIC, TOLD
from ddpm_core.spec import LABEL, DataSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CSDIConfig(NetworkConfig):
    """Gated residual layers, each of which mixes the time steps of a column and then the columns of a time step.

    `time_layer` mixes time steps by attention, as CSDI does, or by the state space model S4D, as SSSD does with S4
    (Lopez Alcaraz & Strodthoff 2022). Cost: about 16 layers channels^2 multiplications a value, 12 with S4D.
    """

    kind: Literal["csdi"]
    time_layer: Literal["attention", "s4d"]
    channels: int
    layers: int
    heads: int
    states: int
    dropout: float

    __checks__: ClassVar[Checks] = {
        "channels": (lambda v: v >= 4 and v % 2 == 0, "an even number of at least 4"),
        "layers": at_least_1,
        "heads": at_least_1,
        "states": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def faults(self) -> list[str]:
        divides = self.channels % self.heads == 0
        return [] if divides else [f"heads: must divide the {self.channels} channels, got {self.heads}"]

    def check(self, spec: DataSpec) -> None:
        """Windows [columns, steps] with `observed` and `told` of their shape; `calendar`, `static`, `label` as well."""
        if len(spec.shape) != 2:
            raise ParamsError(f"model: csdi takes windows of the shape (columns, time steps), got {spec.shape}")
        wrong = sorted(set(spec.conditions) - {OBSERVED, TOLD, CALENDAR, STATIC, LABEL})
        shapes = {name: each.shape for name, each in spec.conditions.items()}
        wrong += [name for name in (OBSERVED, TOLD) if shapes.get(name) != spec.shape]
        if CALENDAR in shapes and (len(shapes[CALENDAR]) != 2 or shapes[CALENDAR][1] != spec.shape[1]):
            wrong.append(CALENDAR)
        if STATIC in shapes and len(shapes[STATIC]) != 1:
            wrong.append(STATIC)
        if LABEL in shapes and not spec.classes:
            wrong.append(LABEL)
        if wrong:
            raise ParamsError(
                f"model: csdi is told `{OBSERVED}` and `{TOLD}` of the shape {spec.shape}, and as data have them "
                f"`{CALENDAR}` (features, {spec.shape[1]}), `{STATIC}` (features,) and classes as `{LABEL}`; got "
                f"another {', '.join(wrong)} among {shapes}"
            )

    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        from ddpm_core.models.csdi_network import CSDI

        self.check(spec)
        return CSDI(self, spec, learned_variance)
