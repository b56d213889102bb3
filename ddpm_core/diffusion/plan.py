"""A sampler is a plan: rows of floats, one row per network evaluation.

    D <- bound(A x + B denoise(c_in x, time))
    x <- c_x x + sum_k past_x[k] x_k + c_D D + sum_k past_D[k] D_k + c_z z

x_k and D_k are x and D of k rows before, k = 1, 2, ..., as far back as any row looks. Where the variance is learned,
c_z is exp(1/2 (f log_var_large + (1 - f) log_var_small)), f from the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.errors import ParamsError

Bound = Literal["none", "clip", "dynamic"]
BOUNDS: tuple[Bound, ...] = ("none", "clip", "dynamic")


class Row(NamedTuple):
    """What one step needs: Python floats, or arrays [B, 1, ...] where the items of a batch are at different steps."""

    time: Any
    A: Any
    B: Any
    c_in: Any
    c_x: Any
    past_x: tuple[Any, ...]  # of the x one row back, two rows back, ...
    c_D: Any
    past_D: tuple[Any, ...]
    c_z: Any
    log_var_large: Any
    log_var_small: Any
    learned: Any
    asks: Any
    noise_step: Any


_FLOATS = ("time", "a", "g", "c_x", "c_D", "c_z", "log_var_large", "log_var_small")
_PAST = ("past_x", "past_D")
_INTS = ("t", "s", "learned", "noise_step")


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """The rows of a sampler on a schedule, first to last: columns [n] of float64 and int64, the past [n, rows back]."""

    t: Any  # the level at which the network is called
    s: Any  # the level after the row
    time: Floats  # the network's time
    a: Floats  # of level t
    g: Floats  # of level t
    c_x: Floats
    past_x: Floats  # [n, rows back], no column of zeros at its end
    c_D: Floats
    past_D: Floats
    c_z: Floats
    log_var_large: Floats
    log_var_small: Floats
    learned: Any  # 1: the scale of the noise comes from the network's variance channels
    noise_step: Any  # the step of the row's noise; x_T is step 0
    bound: Bound  # how x0_hat is clamped
    start_scale: float  # x_T is this times unit noise
    kind: str  # the sampler's name, for reading

    def __post_init__(self) -> None:
        for name in _FLOATS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        for name in _PAST:
            object.__setattr__(self, name, _table(getattr(self, name)))
        for name in _INTS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))
        lengths = {len(getattr(self, name)) for name in _FLOATS + _PAST + _INTS}
        if len(lengths) != 1 or 0 in lengths:
            raise ParamsError(f"a plan needs columns of one length, at least 1 row, got lengths {sorted(lengths)}")
        bad = [name for name in _FLOATS + _PAST if not np.isfinite(getattr(self, name)).all()]
        if bad:
            raise ParamsError(f"plan {self.kind}: every coefficient must be finite, {', '.join(bad)} is not")
        if self.bound not in BOUNDS:
            raise ParamsError(f"bound: must be one of {', '.join(BOUNDS)}, got {self.bound!r}")

    def __len__(self) -> int:
        return len(self.c_x)

    @property
    def asks(self) -> Any:
        """Rows that need the network: those that use its output, or whose output a later row uses."""
        asks = (self.c_D != 0) | (self.learned != 0)
        for back, column in enumerate(self.past_D.T, start=1):
            asks[:-back] |= column[back:] != 0
        return asks

    @property
    def memory(self) -> int:
        """The most rows that any row looks back."""
        return int(max(self.past_x.shape[1], self.past_D.shape[1]))

    @property
    def evaluations(self) -> int:
        """The number of network evaluations."""
        return int(self.asks.sum())

    @property
    def needs_noise(self) -> bool:
        """Whether any row draws noise after x_T."""
        return bool((self.c_z != 0).any() or self.learned.any())

    def rows(self, parameterisation: Parameterisation) -> list[Row]:
        """The rows as Python floats, which keep an array's dtype, with the affine table of the parameterisation."""
        schedule = parameterisation.schedule
        schedule.must_hold(self.t, 1)
        for name, theirs in (("a", schedule.a), ("g", schedule.g), ("time", schedule.time)):
            own, wanted = getattr(self, name), theirs[self.t]
            if not (np.array_equal(own, wanted) or np.allclose(own, wanted, rtol=1e-6, atol=1e-12)):
                raise ParamsError(
                    f"plan {self.kind}: must be made of the parameterisation's own schedule, but {name} differs; "
                    "make it of parameterisation.schedule"
                )
        A, B, c_in = (column[self.t].tolist() for column in parameterisation.table())
        columns = [self.time.tolist(), A, B, c_in, self.c_x.tolist(), _used(self.past_x)]
        columns += [self.c_D.tolist(), _used(self.past_D), self.c_z.tolist()]
        columns += [self.log_var_large.tolist(), self.log_var_small.tolist(), (self.learned != 0).tolist()]
        columns += [self.asks.tolist(), self.noise_step.tolist()]
        return [Row(*values) for values in zip(*columns, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; `from_dict` gives back the very same bits, through JSON too."""
        return {f.name: v.tolist() if isinstance(v := getattr(self, f.name), np.ndarray) else v for f in fields(self)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "SamplingPlan":
        """What `to_dict` gave; an older plan has a column for each row back: `c_xp`, `c_Dp` and perhaps `c_Dpp`."""
        if "c_Dp" not in value:
            return cls(**value)
        x, D = ([value[name] for name in names if name in value] for names in (("c_xp",), ("c_Dp", "c_Dpp")))
        others = {name: column for name, column in value.items() if name not in ("c_xp", "c_Dp", "c_Dpp")}
        return cls(past_x=np.transpose(x), past_D=np.transpose(D), **others)


class PlanBuilder:
    """Collects rows; a sampler writes only the coefficients it uses."""

    def __init__(self, schedule: Schedule, kind: str, bound: Bound) -> None:
        self.schedule, self.kind, self.bound = schedule, kind, bound
        self._rows: list[dict[str, Any]] = []

    def add(
        self,
        t: int,
        s: int,
        *,
        c_x: float = 0.0,
        past_x: Sequence[float] = (),
        c_D: float = 0.0,
        past_D: Sequence[float] = (),
        c_z: float = 0.0,
        log_variances: tuple[float, float] | None = None,
    ) -> None:
        """A row from level t to level s; with `log_variances` (large, small) the network gives the variance."""
        if not (_whole(t) and _whole(s)):
            raise ParamsError(
                f"a row's levels must be whole numbers, got {t!r} -> {s!r}; Parameterisation.at alone takes others"
            )
        if not 0 < t <= self.schedule.T or not 0 <= s <= self.schedule.T:
            raise ParamsError(
                f"a row's levels must lie in 1..{self.schedule.T} and 0..{self.schedule.T}, got {t} -> {s}"
            )
        large, small = log_variances or (0.0, 0.0)
        self._rows.append(
            {
                "t": t,
                "s": s,
                "time": float(self.schedule.time[t]),
                "a": float(self.schedule.a[t]),
                "g": float(self.schedule.g[t]),
                "c_x": c_x,
                "past_x": past_x,
                "c_D": c_D,
                "past_D": past_D,
                "c_z": c_z,
                "log_var_large": large,
                "log_var_small": small,
                "learned": int(log_variances is not None),
                "noise_step": len(self._rows) + 1,
            }
        )

    def finish(self) -> SamplingPlan:
        if not self._rows:
            raise ParamsError("a plan needs at least one step: give two levels or more")
        columns: dict[str, Any] = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        columns |= {name: padded(columns[name]) for name in _PAST}
        start_scale = self.schedule.start_scale
        return SamplingPlan(bound=self.bound, start_scale=start_scale, kind=self.kind, **columns)


def _whole(level: Any) -> bool:
    return type(level) is int or isinstance(level, np.integer)


def padded(rows: Sequence[Sequence[float]]) -> Floats:
    """Rows of any lengths as one table [n, longest], padded with zeros."""
    table = np.zeros((len(rows), max(map(len, rows))))
    for values, row in zip(table, rows, strict=True):
        values[: len(row)] = row
    return table


def _table(rows: Any) -> Floats:
    """[n, rows back] without the columns of zeros at its end."""
    table = np.asarray(rows, np.float64)
    if table.ndim != 2:
        raise ParamsError(f"past_x, past_D: must be tables [rows, rows back], got shape {table.shape}")
    return table[:, : np.flatnonzero(table.any(axis=0)).max(initial=-1) + 1]


def _used(table: Floats) -> list[tuple[float, ...]]:
    """Each row up to its last value that is not 0, so that the loop skips the zeros."""
    places = np.arange(1, table.shape[1] + 1)
    ends = np.where(table != 0, places, 0).max(axis=1, initial=0).tolist()
    return [tuple(row[:end]) for row, end in zip(table.tolist(), ends, strict=True)]
