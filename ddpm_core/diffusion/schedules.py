"""Schedules: each a frozen config with `build() -> Schedule`, and the union of them all.

A new one is a class here and a name in `ScheduleConfig`; from outside, pass the `Schedule` itself.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ddpm_core.checks import Checks, Config, at_least_1, not_negative, open_fraction, positive
from ddpm_core.diffusion.schedule import Floats, Schedule, variance_preserving
from ddpm_core.errors import ParamsError

_log = logging.getLogger(__name__)
_REFUSED_SNR = 0.1
_WARNED_SNR = 1e-3


@dataclass(frozen=True)
class ScheduleBase(Config, ABC):
    """Base of every schedule's config. A subclass narrows `kind` to a Literal and adds its own fields and checks."""

    kind: str
    T: int
    __checks__: ClassVar[Checks] = {"T": (lambda v: v >= 2, "2 or more levels")}

    @abstractmethod
    def build(self) -> Schedule:
        """The tables of levels 0 to T."""


@dataclass(frozen=True)
class _BetaRange(ScheduleBase):
    """Beta from `beta_start` to `beta_end`, each times 1000 / T if `scale_ends`."""

    beta_start: float
    beta_end: float
    scale_ends: bool
    zero_terminal_snr: bool
    __checks__: ClassVar[Checks] = {
        **ScheduleBase.__checks__,
        "beta_start": open_fraction,
        "beta_end": open_fraction,
    }

    def _ends(self) -> tuple[float, float]:
        scale = 1000 / self.T if self.scale_ends else 1.0
        start, end = self.beta_start * scale, self.beta_end * scale
        if start >= end:
            raise ParamsError(f"{self.kind}: beta_end must be above beta_start, got {self.beta_start}, {self.beta_end}")
        if end >= 1:
            raise ParamsError(
                f"{self.kind}: beta_end, scaled to T = {self.T}, must be below 1, got {end:g}; "
                f"take T above {self.beta_end * 1000:.0f} or a cosine schedule"
            )
        return start, end


@dataclass(frozen=True)
class Linear(_BetaRange):
    """Ho et al. 2020, section 4: beta rises linearly. `scale_ends` scales its two ends, made for T = 1000.

    For comparing with papers. Of small pictures its last levels are nearly all noise.

    >>> Linear("linear", T=1000, beta_start=1e-4, beta_end=0.02, scale_ends=True, zero_terminal_snr=False).build()
    """

    kind: Literal["linear"]

    def build(self) -> Schedule:
        start, end = self._ends()
        return _discrete(np.linspace(start, end, self.T), self.zero_terminal_snr)


@dataclass(frozen=True)
class Quadratic(_BetaRange):
    """Linear in the root of beta (Song et al. 2021, DDIM). `scale_ends` is that of Linear.

    For comparing with DDIM's CIFAR-10.

    >>> Quadratic("quadratic", T=1000, beta_start=1e-4, beta_end=0.02, scale_ends=True, zero_terminal_snr=False).build()
    """

    kind: Literal["quadratic"]

    def build(self) -> Schedule:
        start, end = self._ends()
        return _discrete(np.linspace(start**0.5, end**0.5, self.T) ** 2, self.zero_terminal_snr)


@dataclass(frozen=True)
class Cosine(ScheduleBase):
    """Nichol & Dhariwal 2021, eq. 17: alpha_bar falls as a squared cosine, beta capped.

    For small pictures: the default. Not with target eps, which is divided by an a_T near 0; take v.

    >>> Cosine("cosine", T=1000, s=0.008, beta_max=0.999, zero_terminal_snr=False).build()
    """

    kind: Literal["cosine"]
    s: float
    beta_max: float
    zero_terminal_snr: bool
    __checks__: ClassVar[Checks] = {**ScheduleBase.__checks__, "s": not_negative, "beta_max": open_fraction}

    def build(self) -> Schedule:
        f = np.cos((np.arange(self.T + 1) / self.T + self.s) / (1 + self.s) * np.pi / 2) ** 2
        return _discrete(np.minimum(1 - f[1:] / f[:-1], self.beta_max), self.zero_terminal_snr)


