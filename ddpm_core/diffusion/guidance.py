"""Classifier-free guidance (Ho & Salimans 2022) around a network: one source for torch, onnxruntime and export.

Guidance w, 0 = off, is out_c + w (out_c - out_null) on the first C channels; a learned variance comes from out_c.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ddpm_core.diffusion.arrays import Array, Denoise, concat, per_item, std_per_item
from ddpm_core.errors import ParamsError

Net = Callable[[Array, Array, Mapping[str, Array]], Array]
"""(x [B, C, ...], time [B], conditions [B, ...] by name) -> out, [B, C, ...] or [B, 2 C, ...]."""


def guided(
    net: Net,
    cond: Mapping[str, Array],
    weight: Any,
    *,
    null: Mapping[str, Any],
    channels: int,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Denoise:
    """`net` with its conditions bound and with guidance, as a sampler calls it.

    `null` has the null value of each condition that guidance strengthens; the others are always given.
    `weight` is a number or [B]; `interval` (low, high) in the network's time, both included, limits where guidance acts
    (Kynkäänniemi et al. 2024); `rescale` 0..1 moves the standard deviation of the output to the conditional one's (Lin
    et al. 2024).
    """
    _check(cond, weight, null, interval, rescale)
    off = not hasattr(weight, "shape") and weight == 0
    both = _both(net, cond, weight, null, channels, interval, rescale)

    def denoise(x: Array, time: Array) -> Array:
        if off or (interval is not None and not _inside(time, interval).any()):
            return net(x, time, cond)
        return both(x, time)

    return denoise


def _both(
    net: Net,
    cond: Mapping[str, Array],
    weight: Any,
    null: Mapping[str, Any],
    channels: int,
    interval: tuple[float, float] | None,
    rescale: float,
) -> Denoise:
    """The same with both evaluations at every call."""

    def denoise(x: Array, time: Array) -> Array:
        nothing = untold(cond, null)
        twice = {name: concat([value, nothing[name]]) for name, value in cond.items()}
        both = net(concat([x, x]), concat([time, time]), twice)
        given, without = both[: x.shape[0]], both[x.shape[0] :]
        w = weight if interval is None else weight * (time * 0 + 1) * _inside(time, interval)
        mixed = combine(given[:, :channels], without[:, :channels], w, rescale)
        return mixed if given.shape[1] == channels else _join(mixed, given, channels)

    return denoise


def untold(cond: Mapping[str, Array], null: Mapping[str, Any]) -> dict[str, Array]:
    """The conditions with the null value of each that has one."""
    return {name: value * 0 + null[name] if name in null else value for name, value in cond.items()}


class Guide(NamedTuple):
    """All of guidance but the network and its conditions; see `guided`."""

    weight: float
    null: Mapping[str, Any]
    channels: int
    interval: tuple[float, float] | None
    rescale: float

    def bind(self, net: Net, cond: Mapping[str, Array]) -> Denoise:
        return guided(
            net,
            cond,
            self.weight,
            null=self.null,
            channels=self.channels,
            interval=self.interval,
            rescale=self.rescale,
        )

    def in_kernels(self, net: Net, cond: Mapping[str, Array]) -> Denoise:
        """The same without a look at any value: nothing is checked, and both evaluations are made at every call."""
        if self.weight == 0:
            return lambda x, time: net(x, time, cond)
        return _both(net, cond, self.weight, self.null, self.channels, self.interval, self.rescale)


def calls(time: Array, weight: float, interval: tuple[float, float] | None) -> Array:
    """The number of network evaluations of `guided` for one item at each of these times: two where guidance acts."""
    return 1 + (_inside(time, interval) & (weight != 0))


def combine(given: Array, null: Array, weight: Any, rescale: float) -> Array:
    """given + w (given - null), with the standard deviation of each item moved by `rescale` to that of `given`."""
    w = per_item(weight, given) if hasattr(weight, "shape") and weight.ndim else weight
    mixed = given + w * (given - null)
    if rescale == 0:
        return mixed
    back = std_per_item(given) / std_per_item(mixed).clip(1e-12, None)
    return mixed * (rescale * back + (1 - rescale))


def _check(
    cond: Mapping[str, Array],
    weight: Any,
    null: Mapping[str, Any],
    interval: tuple[float, float] | None,
    rescale: float,
) -> None:
    for name in null:
        if name not in cond:
            raise ParamsError(f"{name}: guidance strengthens this condition, so it must be given; got {sorted(cond)}")
        if isinstance(null[name], int):
            _check_classes(name, cond[name], null[name])
    if getattr(weight, "ndim", 0):
        sizes = {tuple(value.shape[:1]) for value in cond.values()} or {tuple(weight.shape)}
        if sizes != {tuple(weight.shape)}:
            raise ParamsError(
                f"guidance weight: must be one number, or one for each of {sorted(sizes)[0]}, got shape "
                f"{tuple(weight.shape)}"
            )
    finite = abs(weight) < float("inf")
    if not (finite.all() if hasattr(finite, "all") else finite):
        raise ParamsError(f"guidance weight: must be finite, got {weight}")
    if not 0 <= rescale <= 1:
        raise ParamsError(f"guidance rescale: must be between 0 and 1, got {rescale}")
    if interval is not None and not interval[0] <= interval[1]:
        raise ParamsError(f"guidance interval: must be two times (low, high) with low < high, got {interval}")


def _check_classes(name: str, value: Array, null: int) -> None:
    shape, kind = tuple(value.shape), str(value.dtype).removeprefix("torch.")
    if len(shape) != 1 or not kind.lstrip("u").startswith("int"):
        raise ParamsError(f"{name}: must be whole numbers [B], one for each datum, got {kind} of shape {shape}")
    if shape[0] and not 0 <= int(value.min()) <= int(value.max()) <= null:
        found = sorted({int(number) for number in value.tolist() if not 0 <= number <= null})[:5]
        raise ParamsError(f"{name}: must be from 0 to {null} (the null value), got {found}")


def _inside(time: Array, interval: tuple[float, float] | None) -> Array:
    return time == time if interval is None else (time >= interval[0]) & (time <= interval[1])


def _join(mixed: Array, given: Array, channels: int) -> Array:
    """The guided mean, with the variance channels of the conditional output."""
    parts = [mixed.swapaxes(0, 1), given[:, channels:].swapaxes(0, 1)]
    return concat(parts).swapaxes(0, 1)
