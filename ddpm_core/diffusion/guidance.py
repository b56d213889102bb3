"""Classifier-free guidance (Ho & Salimans 2022) around a network: one source for torch, onnxruntime and export.

Guidance w, 0 = off, is out_c + w (out_c - out_null) on the first C channels; a learned variance comes from out_c.
"""

from collections.abc import Callable
from typing import Any

from ddpm_core.diffusion.arrays import Array, Denoise, concat, per_image, std_per_image
from ddpm_core.errors import ParamsError

Net = Callable[[Array, Array, Array], Array]
"""(x [B, C, ...], time [B], label [B]) -> out, [B, C, ...] or [B, 2 C, ...]."""


def guided(
    net: Net,
    label: Array,
    weight: Any,
    *,
    null_label: int,
    channels: int,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Denoise:
    """`net` with its labels bound and guided: what a sampler sees.

    `weight` is a number or [B]; `interval` (low, high) in the network's time, both included, says where guidance acts
    (Kynkäänniemi et al. 2024); `rescale` 0..1 draws the answer's spread to the conditional one's (Lin et al. 2024).
    """
    _check(label, weight, null_label, interval, rescale)
    everywhere_off = not hasattr(weight, "shape") and weight == 0

    def denoise(x: Array, time: Array) -> Array:
        if everywhere_off or not _inside(time, interval).any():
            return net(x, time, label)
        both = net(concat([x, x]), concat([time, time]), concat([label, label * 0 + null_label]))
        given, null = both[: x.shape[0]], both[x.shape[0] :]
        w = weight if interval is None else weight * (time * 0 + 1) * _inside(time, interval)
        mixed = combine(given[:, :channels], null[:, :channels], w, rescale)
        return mixed if given.shape[1] == channels else _join(mixed, given, channels)

    return denoise


def calls(time: Array, weight: float, interval: tuple[float, float] | None) -> Array:
    """How often `guided` asks the network for one image at each of these times: twice where guidance acts."""
    return 1 + (_inside(time, interval) & (weight != 0))


def combine(given: Array, null: Array, weight: Any, rescale: float) -> Array:
    """given + w (given - null), its spread an image drawn back by `rescale` to that of `given`."""
    w = per_image(weight, given) if hasattr(weight, "shape") and weight.ndim else weight
    mixed = given + w * (given - null)
    if rescale == 0:
        return mixed
    back = std_per_image(given) / std_per_image(mixed).clip(1e-12, None)
    return mixed * (rescale * back + (1 - rescale))


def _check(label: Array, weight: Any, null_label: int, interval: tuple[float, float] | None, rescale: float) -> None:
    shape, kind = tuple(label.shape), str(label.dtype).removeprefix("torch.")
    if len(shape) != 1 or not kind.lstrip("u").startswith("int"):
        raise ParamsError(f"label: must be whole numbers [B], one an image, got {kind} of shape {shape}")
    if shape[0] and not 0 <= int(label.min()) <= int(label.max()) <= null_label:
        found = sorted({int(value) for value in label.tolist() if not 0 <= value <= null_label})[:5]
        raise ParamsError(f"label: must be from 0 to {null_label} (which is none), got {found}")
    if getattr(weight, "ndim", 0) and tuple(weight.shape) != shape:
        raise ParamsError(
            f"guidance weight: must be a number or one an image, {shape}, got shape {tuple(weight.shape)}"
        )
    finite = abs(weight) < float("inf")
    if not (finite.all() if hasattr(finite, "all") else finite):
        raise ParamsError(f"guidance weight: must be finite, got {weight}")
    if not 0 <= rescale <= 1:
        raise ParamsError(f"guidance rescale: must be between 0 and 1, got {rescale}")
    if interval is not None and not interval[0] <= interval[1]:
        raise ParamsError(f"guidance interval: must be two times that rise, (low, high), got {interval}")


def _inside(time: Array, interval: tuple[float, float] | None) -> Array:
    return time == time if interval is None else (time >= interval[0]) & (time <= interval[1])


def _join(mixed: Array, given: Array, channels: int) -> Array:
    """The guided mean with the variance channels of the conditional answer."""
    parts = [mixed.swapaxes(0, 1), given[:, channels:].swapaxes(0, 1)]
    return concat(parts).swapaxes(0, 1)
