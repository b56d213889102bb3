"""The one sampling loop, the same for numpy and torch: it needs *, +, clip, and exp where the variance is learned."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ddpm_core.diffusion.arrays import Array, Denoise, exp, full, no_wider, per_item, times
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import Row, SamplingPlan, padded
from ddpm_core.errors import ParamsError

Noise = Callable[[int], Array]
"""step -> unit noise like x."""
OnStep = Callable[[int, Array, Array], Array | None]
"""(row number, x after it, x0_hat) -> the x to continue with (known values), or None to keep x."""


class State(NamedTuple):
    """The state of a sampling run: x, x0_hat of the last row, and (x, D) of the rows before, newest first."""

    x: Array
    D: Array
    past: tuple[tuple[Array, Array], ...]


def begin(x_T: Array, memory: int = 0) -> State:
    """The state before the first row; `memory` is the plan's number of earlier rows to keep."""
    nothing = x_T * 0
    return State(x_T, nothing, ((x_T, nothing),) * memory)


def advance(
    row: Row, state: State, out: Array | None, z: Array | None, bound: Callable[[Array], Array] | None
) -> State:
    """One row, given the network's output for (c_in x, time) and unit noise; either is None if the row needs none."""
    x, D, c_z = state.x, state.D * 0, row.c_z
    if max(len(row.past_x), len(row.past_D)) > len(state.past):
        raise ParamsError(f"state: the row looks farther back than {len(state.past)} rows; begin(x_T, plan.memory)")
    if out is not None:
        channels = x.shape[1]
        D = row.A * x + row.B * out[:, :channels]
        D = D if bound is None else bound(D)
        if row.learned is not False:
            c_z = learned_sigma(row, out[:, channels:], c_z)
    x_next = row.c_x * x
    for c, (x_k, _) in zip(row.past_x, state.past, strict=False):
        x_next = x_next + c * x_k
    x_next = x_next + row.c_D * D
    for c, (_, D_k) in zip(row.past_D, state.past, strict=False):
        x_next = x_next + c * D_k
    if z is not None:
        x_next = x_next + c_z * z
    return State(x_next, D, ((x, D), *state.past)[: len(state.past)])


def learned_sigma(row: Row, v: Array, c_z: Any) -> Array:
    """Nichol & Dhariwal 2021, eq. 15, with f = (v + 1) / 2; items whose row has a fixed variance keep it."""
    f = (v + 1) * 0.5
    sigma = exp(0.5 * (f * row.log_var_large + (1 - f) * row.log_var_small))
    return sigma if row.learned is True else sigma * row.learned + c_z * (1 - row.learned)


def step_once(
    row: Row, state: State, denoise: Denoise, noise: Noise, bound: Callable[[Array], Array] | None = None
) -> State:
    """One row including the network call, with all items of the batch at the same row."""
    out = no_wider(denoise(row.c_in * state.x, times(state.x, row.time)), state.x) if row.asks else None
    z = noise(row.noise_step) if row.learned or row.c_z != 0 else None
    _must_fit(state.x, out, z, bool(row.learned))
    return advance(row, state, out, z, bound)


def _must_fit(x: Array, out: Array | None, z: Array | None, learned: bool) -> None:
    """Refuse a shape that would broadcast over the batch silently; compares shapes and reads no value."""
    if out is not None:
        channels = x.shape[1]
        counts = (2 * channels,) if learned else (channels, 2 * channels)
        if out.shape[1] not in counts or (out.shape[:1], out.shape[2:]) != (x.shape[:1], x.shape[2:]):
            wanted = " or ".join(str((x.shape[0], count, *x.shape[2:])) for count in counts)
            raise ParamsError(f"denoise: must return shape {wanted}, got {tuple(out.shape)}")
    if z is not None and tuple(z.shape) != tuple(x.shape):
        raise ParamsError(f"noise: must be of the data's shape {tuple(x.shape)}, got {tuple(z.shape)}")


def generate(
    plan: SamplingPlan,
    parameterisation: Parameterisation,
    denoise: Denoise,
    x_T: Array,
    noise: Noise,
    *,
    bound: Callable[[Array], Array] | None = None,
    on_step: OnStep | None = None,
) -> Array:
    """Run a plan from x_T, [B, C, ...], which is `plan.start_scale` times unit noise.

    `bound` maps x0_hat and must be given where the plan names one: `bounds.operator(plan.bound, spec.range)`, or
    `unclamped` to run such a plan without.
    """
    if x_T.ndim < 2 or "float" not in str(x_T.dtype):
        raise ParamsError(f"x_T: must be floating point [B, C, ...], got {x_T.dtype} of shape {tuple(x_T.shape)}")
    rows = plan.rows(parameterisation)
    if plan.bound != "none" and bound is None:
        raise ParamsError(
            f"bound: this plan names {plan.bound}, so it needs the function; give bound=clip_to(range) or "
            "bound=dynamic_threshold(range, 0.995), or bound=unclamped where nothing is to be clamped"
        )
    state = begin(x_T, plan.memory)
    for number, row in enumerate(rows):
        state = step_once(row, state, denoise, noise, bound)
        if on_step is not None:
            replaced = on_step(number, state.x, state.D)
            if replaced is not None:
                state = state._replace(x=replaced)
    return state.x


_SHAPED = ("A", "B", "c_in", "c_x", "c_D", "c_z", "log_var_large", "log_var_small")


def stack(rows: Sequence[Row], x: Array) -> Row:
    """Stack the rows of items at different steps into one, each value [B, 1, ...] (time [B]), for one network call.

    Pass it to `advance` with noise for every item (zeros for a row that draws none).
    """
    if len(rows) != x.shape[0]:
        raise ParamsError(f"stack: needs one row an item, got {len(rows)} rows for {x.shape[0]} items")

    def column(values: Sequence[Any]) -> Array:
        return per_item(full(x, [float(value) for value in values]), x)

    shaped: dict[str, Any] = {name: column([getattr(row, name) for row in rows]) for name in _SHAPED}
    for name in ("past_x", "past_D"):
        shaped[name] = tuple(column(values) for values in padded([getattr(row, name) for row in rows]).T)
    learned = [bool(row.learned) for row in rows]
    return Row(
        time=times(x, [row.time for row in rows]),
        learned=column(learned) if any(learned) else False,
        asks=[bool(row.asks) for row in rows],
        noise_step=[row.noise_step for row in rows],
        **shaped,
    )
