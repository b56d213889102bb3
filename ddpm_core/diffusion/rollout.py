"""Sampling a datum in one loop, or column by column with a network that encodes what is known before each column."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.arrays import Array, concat, times, to_numpy, zeros
from ddpm_core.diffusion.generate import Noise, OnStep, generate
from ddpm_core.diffusion.guidance import Guide, Net, untold
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.procedure import STATE, Rollout

_KEPT = 1 << 26  # bytes of noise in memory


def sample(
    procedure: Rollout | None,
    plan: SamplingPlan,
    parameterisation: Parameterisation,
    net: Net,
    encode: Net | None,
    guide: Guide,
    cond: Mapping[str, Array],
    x_T: Array,
    noise: Noise,
    *,
    bound: Callable[[Array], Array] | None,
    on_step: OnStep | None,
) -> Array:
    """Data [B, *shape] of a network of this procedure, in numpy or torch; `encode` is a rollout's encoder.

    Column i of x_T and of the noise of each step makes column i of the data. `on_step` counts the rows of all columns,
    and sees one column at a time.
    """
    if procedure is None or encode is None:
        denoise = guide.bind(net, cond)
        return generate(plan, parameterisation, denoise, x_T, noise, bound=bound, on_step=on_step)
    n, x, kept = len(x_T), x_T * 0, _once(noise)
    guides = bool(guide.null) and guide.weight != 0
    if guides:  # the second half of the batch is the first without what guidance strengthens
        nothing = untold(cond, guide.null)
        cond = {name: concat([value, nothing[name]]) for name, value in cond.items()}
        x = concat([x, x])
    state = _warmed_up(procedure, encode, cond, x)
    for i in range(x.shape[-1]):
        state = encode(x, times(x, i), {STATE: state, **cond})
        null = {STATE: state[n:]} if guides else {}
        own = guide._replace(null=null, weight=guide.weight if guides else 0.0)
        column = slice(i, i + 1)
        made = generate(
            plan,
            parameterisation,
            own.bind(net, {STATE: state[:n]}),
            x_T[..., column],
            partial(_column, kept, column),
            bound=bound,
            on_step=None if on_step is None else partial(_after, on_step, i * len(plan)),
        )
        x[..., column] = concat([made, made]) if guides else made
    return x[:n]


def _warmed_up(procedure: Rollout, encode: Net, cond: Mapping[str, Array], x: Array) -> Array:
    """The state before the first column, [B, S]; data with the same conditions share its computation."""
    first, same = _distinct(cond, len(x))
    cond, x = {name: value[first] for name, value in cond.items()}, x[first]
    state = zeros(x, (len(x), procedure.state))
    for position in range(-procedure.warm_up, 0):
        state = encode(x, times(x, position), {STATE: state, **cond})
    return state[same]


def _distinct(cond: Mapping[str, Array], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first datum of each set with equal conditions, and each datum's place among those."""
    arrays = [to_numpy(value) for value in cond.values()]
    places: dict[bytes, int] = {}
    first: list[int] = []
    same: list[int] = []
    for i in range(n):
        key = b"".join(array[i].tobytes() for array in arrays)
        if key not in places:
            places[key] = len(first)
            first.append(i)
        same.append(places[key])
    return np.array(first, dtype=np.int64), np.array(same, dtype=np.int64)


def _once(noise: Noise) -> Noise:
    """The noise of each step drawn once for all columns, as far as memory allows."""
    kept: dict[int, Array] = {}

    def of(step: int) -> Array:
        if step in kept:
            return kept[step]
        z = noise(step)
        if (len(kept) + 1) * z.nbytes <= _KEPT:
            kept[step] = z
        return z

    return of


def _column(noise: Noise, column: slice, step: int) -> Array:
    return noise(step)[..., column]


def _after(on_step: OnStep, before: int, row: int, x: Array, D: Array) -> Array | None:
    return on_step(before + row, x, D)
