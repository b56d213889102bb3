"""The likelihood of unseen data under a trained network, in bits: the bound term by term, and by the ODE.

Everything is in bits per dimension: the mean over data with its standard error. The bound is that of Ho et al. 2020; at
fewer than all levels it is an unbiased estimate, and its standard error includes the draw of the levels.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_core.diffusion.arrays import Array, Denoise
from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.noise import Purpose, generator, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.diffusion.stratified import Drawn, drawn_levels
from ddpm_core.diffusion.variance import Variance
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.bound import bound
from ddpm_core.likelihood.nll_tables import BoundTable, OdeTable, Sums, Terms, estimate
from ddpm_core.likelihood.ode import ode_levels, ode_log_likelihood
from ddpm_core.spec import DataSpec
from ddpm_core.tensors.denoiser import bind

OnCall = Callable[[], None]
"""Called after each call of the network."""
# Batch size. If levels are drawn, a batch shares its draw, so then the size must be the same on every device.
_GROUP, _GROUP_ON_GPU = 32, 256
_FEWEST_GROUPS = 16


@dataclass(frozen=True)
class Data:
    """Encoded data on the network's device, their conditions, and an index for each datum.

    The noise of a datum is a function of the seed and its index, so it does not depend on the other data.
    """

    spec: DataSpec
    x0: Tensor  # [n, *shape]
    cond: Mapping[str, Tensor]
    numbers: Sequence[int]

    @classmethod
    def encoded(
        cls,
        spec: DataSpec,
        images: NDArray[np.uint8],
        cond: Mapping[str, NDArray[Any]],
        numbers: Sequence[int],
        device: torch.device,
    ) -> "Data":
        """Levels [n, *shape] and conditions on the device."""
        told = {name: torch.from_numpy(values).to(device) for name, values in cond.items()}
        return cls(spec, torch.from_numpy(spec.encode(images)).to(device), told, numbers)

    def __len__(self) -> int:
        return len(self.x0)

    def part(self, rows: slice) -> "Data":
        cond = {name: values[rows] for name, values in self.cond.items()}
        return Data(self.spec, self.x0[rows], cond, list(self.numbers)[rows])

    def groups(self, levels: int | None) -> list["Data"]:
        """The data in batches; small enough for several draws of the levels if these are drawn."""
        if levels is None:
            size = _GROUP_ON_GPU if self.x0.is_cuda else _GROUP
        else:
            size = max(1, min(_GROUP, len(self) // _FEWEST_GROUPS))
        return [self.part(slice(start, start + size)) for start in range(0, len(self), size)]


def bound_calls(data: Data, T: int, levels: int | None) -> int:
    """The number of network calls of `bound_table`."""
    return len(data.groups(levels)) * (T if levels is None else levels)


def bound_table(
    net: nn.Module,
    parameterisation: Parameterisation,
    variance: Variance,
    data: Data,
    *,
    levels: int | None,
    seed: int,
    on_call: OnCall,
) -> BoundTable:
    """The bound of the data at all levels (None), or estimated from `levels` levels per datum.

    x0_hat is clipped to the data's range if there is one, as samplers do.
    """
    T, spec = parameterisation.schedule.T, data.spec
    clip = operator("clip", spec.range) if spec.range is not None else None
    sums, seen = Sums(), Terms(T)
    for number, part in enumerate(data.groups(levels)):
        drawn = _levels_of(T, levels, seed, number)
        found = bound(
            parameterisation,
            variance,
            _counted(bind(net, part.cond), on_call),
            part.x0,
            _noise(part, seed),
            data_range=spec.range,
            data_levels=spec.levels,
            levels=drawn,
            clip=clip,
        )
        terms = _bits(found.terms)
        seen.add(drawn.levels, terms)
        later = (terms[1:] * drawn.stands_for[1:, None]).sum(0)
        sums.add(_bits(found.prior), later, terms[0])
    return sums.table(seen.rows(), each_alone=levels is None)


def ode_calls(data: Data, steps: int) -> int:
    """The number of network calls of `ode_table`."""
    return len(data.groups(None)) * 2 * steps


def ode_table(
    net: nn.Module,
    parameterisation: Parameterisation,
    data: Data,
    *,
    steps: int,
    probes: int,
    seed: int,
    on_call: OnCall,
) -> OdeTable:
    """-log2 p of the data by the probability-flow ODE in `steps` steps, with Hutchinson's estimate of the divergence.

    Data with levels are dequantised uniformly, which makes the density a bound of the probability. It is the density of
    level 1, data blurred by g_1, at x_0: the step from 0 to 1 is left out (docs/maths.md: the first step).
    """
    if steps < 1 or probes < 1:
        raise ParamsError(f"steps and probes of the ODE: must be at least 1, got {steps} and {probes}")
    chosen = ode_levels(parameterisation.schedule, steps)
    data_std = float(data.x0.double().std(correction=0).clamp(min=1e-3))
    bits, errors, evaluations = [], [], 0
    for part in data.groups(None):
        found = ode_log_likelihood(
            parameterisation,
            _counted(bind(net, part.cond), on_call),
            _spread_over_bins(part, seed),
            chosen,
            data_std=data_std,
            probes=_signs(part, seed, probes),
        )
        scale = part.x0[0].numel() * math.log(2)
        bits.append(-found.log_p.double().cpu().numpy() / scale - math.log2(_bin_width(data.spec)))
        errors.append(found.standard_error.double().cpu().numpy() / scale)
        evaluations = found.evaluations
    each, error = np.concatenate(bits), np.concatenate(errors)
    hutchinson = float(np.sqrt((error**2).sum()) / len(error)) if probes > 1 else None
    return OdeTable(estimate(each, np.arange(len(each))), hutchinson, evaluations)


# ------------------------------------------------------------------------------------------------------ parts


def _levels_of(T: int, levels: int | None, seed: int, number: int) -> Drawn:
    if levels is None:
        return Drawn(np.arange(1, T + 1), np.ones(T, dtype=np.int64))
    return drawn_levels(T, levels, generator(seed, Purpose.EVALUATE, 0, number))


def _noise(part: Data, seed: int) -> Callable[[int], Tensor]:
    def noise(t: int) -> Tensor:
        drawn = step_noise(seed, t, part.spec.shape, part.numbers, Purpose.EVALUATE)
        return torch.from_numpy(drawn).to(part.x0.device)

    return noise


def _bits(nats: Tensor) -> Floats:
    return nats.double().cpu().numpy() / math.log(2)


def _counted(denoise: Denoise, on_call: OnCall) -> Denoise:
    def counting(x: Array, time: Array) -> Array:
        out = denoise(x, time)
        on_call()
        return out

    return counting


def _bin_width(spec: DataSpec) -> float:
    """The width of a level's bin in the range; 1 for data without levels, so that the result is the density."""
    if spec.range is None or spec.levels is None:
        return 1.0
    return (spec.range[1] - spec.range[0]) / (spec.levels - 1)


def _spread_over_bins(part: Data, seed: int) -> Tensor:
    if part.spec.range is None or part.spec.levels is None:
        return part.x0
    draws = [generator(seed, Purpose.HUTCHINSON, 0, n).random(part.spec.shape, np.float32) for n in part.numbers]
    offset = torch.from_numpy(np.stack(draws) - np.float32(0.5)).to(part.x0.device)
    return part.x0 + offset * _bin_width(part.spec)


def _signs(part: Data, seed: int, probes: int) -> Tensor:
    """[probes, B, *shape] of +-1."""
    drawn = [
        [generator(seed, Purpose.HUTCHINSON, 1 + probe, n).integers(0, 2, part.spec.shape) for n in part.numbers]
        for probe in range(probes)
    ]
    return torch.from_numpy(np.array(drawn, dtype=np.float32) * 2 - 1).to(part.x0.device)
