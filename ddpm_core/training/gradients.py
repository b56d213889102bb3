"""The gradients of several processes, summed in one exchange."""

from itertools import accumulate

import torch
from torch import Tensor, nn

from ddpm_core.errors import DdpmError
from ddpm_core.training.distributed import Processes

_ALIGNED = 32  # elements; an unaligned parameter is slower to load
_NAMED = 5  # parameters that an error names; it counts the others


class Gradients:
    """The gradients of a network in one buffer, which is kept from step to step.

    The parameters are in the network's order, each in the order of its storage. So every step sums in the same order,
    also the first one after a resume.
    """

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self._processes = processes
        self._named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        kinds = {(weight.dtype, weight.device) for _, weight in self._named}
        if len(kinds) != 1:
            raise DdpmError(
                "several processes train parameters of one type on one device, but the network has "
                f"{', '.join(sorted(f'{dtype} on {device}' for dtype, device in kinds)) or 'none'}"
            )
        ((dtype, device),) = kinds
        room = [-(-weight.numel() // _ALIGNED) * _ALIGNED for _, weight in self._named]
        *starts, size = accumulate(room, initial=0)
        self._buffer = torch.zeros(size, dtype=dtype, device=device)
        self._views = [
            _alike(weight, self._buffer, start) for (_, weight), start in zip(self._named, starts, strict=True)
        ]

    @torch.no_grad()
    def add_up(self) -> None:
        """Sum each parameter's gradient over the processes; it is then a view of the buffer."""
        mine = [weight.grad for _, weight in self._named if weight.grad is not None]
        if len(mine) < len(self._named):
            raise self._without()
        torch._foreach_copy_(self._views, mine)
        self._processes.add_up(self._buffer)
        for (_, weight), view in zip(self._named, self._views, strict=True):
            weight.grad = view

    def _without(self) -> DdpmError:
        names = [name for name, weight in self._named if weight.grad is None]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return DdpmError(
            f"with several processes every parameter must have a gradient, but {', '.join(names[:_NAMED])}{more} got "
            "none; use it in the loss, or set requires_grad to False for what is not trained"
        )


def _alike(weight: Tensor, buffer: Tensor, start: int) -> Tensor:
    """The part of the buffer from `start` on, with a parameter's shape and strides."""
    strides = torch.empty_like(weight, device="meta").stride()
    return torch.as_strided(buffer, weight.shape, strides, start)
