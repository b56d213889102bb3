"""Terms of the variational bound in torch, element by element, in nats."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_SMALLEST = 1e-7  # the smallest relative probability that float32 distinguishes from 0


def kl_normal(log_var_1: Tensor, log_var_2: Tensor, squared_distance: Tensor) -> Tensor:
    """KL(N(m1, s1^2) || N(m2, s2^2)) = 1/2 (-1 + ln s2^2 - ln s1^2 + s1^2/s2^2 + (m1 - m2)^2/s2^2)."""
    return 0.5 * (
        -1 + log_var_2 - log_var_1 + torch.exp(log_var_1 - log_var_2) + squared_distance * torch.exp(-log_var_2)
    )


def negative_log_normal(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-ln N(x; mean, exp(log_var)): L_0 of data without levels."""
    return 0.5 * (math.log(2 * math.pi) + log_var + (x - mean) ** 2 * torch.exp(-log_var))


def negative_log_logistic(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-ln of the logistic density around the mean, whose scale is exp(log_var / 2)."""
    u = (x - mean).abs() * torch.exp(-0.5 * log_var)
    return u + 2 * F.softplus(-u) + 0.5 * log_var


def negative_log_bin(
    x: Tensor,
    mean: Tensor,
    log_var: Tensor,
    ends: tuple[float, float],
    levels: int,
    log_cdf: Callable[[Tensor], Tensor] = torch.special.log_ndtr,
) -> Tensor:
    """Ho et al. 2020, eq. 13: minus the log of the mass in the bin of x's level; the two end bins are open.

    `log_cdf` is the log of a distribution function that is symmetric around 0: a Gaussian's, or F.logsigmoid.
    """
    low, high = ends
    half = (high - low) / (levels - 1) / 2
    scale = torch.exp(-0.5 * log_var)
    centred = x - mean
    below_top = log_cdf((centred + half) * scale)
    above_bottom = log_cdf((half - centred) * scale)
    # Computes both ends in the tail and subtracts in logarithms, so that nothing underflows far from the mean.
    distance = centred.abs()
    near = log_cdf((half - distance) * scale)
    far = log_cdf((-half - distance) * scale)
    inside = near + torch.log(-torch.expm1((far - near).clamp(max=-_SMALLEST)))
    return -torch.where(x < low + half, below_top, torch.where(x > high - half, above_bottom, inside))
