"""An objective from outside: one file with its configuration. It denoises at one level and knows no bands."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ddpm_core.device import normal, torch_generator
from ddpm_core.diffusion.noise import Purpose
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.objectives.batch import WHOLE, Batch, LabelDropout, Share
from ddpm_core.spec import DataSpec


@dataclass(frozen=True, kw_only=True)
class OneLevelDraw(Draw):
    x_in: Tensor
    x0: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.x0)


class OneLevel:
    learns_from_losses = False

    def __init__(self, std: float, dropout: LabelDropout | None) -> None:
        self._std, self._dropout = std, dropout

    def draw(self, batch: Batch, seed: int, step: int, share: Share = WHOLE) -> OneLevelDraw:
        x0, size = batch.x0, len(batch) * share.of
        random = torch_generator(x0.device, seed, Purpose.TRAIN_NOISE, step)
        noise = normal((size, *x0.shape[1:]), random, x0.dtype)[share.rows(size)]
        cond = self._dropout.of(batch.cond, seed, step, share) if self._dropout else batch.cond
        count = torch.tensor(float(x0.numel()))
        return OneLevelDraw(count=count, band=None, x_in=x0 + self._std * noise, x0=x0, label=cond["label"])

    def loss(self, net: nn.Module, draw: OneLevelDraw) -> Loss:
        each = (net(draw.x_in, torch.ones(len(draw)), label=draw.label) - draw.x0) ** 2
        return Loss(each.sum() / draw.count, each.detach().flatten(1).mean(1))

    def observe(self, draw: OneLevelDraw, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """It learns nothing from losses."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""


@dataclass(frozen=True)
class OneLevelConfig(BaseObjectiveConfig):
    """Denoising at one level."""

    kind: Literal["one_level"]
    std: float
    target: Target
    variance: VarianceName

    def parameterisation(self) -> Parameterisation:
        return Parameterisation(self.target, Cosine("cosine", 10, 0.008, 0.999, False).build())

    def build(self, spec: DataSpec, dropout: LabelDropout | None) -> OneLevel:
        return OneLevel(self.std, dropout)
