"""A network as a sampler calls it: with its conditions bound and numpy or torch hidden."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ddpm_core.diffusion.arrays import Array, Denoise
from ddpm_core.diffusion.guidance import Net, guided
from ddpm_core.errors import DataError, ParamsError


def bind(net: nn.Module, cond: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Denoise:
    """`denoise(c_in x_t, time)` of a network with fixed conditions [B]; float32 is the network's own type.

    Gradients are computed only if `x.requires_grad`, as for a likelihood; a sampler's x never has it.
    """
    _check(net, dtype)

    def denoise(x: Array, time: Array) -> Array:
        for name, values in cond.items():
            if len(values) != len(x):
                raise DataError(f"condition {name}: must have one value for each of {len(x)} data, got {len(values)}")
        return _ask(net, x, time, cond, dtype)

    return denoise


def bind_guided(
    net: nn.Module,
    cond: Mapping[str, Tensor],
    weight: float,
    *,
    null: Mapping[str, Any],
    channels: int,
    dtype: torch.dtype = torch.float32,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Denoise:
    """The same with classifier-free guidance of this weight (0 = off); `null` has the null values by condition."""
    ask = asked(net, null, dtype)
    return guided(ask, cond, weight, null=null, channels=channels, interval=interval, rescale=rescale)


def asked(net: nn.Module, null: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> Net:
    """A network as guidance and the sampling loop call it."""
    _check(net, dtype)
    own: Mapping[str, Any] = getattr(net, "null", {})
    for name, value in null.items():
        if own.get(name, value) != value:
            raise ParamsError(f"null: this network's null {name} is {own[name]}, got {value}")
    return lambda x, time, told: _ask(net, x, time, told, dtype)


def _ask(net: nn.Module, x: Tensor, time: Tensor, cond: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    grad = torch.is_grad_enabled() and x.requires_grad
    with torch.set_grad_enabled(grad), torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return cast(Tensor, net(x, time, **cond).to(x.dtype))


def _check(net: nn.Module, dtype: torch.dtype) -> None:
    if dtype not in (torch.float32, torch.bfloat16):
        raise ParamsError(f"dtype: must be float32 (the network as it is) or bfloat16, got {dtype}")
    if any(module.training and _differs_in_training(module) for module in net.modules()):
        raise ParamsError(
            "a network must be deterministic, but this one is in training mode and has dropout or batch "
            "normalisation; call net.eval() first"
        )


def _differs_in_training(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
