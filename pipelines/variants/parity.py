"""How far a variant's network is from the first one, level by level."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.sampling.onnx_denoiser import run_graph
from pipelines.variants.probes import Probe

Answers = list[NDArray[np.float32]]


def answers(model: bytes, probes: Sequence[Probe]) -> Answers:
    """What a graph answers at each probe, on one thread of the CPU."""
    joined = {name: np.concatenate([probe.feeds[name] for probe in probes]) for name in probes[0].feeds}
    ends = np.cumsum([len(probe.feeds["x"]) for probe in probes])[:-1]
    return list(np.split(run_graph(model, joined), ends))


def errors(got: Answers, wanted: Answers, probes: Sequence[Probe]) -> list[float]:
    """At each probe the root mean square of the difference in x0_hat, in the network's units (data are about 1).

    x0_hat = A x_t + B out, so an error of the answer counts |B| times: little where there is little noise to remove.
    """
    return [probe.weight * _rms(a - b) for probe, a, b in zip(probes, got, wanted, strict=True)]


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values.astype(np.float64)).mean()))
