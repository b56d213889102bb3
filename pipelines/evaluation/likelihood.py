"""Bits per dimension of unseen data, by the very network that ships: the variational bound at drawn levels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.likelihood.nll import Data, bound_table
from ddpm_core.likelihood.nll_tables import TermOfLevel
from ddpm_core.metrics.metric import Metric

Floats32 = NDArray[np.float32]
Network = Callable[[Floats32, Floats32, Mapping[str, NDArray[Any]]], Floats32]


@dataclass(frozen=True)
class HeldOutBits:
    """The numbers, and the bound's terms by level."""

    metrics: tuple[Metric, ...]
    terms: tuple[TermOfLevel, ...]


class _Asked(nn.Module):
    """A network of numpy arrays, asked with tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def forward(self, x: Tensor, t: Tensor, **cond: Tensor) -> Tensor:
        told = {name: value.numpy() for name, value in cond.items()}
        return torch.from_numpy(self._network(x.numpy(), t.numpy(), told))


def held_out_bits(
    network: Network,
    bundle: Bundle,
    x: NDArray[Any],
    cond: Mapping[str, NDArray[Any]],
    *,
    count: int,
    levels: int,
    seed: int,
) -> HeldOutBits:
    """`bits_per_dim` of so many of these data, at so many drawn levels each, and its standard error."""
    T = bundle.schedule.T
    bits = Metric("bits_per_dim", "bits that the network needs for a value of unseen data, at most", "lower")
    few = bundle.student is not None and bundle.student.sampler is not None
    if count == 0 or bundle.spec.levels is None or bundle.schedule.one_level or few:
        reason = "evaluate.bits_images is 0" if count == 0 else "the data have no levels"
        if bundle.schedule.one_level:
            reason = "the bundle has no encoder, by which its bound is measured; `ddpm nll` reads it from the weights"
        if few:
            reason = "the bundle is of a student that is valid at some levels alone"
        return HeldOutBits((Metric(bits.name, bits.meaning, left_out=reason),), ())
    chosen = np.sort(generator(seed, Purpose.EVALUATE).permutation(len(x))[:count])
    data = Data.encoded(
        bundle.spec,
        x[chosen],
        {name: value[chosen] for name, value in cond.items()},
        chosen.tolist(),
        torch.device("cpu"),
    )
    with torch.inference_mode():
        table = bound_table(
            _Asked(network),
            bundle.parameterisation,
            bundle.variance,
            data,
            levels=min(levels, T),
            seed=seed,
            on_call=lambda: None,
        )
    error = Metric("bits_per_dim_error", "its standard error", value=table.total.standard_error)
    return HeldOutBits((bits.measured(table.total.mean), error), table.terms)
