"""An optimiser's update, which the device may leave out by itself, and which a GPU runs as one recording."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from ddpm_core.training.muon import Muon
from ddpm_core.training.replayed import Replayed


class Stepping:
    """One update at a rate; where `bad` is 1 it changes nothing, and no host has to look.

    On a GPU the rate and `bad` lie in tensors of their own, so that a recording follows them.
    """

    def __init__(self, optimiser: Optimizer, device: torch.device, *, records: bool) -> None:
        self._optimiser = optimiser
        self._rate: Tensor | None = None
        self._bad: Tensor | None = None
        self._recorded: Replayed[None] | None = None
        if records and device.type == "cuda" and isinstance(optimiser, Muon):  # the fused others are a kernel or two
            self._rate, self._bad = torch.zeros((), device=device), torch.zeros((), device=device)
            self._recorded = Replayed(self._step, "the optimiser's update")

    def __call__(self, lr: float, bad: Tensor) -> None:
        if self._rate is None or self._bad is None or self._recorded is None:
            self._set(lr, bad)
            self._step()
            return
        self._rate.fill_(lr)
        self._bad.copy_(bad)
        self._set(self._rate, self._bad)
        self._recorded()

    def forget(self) -> None:
        """The optimiser's tensors are others from here on."""
        if self._recorded is not None:
            self._recorded.forget()

    def _set(self, lr: float | Tensor, bad: Tensor) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._optimiser.found_inf = bad  # type: ignore[attr-defined]

    def _step(self) -> None:
        self._optimiser.step()
