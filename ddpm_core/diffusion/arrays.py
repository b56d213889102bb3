"""The few operations that numpy and torch spell differently; torch is never imported here."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ddpm_core.errors import ParamsError

Array = Any
"""A numpy array or a torch tensor, [B, ...]."""
Denoise = Callable[[Array, Array], Array]
"""(c_in x_t, time [B]) -> out, [B, C, ...] or [B, 2 C, ...]; the condition is bound, the framework hidden."""


def is_torch(x: Array) -> bool:
    return hasattr(x, "new_full")


def exp(x: Array) -> Array:
    return x.exp() if is_torch(x) else np.exp(x)


def full(x: Array, value: Any) -> Array:
    """[B] in x's framework, type and device, from one number for all or a sequence with one for each item."""
    if is_torch(x):
        return x.new_tensor(value) if np.ndim(value) else x.new_full((x.shape[0],), value)
    return np.full(x.shape[0], value, dtype=x.dtype)


def times(x: Array, value: Any) -> Array:
    """The same for the network's time: float32 where x is of fewer bits, as bfloat16 has no odd number above 256."""
    if x.dtype.itemsize >= 4:
        return full(x, value)
    flat = x.reshape(x.shape[0], -1)[:, :1] if x.shape[0] else x
    return full(flat.float() if is_torch(x) else flat.astype(np.float32), value)


def no_wider(out: Array, x: Array) -> Array:
    """`out` in x's type where x is of fewer bits than float32, so that no step makes a sample wider."""
    if x.dtype.itemsize >= 4 or out.dtype == x.dtype:
        return out
    return out.to(x.dtype) if is_torch(out) else out.astype(x.dtype)


def at_levels(table: Any, t: Any, x: Array) -> Any:
    """A table's values at levels t, to multiply x by: a float for one level, [B, 1, ...] like x for a level each.

    Both keep x's type and framework.
    """
    if isinstance(t, int) or np.ndim(t := to_numpy(t)) == 0:
        return float(table[int(t)])
    if np.ndim(x) == 0 or np.shape(t) != tuple(x.shape[:1]):
        raise ParamsError(
            f"levels: must be one, or one for each of {x.shape[0] if np.ndim(x) else 1} data, got shape {np.shape(t)}"
        )
    return per_item(full(x, np.asarray(table)[np.asarray(t)]), x)


def zeros(x: Array, shape: tuple[int, ...]) -> Array:
    """Zeros in x's framework, type and device."""
    return x.new_zeros(shape) if is_torch(x) else np.zeros(shape, dtype=x.dtype)


def to_numpy(x: Array) -> Any:
    return x.cpu().numpy() if is_torch(x) else x


def concat(parts: Sequence[Array]) -> Array:
    """Concatenate along the batch axis."""
    if is_torch(parts[0]):
        import torch

        return torch.cat(list(parts))
    return np.concatenate(list(parts))


def per_item(values: Array, x: Array) -> Array:
    """[B] -> [B, 1, ...], to broadcast with x."""
    return values.reshape(values.shape[:1] + (1,) * (x.ndim - 1))


def std_per_item(x: Array) -> Array:
    """The standard deviation within each item, [B, 1, ...]."""
    flat = _flat(x)
    centred = flat - flat.mean(1)[:, None]
    return per_item((centred * centred).mean(1) ** 0.5, x)


def quantile_of_magnitude(x: Array, quantile: float) -> Array:
    """The quantile of |x| within each item, [B], linear between the two nearest values."""
    flat = abs(_flat(x))
    ordered = flat.sort(1).values if is_torch(flat) else np.sort(flat, axis=1)
    place = quantile * (flat.shape[1] - 1)
    low = int(place)
    high = min(low + 1, flat.shape[1] - 1)
    return ordered[:, low] + (ordered[:, high] - ordered[:, low]) * (place - low)


def _flat(x: Array) -> Array:
    """[B, D]; -1 has no meaning for a batch of nothing."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))
