"""Loss weights as tables over the levels: factors on the squared error of the network's output.

Most are defined as a weight W_x0 on the error of x0. The error of x0 is B times the network's, so w = W_x0 B^2 for
every target. Level 0 is never trained on; its weight is 0.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ddpm_core.checks import Checks, Config, not_negative, positive
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.diffusion.variance import VarianceName, likelihood_log_variance


@dataclass(frozen=True)
class Simple(Config):
    """Ho et al. 2020, eq. 14: every level counts the same, in the space of the target.

    For pictures that look right, as in most papers.

    >>> Simple("simple").table(parameterisation)
    """

    kind: Literal["simple"]

    def table(self, parameterisation: Parameterisation) -> Floats:
        weights = np.ones(parameterisation.schedule.T + 1)
        weights[0] = 0
        return weights


@dataclass(frozen=True)
class Snr(Config):
    """The simple loss of the noise, whatever the target: W_x0 = SNR (for a score: weighted by g^2, as in NCSN).

    For training another target as eps is trained.

    >>> Snr("snr").table(parameterisation)
    """

    kind: Literal["snr"]

    def table(self, parameterisation: Parameterisation) -> Floats:
        return _of_x0(parameterisation, _snr(parameterisation))


@dataclass(frozen=True)
class Vlb(Config):
    """The bound's own weight in nats per dimension, of L_{t-1} under a fixed variance (Ho et al. 2020, eq. 12).

    For likelihood; pictures look worse, as most weight lies on the first levels.

    >>> Vlb("vlb", variance="fixed_small").table(parameterisation)
    """

    kind: Literal["vlb"]
    variance: Literal["fixed_small", "fixed_large"]

    def table(self, parameterisation: Parameterisation) -> Floats:
        return vlb_weights(parameterisation, self.variance)


@dataclass(frozen=True)
class MinSnr(Config):
    """Hang et al. 2023: W_x0 = min(SNR, gamma).

    For faster training: the easy levels near the data do not dominate the others. The paper's gamma is 5.

    >>> MinSnr("min_snr", gamma=5.0).table(parameterisation)
    """

    kind: Literal["min_snr"]
    gamma: float
    __checks__: ClassVar[Checks] = {"gamma": positive}

    def table(self, parameterisation: Parameterisation) -> Floats:
        return _of_x0(parameterisation, np.minimum(_snr(parameterisation), self.gamma))


@dataclass(frozen=True)
class SoftMinSnr(Config):
    """Crowson et al. 2024 (Hourglass diffusion), eq. 9: W_x0 = SNR gamma / (SNR + gamma), a smooth min-SNR.

    For the same purpose as min-SNR.

    >>> SoftMinSnr("soft_min_snr", gamma=5.0).table(parameterisation)
    """

    kind: Literal["soft_min_snr"]
    gamma: float
    __checks__: ClassVar[Checks] = {"gamma": positive}

    def table(self, parameterisation: Parameterisation) -> Floats:
        snr = _snr(parameterisation)
        return _of_x0(parameterisation, snr * self.gamma / (snr + self.gamma))


@dataclass(frozen=True)
class P2(Config):
    """Choi et al. 2022: the noise's error weighted by (k + SNR)^-gamma.

    For content before detail: k = 1 and gamma = 1 in the paper; gamma = 0 is the simple loss of eps.

    >>> P2("p2", k=1.0, gamma=1.0).table(parameterisation)
    """

    kind: Literal["p2"]
    k: float
    gamma: float
    __checks__: ClassVar[Checks] = {"k": positive, "gamma": not_negative}

    def table(self, parameterisation: Parameterisation) -> Floats:
        snr = _snr(parameterisation)
        return _of_x0(parameterisation, snr * (self.k + snr) ** -self.gamma)


@dataclass(frozen=True)
class EdmWeight(Config):
    """Karras et al. 2022, table 1: W_x0 = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, SNR + 1 / sigma_data^2.

    For target `edm` under a VE schedule, where it makes every level's loss 1 at the start.

    >>> EdmWeight("edm").table(parameterisation)
    """

    kind: Literal["edm"]

    def table(self, parameterisation: Parameterisation) -> Floats:
        return _of_x0(parameterisation, _snr(parameterisation) + parameterisation.schedule.sigma_data**-2)


WeightingConfig = Simple | Snr | Vlb | MinSnr | SoftMinSnr | P2 | EdmWeight


def vlb_weights(parameterisation: Parameterisation, variance: VarianceName) -> Floats:
    """L_{t-1} = c^2 / (2 sigma_t^2) |x0 - x0_hat|^2, c the weight of x_0 in mu_tilde.

    For eps that is beta_t^2 / (2 sigma_t^2 alpha_t (1 - alpha_bar_t)). At t = 1 it is the Gaussian part of L_0.
    """
    schedule = parameterisation.schedule
    t = np.arange(1, schedule.T + 1)
    of_x_0 = np.append(0.0, schedule.posterior_mean_between(t - 1, t)[1])
    return _of_x0(parameterisation, of_x_0**2 / (2 * np.exp(likelihood_log_variance(schedule, variance))))


def _snr(parameterisation: Parameterisation) -> Floats:
    """The signal-to-noise ratio, with 0 instead of infinity at level 0."""
    snr = parameterisation.schedule.snr.copy()
    snr[0] = 0
    return snr


def _of_x0(parameterisation: Parameterisation, of_x0: Floats) -> Floats:
    weights: Floats = of_x0 * parameterisation.table()[1] ** 2
    weights[0] = 0
    return weights
