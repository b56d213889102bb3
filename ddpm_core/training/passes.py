"""Forward and backward of a step: in parts where memory is short, and by all processes together."""

import logging
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from ddpm_core.errors import DdpmError
from ddpm_core.objective import Draw, Loss
from ddpm_core.training.distributed import Processes
from ddpm_core.training.replayed import Replayed
from ddpm_core.training.spans import span

_log = logging.getLogger(__name__)


class Losses(Protocol):
    """What a pass asks of an objective."""

    def loss(self, net: nn.Module, draw: Draw) -> Loss: ...


class Passes:
    """The gradient of a draw's loss, summed over its `parts` and averaged over the processes.

    Where the device runs out of memory the draw is cut into twice as many parts, from then on: the same draw, the same
    update but for round-off.
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
        self._wrapped = processes.wrap(model)
        self._net = compiled(self._wrapped) if compiled else self._wrapped
        self._rehearsed = processes.count == 1
        records = records and device.type == "cuda" and processes.count == 1
        self._recorded = _Recorded(self._backward, self._parameters) if records else None

    def __call__(self, draw: Draw, reseed: Callable[[], None]) -> list[Loss]:
        """The parts' losses; their gradients lie in the parameters. `reseed` is called before every attempt."""
        if self._processes.count == 1:
            return self._in_parts_that_fit(draw, reseed)
        if not self._rehearsed:  # without exchange: who ran out of memory within it would leave the others waiting
            with self._processes.apart(self._wrapped):
                self._in_parts_that_fit(draw, reseed)
            self._forget()
            self._rehearsed = True
        reseed()
        losses = self._attempt(draw)
        if not losses:
            raise DdpmError(
                f"the parts of a batch must fit into the device's memory, but one of {len(draw.t) // self.parts} items "
                f"did not, after the first had; set train.accumulate above {self.parts}"
            )
        return losses

    def _in_parts_that_fit(self, draw: Draw, reseed: Callable[[], None]) -> list[Loss]:
        while True:
            reseed()
            losses = self._attempt(draw)
            if not self._processes.any(not losses):
                return losses
            self._cut(len(draw.t))

    def _attempt(self, draw: Draw) -> list[Loss]:
        """The losses, or none where the memory was too small."""
        parts = draw.parts(self.parts)
        try:
            if self._recorded is not None and len(parts) == 1:
                return [self._recorded(draw)]
            with self._processes.apart(self._wrapped):
                losses = [self._backward(part) for part in parts[:-1]]
            return [*losses, self._backward(parts[-1])]
        except torch.OutOfMemoryError:
            return []

    def _backward(self, part: Draw) -> Loss:
        with span("forward"), torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            loss = self._objective.loss(self._net, part)
        with span("backward"):
            total = loss.total if self._processes.count == 1 else loss.total * self._processes.count
            total.backward()  # type: ignore[no-untyped-call]
        return loss

    def _cut(self, size: int) -> None:
        self._forget()
        if self.parts >= size:
            raise DdpmError(
                "a single item must fit into the device's memory with the network, but does not; make the network "
                "smaller, set train.precision to bf16, or train on a device with more memory"
            )
        self.parts = min(2 * self.parts, size)
        _log.warning("out of memory: batches are cut into %d parts from here on, the update stays the same", self.parts)

    @property
    def gradients_stay(self) -> bool:
        """Whether the gradients lie in the same tensors at every step."""
        return self._recorded is not None and self._recorded.is_recorded

    def clear_gradients(self) -> None:
        """Before the next step."""
        for parameter in self._parameters:
            parameter.grad = None

    def _forget(self) -> None:
        if self._recorded is not None:
            self._recorded.forget()
        self.clear_gradients()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class _Recorded:
    """Forward and backward of a whole batch on a GPU, recorded for draws of one shape."""

    def __init__(self, backward: Callable[[Draw], Loss], parameters: list[nn.Parameter]) -> None:
        self._backward, self._parameters = backward, parameters
        self._place: Draw | None = None
        self._gradients: list[Tensor | None] = []
        self._replayed = Replayed(self._run, "forward and backward", self._let_go)

    @property
    def is_recorded(self) -> bool:
        return self._replayed.is_recorded

    def __call__(self, draw: Draw) -> Loss:
        if self._place is None or not self._place.holds(draw):
            self.forget()
            self._place = draw.copied()
        else:
            self._place.take(draw)
        if not self.is_recorded:
            loss = self._replayed()
            self._gradients = [weight.grad for weight in self._parameters]
            return loss
        with span("recorded"):
            loss = self._replayed()
        for weight, gradient in zip(self._parameters, self._gradients, strict=True):
            weight.grad = gradient  # a recording writes where it wrote when it was made
        return loss

    def forget(self) -> None:
        self._place, self._gradients = None, []
        self._replayed.forget()

    def _let_go(self) -> None:
        for weight in self._parameters:
            weight.grad = None

    def _run(self) -> Loss:
        assert self._place is not None
        loss = self._backward(self._place)
        return Loss(loss.total.detach(), loss.items)
