"""The two sides that gpu_speed.py compares: our training and diffusers' network, both in whole steps."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_common import OPTIMISERS, Context, batch_of, config_of, objective_of, prepare, source, trainer_of
from networks import diffusers_network
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode


class Ours:
    """Training through Trainer; one that goes on for as long as it is asked."""

    def __init__(
        self,
        context: Context,
        which: Any,
        size: int,
        compiled: Any,
        optimiser: str,
        deterministic: bool,
        records: bool = True,
    ) -> None:
        self.context, self.size, self.which, self.deterministic = context, size, which, deterministic
        self.net: list[nn.Module] = []
        self.window = context.size(20, 2)
        dtype = self._prepare()
        config = config_of(
            steps=1_000_000,
            batch_size=size,
            optimiser=OPTIMISERS[optimiser],
            log_every=self.window,
            checkpoint_every=1_000_000,
            ema_decay=0.9999,
            lr=2e-4,
        )
        self.dtype = dtype

        def keep(net: nn.Module) -> nn.Module:
            self.net.append(compiled(net))
            return self.net[-1]

        self.trainer = trainer_of(
            context,
            which,
            config,
            dtype,
            batches=source(which[1], size, kinds=4),
            compiled=keep if compiled is not None else None,
            records=records,
        )
        self.reports: Iterator[Any] = self.trainer.run()
        self.waits: list[float] = []

    def _prepare(self) -> torch.dtype:
        return prepare("bf16", deterministic=self.deterministic)

    def __call__(self) -> float:
        """Seconds a step, over one window; the loss is read at its end, so the GPU's work is done."""
        self._prepare()
        self.context.sync()
        began = time.perf_counter()
        for _ in range(self.window):
            report = next(self.reports)
        self.context.sync()
        self.waits.append(report.data_wait or 0.0)
        return (time.perf_counter() - began) / self.window

    def bare(self) -> Callable[[], float]:
        """Forward and backward alone of the very same network on one draw."""
        spec = self.which[1]
        objective = objective_of(spec)
        device = self.context.device
        draw = objective.draw(batch_of(spec, self.size, 0).to(device), 0, 0)
        net = self.net[0] if self.net else self.trainer.model

        def run() -> float:
            self._prepare()
            self.context.sync()
            began = time.perf_counter()
            for _ in range(self.window):
                with torch.autocast(device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                    loss = objective.loss(net, draw)
                loss.total.backward()
                self.trainer.model.zero_grad(set_to_none=True)
            self.context.sync()
            return (time.perf_counter() - began) / self.window

        return run

    def close(self) -> None:
        self.reports.close()  # type: ignore[attr-defined]


class Theirs:
    """The same steps of diffusers' network."""

    def __init__(self, context: Context, which: Any, size: int, *, compiled: bool) -> None:
        config, spec = which
        self.context, self.size, self.window = context, size, context.size(20, 2)
        torch.manual_seed(0)
        model = diffusers_network(config, spec.shape).to(context.device).train()
        self.model: nn.Module = model.to(memory_format=torch.channels_last)
        self.averages = [weight.detach().clone() for weight in self.model.parameters()]
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=2e-4, weight_decay=0.01, fused=True)
        self.net: Any = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.alpha_bar = torch.linspace(0.999, 0.001, 1000, device=context.device)
        batches = [batch_of(spec, size, number).x0 for number in range(4)]
        self.batches = [batch.pin_memory() for batch in batches] if context.cuda else batches
        self.number = 0

    def loss(self, size: int | None = None) -> Tensor:
        device = self.context.device
        x0 = self.batches[self.number % 4][:size].to(device, non_blocking=True)
        x0 = x0.contiguous(memory_format=torch.channels_last)
        eps = torch.randn_like(x0)
        t = torch.randint(0, 1000, (len(x0),), device=device)
        alpha_bar = self.alpha_bar[t][:, None, None, None]
        x = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
        net = self.net if size is None else self.model
        with torch.autocast(device.type, torch.bfloat16):
            answer = net(x, t).sample
        return F.mse_loss(answer.float(), eps)

    def __call__(self) -> float:
        prepare("bf16", deterministic=False)
        self.context.sync()
        began = time.perf_counter()
        for _ in range(self.window):
            self.loss().backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, list(self.model.parameters()), 1e-4)
            self.number += 1
        self.context.sync()
        return (time.perf_counter() - began) / self.window

    def flops(self) -> float:
        """Of forward and backward, an image."""
        few = self.context.size(8, 2)
        with FlopCounterMode(display=False) as counter:
            self.loss(few).backward()
        self.optimiser.zero_grad(set_to_none=True)
        return counter.get_total_flops() / few