@dataclass(frozen=True)
class ShiftedCosine(ScheduleBase):
    """Hoogeboom et al. 2023 (simple diffusion): ln SNR = -2 ln tan(angle) + 2 ln(reference_side / side).

    For larger pictures: `side` is theirs, `reference_side` that for which the plain cosine is right, 64 in the
    paper. Averaged down to the reference, a picture then has the same noise. The angle rises evenly between the ends
    of the log-SNR before the shift.

    >>> ShiftedCosine("shifted_cosine", 1000, 256, 64, logsnr_min=-15, logsnr_max=15, zero_terminal_snr=False).build()
    """

    kind: Literal["shifted_cosine"]
    side: int
    reference_side: int
    logsnr_min: float
    logsnr_max: float
    zero_terminal_snr: bool
    __checks__: ClassVar[Checks] = {**ScheduleBase.__checks__, "side": at_least_1, "reference_side": at_least_1}

    def faults(self) -> list[str]:
        fault = f"logsnr_max must be above logsnr_min, got logsnr_min={self.logsnr_min}, logsnr_max={self.logsnr_max}"
        return [] if self.logsnr_max > self.logsnr_min else [fault]

    def build(self) -> Schedule:
        first, last = (np.arctan(np.exp(-0.5 * end)) for end in (self.logsnr_max, self.logsnr_min))
        angle = first + np.arange(1, self.T + 1) / self.T * (last - first)
        log_snr = -2 * np.log(np.tan(angle)) + 2 * np.log(self.reference_side / self.side)
        return _variance_preserving(-np.logaddexp(0, -log_snr), np.arange(self.T + 1), self.zero_terminal_snr)


@dataclass(frozen=True)
class Sigmoid(ScheduleBase):
    """Chen 2023, "On the importance of noise scheduling": alpha_bar falls as a sigmoid from `start` to `end`.

    For larger pictures, which need more noise: with a smaller `tau` alpha_bar falls more steeply in the middle.

    >>> Sigmoid("sigmoid", T=1000, start=-3.0, end=3.0, tau=1.0, alpha_bar_min=1e-9, zero_terminal_snr=False).build()
    """

    kind: Literal["sigmoid"]
    start: float
    end: float
    tau: float
    alpha_bar_min: float
    zero_terminal_snr: bool
    __checks__: ClassVar[Checks] = {**ScheduleBase.__checks__, "tau": positive, "alpha_bar_min": open_fraction}

    def faults(self) -> list[str]:
        return [] if self.end > self.start else [f"end must be above start, got start={self.start}, end={self.end}"]

    def build(self) -> Schedule:
        i = np.arange(self.T + 1) / self.T
        fall = 1 / (1 + np.exp(-(i * (self.end - self.start) + self.start) / self.tau))
        alpha_bar = np.maximum((fall[-1] - fall) / (fall[-1] - fall[0]), self.alpha_bar_min)
        return _variance_preserving(np.log(alpha_bar[1:]), np.arange(self.T + 1), self.zero_terminal_snr)


@dataclass(frozen=True)
class VpContinuous(ScheduleBase):
    """Song et al. 2021, eq. 32 (the VP SDE) at t = i / T; the network's time is 1000 t.

    For score models in VP.

    >>> VpContinuous("vp_continuous", T=1000, beta_min=0.1, beta_max=20.0, zero_terminal_snr=False).build()
    """

    kind: Literal["vp_continuous"]
    beta_min: float
    beta_max: float
    zero_terminal_snr: bool
    __checks__: ClassVar[Checks] = {**ScheduleBase.__checks__, "beta_min": positive, "beta_max": positive}

    def build(self) -> Schedule:
        t = np.arange(self.T + 1) / self.T
        log_alpha_bar = -(0.5 * t**2 * (self.beta_max - self.beta_min) + t * self.beta_min)
        return _variance_preserving(log_alpha_bar[1:], 1000 * t, self.zero_terminal_snr)


@dataclass(frozen=True)
class _SigmaRange(ScheduleBase):
    """Sigma from `sigma_min` to `sigma_max`."""

    sigma_min: float
    sigma_max: float
    __checks__: ClassVar[Checks] = {
        **ScheduleBase.__checks__,
        "sigma_min": positive,
        "sigma_max": positive,
        "sigma_data": positive,
    }

    def faults(self) -> list[str]:
        fault = f"sigma_max must be above sigma_min, got {self.sigma_max} and {self.sigma_min}"
        return [] if self.sigma_max > self.sigma_min else [fault]


