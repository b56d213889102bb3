"""Forward and backward of a step: in parts if memory is short, and by all processes together."""

import logging
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ddpm_core.errors import DdpmError
from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.training.distributed import ALONE, Processes
from ddpm_core.training.gradients import Gradients
from ddpm_core.training.memory import ran_out_of_memory
from ddpm_core.training.replayed import Replayed
from ddpm_core.training.spans import span

_log = logging.getLogger(__name__)


class Losses(Protocol):
    """What a pass needs of an objective."""

    def loss(self, net: nn.Module, draw: Draw) -> Loss: ...


class Passes:
    """The gradient of a draw's loss, summed over its `parts` and over the processes.

    If any process runs out of device memory, the draw is split into twice as many parts, from then on: the same draw
    and the same update, except for round-off and dropout masks.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Losses,
        processes: Processes,
        parts: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        compiled: Callable[[nn.Module], nn.Module] | None,
        records: bool = True,
    ) -> None:
        self.parts = parts
        self._objective, self._processes, self._device, self._dtype = objective, processes, device, dtype
        self._parameters = list(model.parameters())
        self._drops = _drops(model)
        self._net = compiled(model) if compiled else model
        self._gradients = None if processes is ALONE else Gradients(model, processes)
        records = records and device.type == "cuda"
        self._recorded = _Recorded(self._backward, self._parameters) if records else None

    def __call__(self, draw: Draw, reseed: Callable[[], None]) -> list[Loss]:
        """The losses of the parts, with their gradients in the parameters. Calls `reseed` before every attempt."""
        while True:
            reseed()
            losses = self._attempt(draw, reseed)
            if not self._processes.any(not losses):
                break
            self._cut(len(draw))
        if self._gradients:
            self._gradients.add_up()
        return losses

    def _attempt(self, draw: Draw, reseed: Callable[[], None]) -> list[Loss]:
        """The losses, or none if the memory was too small; exchanges nothing, so no other process waits."""
        try:
            if self._recorded is not None and self.parts == 1:
                return [self._recorded(draw, reseed)]
            return [self._backward(part) for part in draw.parts(self.parts)]
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            return []

    def _backward(self, part: Draw) -> Loss:
        with span("forward"), torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            loss = self._objective.loss(self._net, part)
        with span("backward"):
            loss.total.backward()  # type: ignore[no-untyped-call]
        return loss

    def _cut(self, size: int) -> None:
        self._forget()
        if self.parts >= size:
            raise DdpmError(
                "the network and a single item must fit into the device's memory, but do not; make the network "
                "smaller, set train.precision to bf16, or train on a device with more memory"
            )
        self.parts = min(2 * self.parts, size)
        same = "the draw stays the same, the dropout masks do not" if self._drops else "the update stays the same"
        _log.warning("out of memory: batches are split into %d parts from here on; %s", self.parts, same)

    @property
    def gradients_stay(self) -> bool:
        """Whether the gradients are in the same tensors at every step."""
        return self._gradients is not None or (self._recorded is not None and self._recorded.is_recorded)

    def clear_gradients(self) -> None:
        """Clear the gradients before the next step."""
        for parameter in self._parameters:
            parameter.grad = None

    def _forget(self) -> None:
        if self._recorded is not None:
            self._recorded.forget()
        self.clear_gradients()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _drops(model: nn.Module) -> bool:
    """Whether the network has any of torch's dropout modules."""
    return any(isinstance(module, _DropoutNd) and module.p > 0 for module in model.modules())


class _Recorded:
    """Forward and backward of a whole batch on a GPU, recorded for draws of one shape."""

    def __init__(self, backward: Callable[[Draw], Loss], parameters: list[nn.Parameter]) -> None:
        self._backward, self._parameters = backward, parameters
        self._place: Draw | None = None
        self._reseed: Callable[[], None]
        self._gradients: list[Tensor | None] = []
        self._replayed = Replayed(self._run, "forward and backward", self._let_go)

    @property
    def is_recorded(self) -> bool:
        return self._replayed.is_recorded

    def __call__(self, draw: Draw, reseed: Callable[[], None]) -> Loss:
        """`reseed` is called again if an attempt to record has failed."""
        self._reseed = reseed
        if self._place is None or not self._place.holds(draw):
            self.forget()
            self._place = draw.copied()
        else:
            self._place.take(draw)
        if not self.is_recorded:
            loss = self._replayed(self._place)
            self._gradients = [weight.grad for weight in self._parameters]
            return loss
        with span("recorded"):
            loss = self._replayed(self._place)
        for weight, gradient in zip(self._parameters, self._gradients, strict=True):
            weight.grad = gradient  # a recording writes into the same tensors each time
        return loss

    def forget(self) -> None:
        self._place, self._gradients = None, []
        self._replayed.forget()

    def _let_go(self) -> None:
        for weight in self._parameters:
            weight.grad = None
        self._reseed()

    def _run(self, place: Draw) -> Loss:
        loss = self._backward(place)
        return Loss(loss.total.detach(), loss.items)
