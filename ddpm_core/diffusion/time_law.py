"""The distribution that training draws t from, and the factor 1 / (T p_t) that keeps the loss unbiased.

`build(schedule)` gives a `TimeLaw`: `draw(n, rng) -> (t [n], factor [n])`, `observe(t, loss)` after a step, and its
state for the checkpoint. If all processes of a training observe the same (gathered) losses, they have equal laws.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Checks, Config, at_least_1, open_fraction, positive
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.errors import IntegrityError, ParamsError


class TimeLaw(ABC):
    """A law over the levels 1..T."""

    def __init__(self, T: int, stratified: bool) -> None:
        self.T, self.stratified = T, stratified

    @abstractmethod
    def probabilities(self) -> Floats:
        """p_t for t = 1..T, [T]."""

    def factors(self) -> Floats:
        """1 / (T p_t) for t = 1..T, [T]: the factor on an error drawn at t."""
        factors: Floats = 1 / (self.T * self.probabilities())
        return factors

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
        """n levels and their factors. Stratified: one from each n-th of the law, shuffled; each has distribution p."""
        u = (np.arange(n) + rng.random()) / n if self.stratified else rng.random(n)
        cumulative = np.cumsum(self.probabilities())
        index = np.minimum(np.searchsorted(cumulative / cumulative[-1], u, side="right"), self.T - 1)
        if self.stratified:
            index = rng.permutation(index)
        return index.astype(np.int64) + 1, self.factors()[index]

    def observe(self, t: NDArray[np.int64], loss: Floats) -> None:  # noqa: B027
        """Take in each item's loss (weighted, without the factor) at the levels drawn; a fixed law ignores it."""

    def state_dict(self) -> dict[str, Any]:
        """The law's state, for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise IntegrityError(f"{type(self).__name__} has no state, but the checkpoint has {sorted(state)}")


class FixedLaw(TimeLaw):
    """A table of probabilities; with `corrected` false the law is part of the loss weight (its factors are 1)."""

    def __init__(self, probabilities: Floats, stratified: bool, corrected: bool) -> None:
        super().__init__(len(probabilities), stratified)
        self._probabilities: Floats = probabilities / probabilities.sum()
        self.corrected = corrected

    def probabilities(self) -> Floats:
        return self._probabilities

    def factors(self) -> Floats:
        return super().factors() if self.corrected else np.ones(self.T)


class SecondMomentLaw(TimeLaw):
    """Nichol & Dhariwal 2021, section 3.3: p_t as the root of E[L_t^2] over the last `history` losses of each level.

    Uniform until every level has been seen `history` times.
    """

    def __init__(self, T: int, stratified: bool, history: int, uniform_share: float) -> None:
        super().__init__(T, stratified)
        self.history, self.uniform_share = history, uniform_share
        self._losses = np.zeros((T, history))
        self._seen = np.zeros(T, dtype=np.int64)

    def probabilities(self) -> Floats:
        if (self._seen < self.history).any():
            return np.full(self.T, 1 / self.T)
        root = np.sqrt((self._losses**2).mean(axis=1))
        if root.sum() == 0:
            return np.full(self.T, 1 / self.T)
        p: Floats = (1 - self.uniform_share) * root / root.sum() + self.uniform_share / self.T
        return p

    def observe(self, t: NDArray[np.int64], loss: Floats) -> None:
        for level, value in zip(t.tolist(), np.asarray(loss, np.float64).tolist(), strict=True):
            self._losses[level - 1, self._seen[level - 1] % self.history] = value
            self._seen[level - 1] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self._losses.tolist(), "seen": self._seen.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        losses, seen = np.array(state["losses"], np.float64), np.array(state["seen"], np.int64)
        if losses.shape != self._losses.shape or seen.shape != self._seen.shape:
            raise IntegrityError(
                f"time law: the checkpoint holds losses of shape {losses.shape}, this training needs "
                f"{self._losses.shape}; it was written under another T or history"
            )
        self._losses, self._seen = losses, seen


@dataclass(frozen=True)
class Uniform(Config):
    """Every level with the same probability.

    For every loss except the bound; stratified, a batch covers the levels evenly at no cost.

    >>> Uniform("uniform", stratified=True).build(schedule)
    """

    kind: Literal["uniform"]
    stratified: bool

    def build(self, schedule: Schedule) -> TimeLaw:
        return FixedLaw(np.full(schedule.T, 1 / schedule.T), self.stratified, corrected=True)


@dataclass(frozen=True)
class SecondMoment(Config):
    """Importance sampling by the losses so far: less variance of the bound's estimate (Nichol & Dhariwal 2021).

    For weighting `vlb`. It keeps T x `history` numbers in the checkpoint.

    >>> SecondMoment("second_moment", stratified=True, history=10, uniform_share=0.001).build(schedule)
    """

    kind: Literal["second_moment"]
    stratified: bool
    history: int
    uniform_share: float
    __checks__: ClassVar[Checks] = {"history": at_least_1, "uniform_share": open_fraction}

    def build(self, schedule: Schedule) -> TimeLaw:
        return SecondMomentLaw(schedule.T, self.stratified, self.history, self.uniform_share)


@dataclass(frozen=True)
class LogNormal(Config):
    """Karras et al. 2022: ln sigma ~ N(mean, std^2), discretised to the schedule's levels.

    `corrected` false: the law is part of the loss weight, as in EDM; true: it only changes the estimate's variance.

    For EDM, where the middle of the noise matters most.

    >>> LogNormal("log_normal", stratified=True, mean=-1.2, std=1.2, corrected=False).build(schedule)
    """

    kind: Literal["log_normal"]
    stratified: bool
    mean: float
    std: float
    corrected: bool
    __checks__: ClassVar[Checks] = {"std": positive}

    def build(self, schedule: Schedule) -> TimeLaw:
        ln_sigma = -schedule.lam[1:]
        if not np.isfinite(ln_sigma).all():
            raise ParamsError(
                "time_law log_normal: needs signal at every level; take logit_normal or uniform for zero terminal SNR"
            )
        width = np.gradient(ln_sigma)
        mass = np.exp(-0.5 * ((ln_sigma - self.mean) / self.std) ** 2) * width
        if mass.sum() < 1e-6:
            raise ParamsError(
                f"time_law log_normal: mean {self.mean} and std {self.std} lie outside the schedule's ln sigma, "
                f"{ln_sigma[0]:.3g} to {ln_sigma[-1]:.3g}"
            )
        # A corrected level is divided by its mass; a trace of the uniform law keeps this finite.
        return FixedLaw(mass / mass.sum() * (1 - 1e-6) + 1e-6 / schedule.T, self.stratified, self.corrected)


@dataclass(frozen=True)
class LogitNormal(Config):
    """Esser et al. 2024 (Stable Diffusion 3), eq. 19: logit t ~ N(mean, std^2), with t = g / (a + g) in 0..1.

    For rectified flow, whose middle is the hardest: mean 0 and std 1 in the paper. It takes levels without signal too.
    logit t is ln sigma, so that where all levels hold signal it is `log_normal`. `corrected` as there.

    >>> LogitNormal("logit_normal", stratified=True, mean=0.0, std=1.0, corrected=False).build(schedule)
    """

    kind: Literal["logit_normal"]
    stratified: bool
    mean: float
    std: float
    corrected: bool
    __checks__: ClassVar[Checks] = {"std": positive}

    def build(self, schedule: Schedule) -> TimeLaw:
        t = schedule.g[1:] / (schedule.a[1:] + schedule.g[1:])
        middles = 0.5 * (t[1:] + t[:-1])  # a level has the mass up to half-way to its neighbours
        z = (np.log(middles / (1 - middles)) - self.mean) / self.std
        below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.tolist()])
        mass = np.diff(below, prepend=0.0, append=1.0)
        # The same trace of the uniform law as in LogNormal.
        return FixedLaw(mass * (1 - 1e-6) + 1e-6 / schedule.T, self.stratified, self.corrected)


TimeLawConfig = Uniform | SecondMoment | LogNormal | LogitNormal
