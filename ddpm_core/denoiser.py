"""A network as a sampler sees it: condition bound, framework hidden."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ddpm_core.diffusion.arrays import Array, Denoise
from ddpm_core.diffusion.guidance import guided


def bind(net: nn.Module, cond: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Denoise:
    """`denoise(c_in x_t, time)` of a network under fixed conditions, without gradients, computing in `dtype`."""

    def denoise(x: Array, time: Array) -> Array:
        return _ask(net, x, time, cond, dtype)

    return denoise


def bind_guided(
    net: nn.Module,
    label: Tensor,
    weight: float,
    *,
    null_label: int,
    channels: int,
    dtype: torch.dtype = torch.float32,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Denoise:
    """The same with labels [B] and classifier-free guidance of this weight (0 = off)."""

    def ask(x: Array, time: Array, labels: Array) -> Array:
        return _ask(net, x, time, {"label": labels}, dtype)

    return guided(ask, label, weight, null_label=null_label, channels=channels, interval=interval, rescale=rescale)


def _ask(net: nn.Module, x: Tensor, time: Tensor, cond: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return cast(Tensor, net(x, time, **cond).float())
