"""Sampling with a network in torch: for previews of a training, and for large evaluations on a GPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import OnStep
from ddpm_core.diffusion.guidance import Guide
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.rollout import sample as sample_by
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, graphs_of, procedure_of
from ddpm_core.spec import DataSpec
from ddpm_core.tensors.denoiser import asked


def sample(
    net: nn.Module,
    plan: SamplingPlan,
    parameterisation: Parameterisation,
    spec: DataSpec,
    *,
    seeds: Sequence[int],
    cond: Mapping[str, NDArray[Any]],
    guidance: float,
    device: torch.device,
    dtype: torch.dtype,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
    on_step: OnStep | None = None,
) -> NDArray[np.float32]:
    """Samples [n, *shape], one for each seed, with the conditions [n, ...] by name."""
    procedure = procedure_of(net)
    parts = {
        file: asked(net.get_submodule(graph.part) if graph.part else net, spec.null, dtype)
        for file, graph in graphs_of(spec, procedure).items()
    }

    def noise(step: int) -> Any:
        return torch.from_numpy(step_noise(seeds, step, spec.shape)).to(device)

    x0 = sample_by(
        procedure,
        plan,
        parameterisation,
        parts[MODEL_FILE],
        parts.get(ENCODER_FILE),
        Guide(guidance if spec.null else 0.0, spec.null, spec.channels, interval, rescale),
        {name: torch.from_numpy(value).to(device) for name, value in cond.items()},
        torch.from_numpy(initial(seeds, spec.shape) * np.float32(plan.start_scale)).to(device),
        noise,
        bound=operator(plan.bound, spec.range),
        on_step=on_step,
    )
    return np.asarray(x0.cpu().numpy(), dtype=np.float32)