@dataclass(frozen=True)
class GeometricVE(_SigmaRange):
    """Song & Ermon 2019: sigmas in geometric progression; the network's time is the level's number.

    For score models in VE (NCSN), with target `score`.

    >>> GeometricVE("geometric_ve", T=200, sigma_min=0.01, sigma_max=50.0, sigma_data=0.5).build()
    """

    kind: Literal["geometric_ve"]
    sigma_data: float

    def build(self) -> Schedule:
        sigma = np.exp(np.linspace(np.log(self.sigma_min), np.log(self.sigma_max), self.T))
        return _variance_exploding(sigma, np.arange(self.T + 1), self.sigma_data)


@dataclass(frozen=True)
class Edm(_SigmaRange):
    """Karras et al. 2022, eq. 5: sigma^(1/rho) in equal steps; the network's time is ln(sigma) / 4.

    For EDM: with target `edm`, weighting `edm` and time law `log_normal`.

    >>> Edm("edm", T=200, sigma_min=0.002, sigma_max=80.0, rho=7.0, sigma_data=0.5).build()
    """

    kind: Literal["edm"]
    rho: float
    sigma_data: float
    __checks__: ClassVar[Checks] = {**_SigmaRange.__checks__, "rho": positive}

    def build(self) -> Schedule:
        ends = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        sigma = np.linspace(*ends, self.T) ** self.rho
        time = np.log(sigma) / 4
        return _variance_exploding(sigma, np.concatenate([time[:1], time]), self.sigma_data)


@dataclass(frozen=True)
class RectifiedFlow(ScheduleBase):
    """Liu et al. 2022: the straight line x_t = (1 - t) x_0 + t eps at t = i / T; the network's time is 1000 t.

    For flow matching, with target `flow`.

    >>> RectifiedFlow("rectified_flow", T=1000).build()
    """

    kind: Literal["rectified_flow"]

    def build(self) -> Schedule:
        i = np.arange(self.T + 1)
        return Schedule(
            a=(self.T - i) / self.T, g=i / self.T, time=(1000 * i / self.T).astype(np.float32), process="flow"
        )


def noise_alone() -> Schedule:
    """One level without any signal, for a model that makes data of noise in one evaluation; its time is 1."""
    g = np.array([0.0, 1.0])
    return Schedule(a=1 - g, g=g, time=g.astype(np.float32), process="vp")


ScheduleConfig = (
    Linear | Quadratic | Cosine | ShiftedCosine | Sigmoid | VpContinuous | GeometricVE | Edm | RectifiedFlow
)


def zero_terminal_snr(schedule: Schedule) -> Schedule:
    """Lin et al. 2024, algorithm 1: shift and scale a so that a_T = 0 and a_1 stays."""
    if schedule.process != "vp":
        raise ParamsError(f"zero_terminal_snr: belongs to VP schedules, got a {schedule.process} one; remove it")
    a = schedule.a.copy()
    a[1:] = (a[1:] - a[-1]) * a[1] / (a[1] - a[-1])
    return Schedule(a=a, g=np.sqrt(1 - a**2), time=schedule.time, process="vp", sigma_data=schedule.sigma_data)


def _discrete(beta: Floats, to_zero: bool) -> Schedule:
    schedule = Schedule.from_betas(beta)
    return zero_terminal_snr(schedule) if to_zero else _ended(schedule)


def _variance_preserving(log_alpha_bar: Floats, time: Any, to_zero: bool) -> Schedule:
    schedule = variance_preserving(log_alpha_bar, time)
    return zero_terminal_snr(schedule) if to_zero else _ended(schedule)


def _variance_exploding(sigma: Floats, time: Any, sigma_data: float) -> Schedule:
    g = np.concatenate([[0.0], sigma])
    return _ended(Schedule(np.ones_like(g), g, time, "ve", sigma_data))


def _ended(schedule: Schedule) -> Schedule:
    """Sampling starts from pure noise: warn if the last level still holds some signal, refuse if it holds much."""
    snr = float(schedule.snr[-1]) * schedule.sigma_data**2
    if snr > _REFUSED_SNR:
        raise ParamsError(
            f"a schedule must end in noise: at its last level the signal-to-noise ratio is {snr:.3g}, above "
            f"{_REFUSED_SNR}; take more levels, stronger noise, scale_ends or zero_terminal_snr"
        )
    if snr > _WARNED_SNR:
        _log.warning(
            "the schedule's last level keeps a signal-to-noise ratio of %.3g (%.1f %% of the amplitude), "
            "which sampling from pure noise ignores",
            snr,
            100 * snr**0.5,
        )
    return schedule
