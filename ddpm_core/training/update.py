"""The end of a step: clip the gradient, update the meter, the weights and their averages."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ddpm_core.training.ema import Ema
from ddpm_core.training.meter import Meter
from ddpm_core.training.replayed import Replayed
from ddpm_core.training.spans import span


class Update:
    """One update, which changes nothing if the loss or the gradient is not finite.

    The host checks that on a CPU. A GPU's kernels read it from a tensor, so that the host need not wait; the rate and
    the averages' shares are tensors too, which a recording reads anew.
    """

    def __init__(
        self,
        optimiser: Optimizer,
        model: nn.Module,
        ema: Ema | None,
        meter: Meter,
        *,
        grad_clip: float,
        device: torch.device,
        records: bool,
    ) -> None:
        self._optimiser, self._model, self._ema, self._meter = optimiser, model, ema, meter
        self._parameters = [weight for group in optimiser.param_groups for weight in group["params"]]
        self._grad_clip = grad_clip
        on_gpu = device.type == "cuda"
        self._host_decides = not on_gpu  # whether to skip the update
        self._lr: float | Tensor = torch.zeros((), device=device) if on_gpu else 0.0
        self._shares: Sequence[float | Tensor] = ()
        self._seen: tuple[Tensor, ...] = ()
        self._norm: Tensor | None = None
        self.left_out = False
        """Whether the last update was skipped, on a CPU; on a GPU it is only known at the end of a window."""
        self._recorded = Replayed(self._run, "the update") if on_gpu and records else None

    def __call__(
        self, lr: float, step: int, total: Tensor, band: Tensor, items: Tensor, *, gradients_stay: bool
    ) -> Tensor:
        """Update by the gradients in the parameters; gives 1 if the update of step 1, 2, ... was skipped, else 0.

        `gradients_stay`: they are in the same tensors as at the step before.
        """
        self._take(lr, self._ema.shares(step) if self._ema else (), (total, band, items))
        if self._recorded is None or not gradients_stay:
            self.forget()
            return self._run()
        if not self._recorded.is_recorded:
            return self._recorded()
        with span("optimiser"):
            return self._recorded()

    def forget(self) -> None:
        """The tensors of weights, gradients or optimiser have changed."""
        if self._recorded is not None:
            self._recorded.forget()

    @property
    def norm(self) -> float:
        """The norm of the last gradient before clipping."""
        return float("nan") if self._norm is None else float(self._norm)

    def _take(self, lr: float, shares: Sequence[float], seen: tuple[Tensor, ...]) -> None:
        if not isinstance(self._lr, Tensor):
            self._lr, self._shares, self._seen = lr, shares, seen
            return
        if [value.shape for value in self._seen] != [value.shape for value in seen]:
            self.forget()
            self._seen = tuple(value.clone() for value in seen)
            self._shares = [torch.zeros_like(self._lr) for _ in shares]
        torch._foreach_copy_(list(self._seen), list(seen))
        self._lr.fill_(lr)
        for place, share in zip(self._shares, shares, strict=True):
            if isinstance(place, Tensor):
                place.fill_(share)

    def _run(self) -> Tensor:
        total, band, items = self._seen
        with span("optimiser"):
            self._norm = norm = self._clip()
        bad = (~(torch.isfinite(total) & torch.isfinite(norm))).float()
        self._meter.add(total, norm, bad, band, items)
        self.left_out = self._host_decides and bool(bad)
        if self.left_out:
            return bad
        with span("optimiser"):
            for group in self._optimiser.param_groups:
                group["lr"] = self._lr
            self._optimiser.found_inf = bad  # type: ignore[attr-defined]
            self._optimiser.step()
        if self._ema is not None:
            with span("average"):
                self._ema.update(self._model, self._shares, None if self._host_decides else bad)
        return bad

    def _clip(self) -> Tensor:
        """The norm of the whole gradient before clipping to `grad_clip`."""
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self._grad_clip > 0:
            nn.utils.clip_grads_with_norm_(self._parameters, self._grad_clip, norm)
        return norm
