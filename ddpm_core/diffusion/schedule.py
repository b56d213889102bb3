"""A process as two tables: x_t = a[t] x_0 + g[t] eps, for t = 0..T, with level 0 the clean data."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.arrays import to_numpy
from ddpm_core.errors import ParamsError

Process = Literal["vp", "ve", "flow"]
_LAWS = {"vp": "a^2 + g^2 = 1", "ve": "a = 1", "flow": "a + g = 1"}
_NEAR = 1e-6
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """The levels of a process. VP has a^2 + g^2 = 1, VE has a = 1 and g = sigma, rectified flow a = 1 - t and g = t.

    `time[t]` is the network's time at level t; `sigma_data` is the standard deviation of the data that a VE process
    assumes (it scales the network's input and output there, and nothing under other processes).
    """

    a: Floats  # [T + 1]
    g: Floats  # [T + 1]
    time: NDArray[np.float32]  # [T + 1]
    process: Process
    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", _floats(self.a))
        object.__setattr__(self, "g", _floats(self.g))
        object.__setattr__(self, "time", np.array(self.time, dtype=np.float32))
        self.time.flags.writeable = False
        wrong = [must for holds, must in self._laws() if not holds]
        if wrong:
            raise ParamsError(f"a schedule cannot be used: {'; '.join(wrong)}")

    @classmethod
    def from_betas(cls, betas: Any) -> "Schedule":
        """A VP schedule of beta_1..beta_T, as a paper or another program lists them; its times are 0..T.

        >>> Schedule.from_betas(np.linspace(1e-4, 0.02, 1000))
        """
        beta = np.asarray(betas, np.float64)
        if beta.ndim != 1 or not len(beta) or not ((beta > 0) & (beta <= 1)).all():
            raise ParamsError(f"betas: must be [T], each above 0 and at most 1, of levels 1..T; {_seen(beta)}")
        with np.errstate(divide="ignore"):
            return variance_preserving(np.cumsum(np.log1p(-beta)), np.arange(len(beta) + 1))

    @classmethod
    def from_alpha_bar(cls, alpha_bar: Any) -> "Schedule":
        """A VP schedule of alpha_bar_1..alpha_bar_T, which fall from below 1 to 0 or above; its times are 0..T.

        >>> Schedule.from_alpha_bar(np.linspace(0.999, 0.0, 1000))
        """
        values = np.asarray(alpha_bar, np.float64)
        if values.ndim != 1 or not len(values) or not ((values >= 0) & (values < 1)).all():
            raise ParamsError(
                f"alpha_bar: must be [T], each below 1 and not below 0, of levels 1..T without level 0; {_seen(values)}"
            )
        with np.errstate(divide="ignore"):
            return variance_preserving(np.log(values), np.arange(len(values) + 1))

    def _laws(self) -> list[tuple[bool, str]]:
        a, g = self.a, self.g
        if not (a.ndim == 1 and a.shape == g.shape == self.time.shape and len(a) >= 2):
            shapes = f"got {a.shape}, {g.shape} and {self.time.shape}"
            return [(False, f"a, g and time must be equally long, one value a level 0..T, T >= 1; {shapes}")]
        finite = bool(np.isfinite(a).all() and np.isfinite(g).all() and np.isfinite(self.time).all())
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = g[1:] / a[1:]
        return [
            (self.process in get_args(Process), f"process must be vp, ve or flow, got {self.process!r}"),
            (finite, "every value must be finite"),
            (a[0] == 1 and g[0] == 0, f"level 0 must be clean data (a = 1, g = 0), got a = {a[0]}, g = {g[0]}"),
            (bool((a >= 0).all() and (g[1:] > 0).all()), "a must not be negative and g must be above 0 after level 0"),
            (bool((ratio[1:] > ratio[:-1]).all()), "the noise-to-signal ratio g / a must rise from level to level"),
            (self.sigma_data > 0, f"sigma_data must be above 0, got {self.sigma_data}"),
            (self._obeys_its_process(), f"{self.process} means {_LAWS.get(self.process)} at every level"),
        ]

    def _obeys_its_process(self) -> bool:
        totals = {"vp": self.a**2 + self.g**2, "ve": self.a, "flow": self.a + self.g}
        return bool((abs(totals.get(self.process, np.ones(1)) - 1) < _NEAR).all())

    @property
    def T(self) -> int:
        return len(self.a) - 1

    @property
    def one_level(self) -> bool:
        """Whether there is no level between data and noise: a sample takes one evaluation, on no way to be steered."""
        return self.T == 1

    @cached_property
    def alpha_bar(self) -> Floats:
        """a^2 (under VP the paper's alpha-bar)."""
        return _floats(self.a**2)

    @cached_property
    def beta(self) -> Floats:
        """Ho et al. 2020, section 2: beta_t of q(x_t | x_{t-1}); index 0 is 0."""
        t = np.arange(1, self.T + 1)
        return _floats(np.concatenate([[0.0], self.beta_between(t - 1, t)]))

    @cached_property
    def beta_tilde(self) -> Floats:
        """Ho et al. 2020, eq. 7: the variance of q(x_{t-1} | x_t, x_0); 0 at t = 0 and t = 1."""
        t = np.arange(1, self.T + 1)
        return _floats(np.concatenate([[0.0], self.beta_tilde_between(t - 1, t)]))

    @cached_property
    def sigma(self) -> Floats:
        """Noise over signal g / a; infinite where no signal is left."""
        with np.errstate(divide="ignore"):
            return _floats(self.g / self.a)

    @cached_property
    def snr(self) -> Floats:
        """Signal over noise (a / g)^2; infinite at level 0."""
        with np.errstate(divide="ignore"):
            return _floats((self.a / self.g) ** 2)

    @cached_property
    def lam(self) -> Floats:
        """Lu et al. 2022: lambda = ln(a / g), half the logarithm of the signal-to-noise ratio."""
        with np.errstate(divide="ignore"):
            return _floats(np.log(self.a) - np.log(self.g))

    @property
    def start_scale(self) -> float:
        """The standard deviation of x_T that sampling starts from: g_T under VE, else 1."""
        return float(self.g[-1]) if self.process == "ve" else 1.0

    def root_alpha_between(self, s: Any, t: Any) -> Any:
        """The root of alpha_{t|s}, a_t / a_s: the factor on the mean from level s to level t > s."""
        return self.a[t] / self.a[s]

    def beta_between(self, s: Any, t: Any) -> Any:
        """The variance of q(x_t | x_s), g_t^2 - alpha_{t|s} g_s^2, for any s < t."""
        self._must_rise(s, t)
        return self.g[t] ** 2 - (self.root_alpha_between(s, t) * self.g[s]) ** 2

    def beta_tilde_between(self, s: Any, t: Any) -> Any:
        """The variance of q(x_s | x_t, x_0), for any s < t."""
        return self.beta_between(s, t) * (self.g[s] / self.g[t]) ** 2

    def posterior_mean_between(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Ho et al. 2020, eq. 7, for any s < t: mu_tilde = first x_t + second x_0."""
        self._must_rise(s, t)
        of_x_t = self.root_alpha_between(s, t) * (self.g[s] / self.g[t]) ** 2
        of_x_0 = self.a[s] * self.beta_between(s, t) / self.g[t] ** 2
        return of_x_t, of_x_0

    def log_variances_between(self, s: int, t: int) -> tuple[float, float]:
        """ln beta_{t|s} and ln beta_tilde_{t|s}; at s = 0, where the latter is -inf, ln beta_tilde of a level later.

        Improved DDPM, section 3.1: at t = 1 the logarithm of beta_tilde_2 stands in for that of beta_tilde_1 = 0.
        """
        large = float(np.log(self.beta_between(s, t)))
        if s > 0:
            return large, float(np.log(self.beta_tilde_between(s, t)))
        if t < self.T:
            return large, float(np.log(self.beta_tilde_between(t, t + 1)))
        return large, large

    def level_at(self, fraction: float) -> int:
        """The level at this fraction (0..1) of the way from clean data to noise."""
        if not 0 <= fraction <= 1:
            raise ParamsError(f"fraction of the way to noise: must be between 0 and 1, got {fraction}")
        return round(fraction * self.T)

    def must_hold(self, t: Any, lowest: int = 0) -> None:
        """Refuse levels outside lowest..T: a negative one would silently count from the end."""
        levels = np.asarray(to_numpy(t))
        if not np.issubdtype(levels.dtype, np.integer):
            raise ParamsError(f"levels: must be whole numbers from {lowest} to {self.T}, got {levels.dtype}")
        if levels.size and not (levels.min() >= lowest and levels.max() <= self.T):
            raise ParamsError(f"levels: must be from {lowest} to {self.T}, got {levels.min()} to {levels.max()}")

    def _must_rise(self, s: Any, t: Any) -> None:
        """Refuse a step that does not go from a level s to a noisier t: its variance would be negative or 0."""
        if type(s) is type(t) is int and 0 <= s < t <= self.T:
            return
        self.must_hold(s)
        self.must_hold(t, 1)
        if not np.all(np.asarray(s) < np.asarray(t)):
            raise ParamsError(f"levels: a step goes from s to a noisier t, s < t, got s = {s} and t = {t}")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; `from_dict` gives back the very same bits, through JSON too."""
        return {
            "a": self.a.tolist(),
            "g": self.g.tolist(),
            "time": self.time.tolist(),
            "process": self.process,
            "sigma_data": self.sigma_data,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Schedule":
        return cls(
            a=np.array(value["a"], dtype=np.float64),
            g=np.array(value["g"], dtype=np.float64),
            time=np.array(value["time"], dtype=np.float32),
            process=value["process"],
            sigma_data=value["sigma_data"],
        )


def _floats(values: Any) -> Floats:
    table = np.array(values, dtype=np.float64)
    table.flags.writeable = False
    return table


def variance_preserving(log_alpha_bar: Floats, time: Any) -> Schedule:
    """The VP schedule of ln alpha_bar_1..ln alpha_bar_T; -inf where no signal is left."""
    log_alpha_bar = np.concatenate([[0.0], log_alpha_bar])
    a, g = np.exp(0.5 * log_alpha_bar), np.sqrt(-np.expm1(log_alpha_bar))
    return Schedule(a=a, g=g, time=time, process="vp")


def _seen(values: Floats) -> str:
    if values.ndim != 1 or not len(values):
        return f"got shape {values.shape}"
    return f"got {values.min():g} to {values.max():g}"
