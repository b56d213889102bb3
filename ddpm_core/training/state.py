"""The tensors of a training under names of one level, and back."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimiser_tensors(optimiser: Optimizer, parameters: list[nn.Parameter]) -> dict[str, Tensor]:
    """What an optimiser keeps of each parameter, by the parameter's place."""
    found: dict[str, Tensor] = {}
    for index, parameter in enumerate(parameters):
        found |= named(f"{index}.", optimiser.state.get(parameter, {}))
    return found


def load_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
