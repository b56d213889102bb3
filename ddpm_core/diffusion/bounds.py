"""Clamping of x0_hat before a row uses it; the plan names it, and data without a range have none."""

from collections.abc import Callable

from ddpm_core.diffusion.arrays import Array, per_item, quantile_of_magnitude
from ddpm_core.diffusion.plan import BOUNDS, Bound
from ddpm_core.errors import ParamsError

DYNAMIC_QUANTILE = 0.995
"""Saharia et al. 2022 (Imagen), appendix C."""


def operator(name: Bound, data_range: tuple[float, float] | None) -> Callable[[Array], Array] | None:
    """The function that a plan's `bound` names; None for "none". Data without a range stay as they are."""
    if name not in BOUNDS:
        raise ParamsError(f"bound: must be one of {', '.join(BOUNDS)}, got {name!r}")
    if name == "none":
        return None
    if data_range is None:
        return unclamped
    return clip_to(data_range) if name == "clip" else dynamic_threshold(data_range, DYNAMIC_QUANTILE)


def unclamped(D: Array) -> Array:
    """x0_hat as it is: for a plan that names a bound, where it is meant to run without one."""
    return D


def clip_to(data_range: tuple[float, float]) -> Callable[[Array], Array]:
    """Clip to the data's range."""
    low, high = data_range
    if not low < high:
        raise ParamsError(f"data_range: must be (low, high) with low < high, got {data_range}")
    return lambda D: D.clip(low, high)


def dynamic_threshold(data_range: tuple[float, float], quantile: float) -> Callable[[Array], Array]:
    """Imagen: if an item's `quantile` of |x0_hat| is outside the range, clip there and scale back into the range."""
    if not 0 < quantile <= 1:
        raise ParamsError(f"dynamic threshold: the quantile must be above 0 and at most 1, got {quantile}")
    middle, half = (data_range[0] + data_range[1]) / 2, (data_range[1] - data_range[0]) / 2

    def bound(D: Array) -> Array:
        unit = (D - middle) / half
        reach = per_item(quantile_of_magnitude(unit, quantile).clip(1.0, None), unit)
        return (unit / reach).clip(-1.0, 1.0) * half + middle

    return bound
