"""TimeGrad's parameters; without torch, so that they are checked before torch is imported."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import ParamsError
from ddpm_core.models.base import NetworkConfig
from ddpm_core.procedure import Rollout
from ddpm_core.spec import LABEL, DataSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TimeGradConfig(NetworkConfig):
    """An autoregressive network for forecasts (Rasul et al. 2021): a recurrent encoder and a denoiser of one step.

    Data are K series over a horizon, (K, H), with the conditions `history` and `seen` (K, L), and where there are any
    `calendar` (F, L + H), `static` (S,) and `label`. The encoder reads the values at `lags` steps before the one to be
    made (1: the value before). It begins max(lags) steps into the history, so that every lag lies in it.

    The head `mlp` takes all series together and learns their covariance; `conv` is the paper's, gated convolutions
    along the series, whose weights do not grow with their number.
    """

    kind: Literal["timegrad"]
    cell: Literal["gru", "lstm"]
    layers: int
    cells: int
    lags: tuple[int, ...]
    head: Literal["mlp", "conv"]
    width: int
    blocks: int
    dropout: float

    compiles: ClassVar[bool] = False
    __checks__: ClassVar[Checks] = {
        "layers": at_least_1,
        "cells": at_least_1,
        "lags": (
            lambda v: len(v) > 0 and list(v) == sorted(set(v)) and v[0] >= 1,
            "one or more whole numbers of at least 1, each larger than the one before",
        ),
        "width": (lambda v: v >= 4 and v % 2 == 0, "an even number of at least 4"),
        "blocks": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def check(self, spec: DataSpec) -> None:
        """Series with a history that is longer than every lag."""
        found = {name: condition.shape for name, condition in spec.conditions.items() if name != LABEL}
        history = found.get("history", ())
        length = history[-1] if history else 0
        series, horizon = spec.shape if len(spec.shape) == 2 else (0, 0)
        wanted: dict[str, tuple[int, ...]] = {"history": (series, length), "seen": (series, length)}
        if calendar := found.get("calendar"):
            wanted["calendar"] = (calendar[0], length + horizon)
        if static := found.get("static"):
            wanted["static"] = (static[0],)
        if not series or found != wanted or (LABEL in spec.conditions and not spec.classes):
            raise ParamsError(
                "model: timegrad takes series (K, H) with the conditions history and seen (K, L), and calendar "
                f"(F, L + H), static (S,) and classes as `{LABEL}` where there are any; got data {spec.shape} with "
                f"{found or 'none'}"
            )
        if self.lags[-1] >= length:
            raise ParamsError(
                f"model.lags: each must be below the history's {length} steps, got {self.lags[-1]}; give smaller lags, "
                "or a longer history"
            )
        if self.head == "conv" and series < 2:
            raise ParamsError("model.head: conv needs 2 series or more, got 1; take mlp")

    def procedure(self, spec: DataSpec) -> Rollout:
        state = self.cells * self.layers * (2 if self.cell == "lstm" else 1)
        return Rollout(state, spec.conditions["history"].shape[-1] - self.lags[-1])

    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        from ddpm_core.models.timegrad import TimeGrad

        self.check(spec)
        return TimeGrad(self, spec, learned_variance)
