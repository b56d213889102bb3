"""The tensors of a training under flat names, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimiser_tensors(optimiser: Optimizer, parameters: list[nn.Parameter]) -> dict[str, Tensor]:
    """An optimiser's state, by the index of the parameter."""
    found: dict[str, Tensor] = {}
    for index, parameter in enumerate(parameters):
        found |= named(f"{index}.", optimiser.state.get(parameter, {}))
    return found


def load_optimiser(optimiser: Optimizer, parameters: list[nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`, with each tensor as the optimiser would create it.

    That is on its parameter's device and, if it has the parameter's shape, with its strides. torch's `load_state_dict`
    leaves the step count on the CPU and the strides of the file; fused kernels refuse both.
    """
    optimiser.state.clear()
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        like = parameter.detach() if tensor.shape == parameter.shape else tensor
        mine = torch.empty_like(like, dtype=tensor.dtype, device=parameter.device)
        optimiser.state[parameter][key] = mine.copy_(tensor)
