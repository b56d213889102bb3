"""The training loop: steps, state, guards. It uses an Objective and does not know what that measures.

Everything random in step k, and batch k, is a function of (seed, k), so a resumed run has the same numbers as an
uninterrupted one. With several processes each has its rows of batch k; all take the same decisions at the same step,
and only the first one averages, saves and logs.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_core.device import seed_network
from ddpm_core.errors import IntegrityError, NonFiniteError, Stopped
from ddpm_core.objectives.base import Objective
from ddpm_core.objectives.batch import Batch, Share
from ddpm_core.training.accumulate import Passes
from ddpm_core.training.checkpoint import Checkpoints, Snapshot
from ddpm_core.training.config import TrainConfig
from ddpm_core.training.distributed import ALONE, Processes
from ddpm_core.training.ema import Ema
from ddpm_core.training.guard import Guard
from ddpm_core.training.held_out import Best
from ddpm_core.training.lr import build_optimiser, lr_at
from ddpm_core.training.meter import Measures, Meter, Throughput
from ddpm_core.training.prefetch import Prefetch
from ddpm_core.training.spans import span
from ddpm_core.training.state import load_optimiser, named, optimiser_tensors, under
from ddpm_core.training.update import Update

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """After update number `step` = 1, 2, ...; `measures` and the speed at the end of each window, else None."""

    step: int
    measures: Measures | None
    items_per_second: float | None
    data_wait: float | None  # fraction of the window's time spent waiting for data
    nonfinite: int  # skipped steps or roll-backs so far, for a non-finite loss or gradient
    held_out: float | None  # loss of the averages on held-out data, if measured


class Trainer:
    """Trains `model`; `batches(k)` is the endless stream of data from batch k on, which a thread reads ahead.

    With several `processes` a batch has only the rows of this one. On a GPU a step is recorded and launched at once,
    unless `records` is false: the same bits, but slower.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: TrainConfig[Any],
        batches: Callable[[int], Iterator[Batch]],
        *,
        device: torch.device,
        dtype: torch.dtype,
        checkpoints: Checkpoints | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        processes: Processes = ALONE,
        compiled: Callable[[nn.Module], nn.Module] | None = None,
        held_out: Callable[[nn.Module, int], float] | None = None,
        records: bool = True,
    ) -> None:
        self.model, self.objective, self.config = model.to(device), objective, config
        self.device, self.dtype = device, dtype
        self.ema = Ema(self.model, config.ema_decay, config.ema_warmup, config.ema_more)
        self.best = Best(self.ema.model, held_out) if held_out else None
        self.step = 0
        self.history: list[Measures] = []
        self._batches, self._should_stop, self._processes = batches, should_stop, processes
        self._share = Share(processes.number, processes.count)
        self._checkpoints = checkpoints if processes.number == 0 else None
        self._passes = Passes(
            self.model,
            objective,
            processes,
            config.accumulate,
            device=device,
            dtype=dtype,
            compiled=compiled,
            records=records,
        )
        self._optimiser = build_optimiser(config.optimiser, self.model)
        self._parameters = [weight for group in self._optimiser.param_groups for weight in group["params"]]
        self._meter, self._guard = Meter(device), Guard(config)
        self._update = Update(
            self._optimiser,
            self.model,
            self.ema if processes.number == 0 else None,
            self._meter,
            grad_clip=config.grad_clip,
            device=device,
            records=records,
        )
        self._throughput = Throughput()

    @property
    def parts(self) -> int:
        """The number of parts of a batch: `accumulate`, or more if the memory was too small."""
        return self._passes.parts

    # --------------------------------------------------------------------------------------------- the loop

    def resume(self) -> bool:
        """Resume from the newest valid checkpoint, if there is one."""
        snapshot = self._processes.from_first(lambda: self._checkpoints.latest() if self._checkpoints else None)
        if snapshot is None:
            return False
        self._restore(snapshot)
        if self._processes.number == 0:
            _log.info("resumed from the checkpoint of step %d of %d", self.step, self.config.steps)
        return True

    def run(self) -> Generator[StepReport, None, None]:
        """Train to the last step, with a report per step; saves on the way and before it raises `Stopped`."""
        self.model.train()
        if self._guard.rolls_back and self.step == 0:
            self._begin_save()
        while self.step < self.config.steps:
            try:
                yield from self._run()
            except NonFiniteError as error:
                self._roll_back(error)

    def _run(self) -> Generator[StepReport, None, None]:
        ready = Prefetch(self._ready(self._batches(self.step + self._guard.passed)))
        self._throughput = Throughput()
        try:
            while self.step < self.config.steps:
                waited = perf_counter()
                with span("data"):
                    batch = next(ready)
                self._throughput.waited += perf_counter() - waited
                yield self._advance(batch)
                self._end_save(wait=False)
                stopping = self._processes.any(self._should_stop())
                due = self.step % self.config.checkpoint_every == 0 and self.step < self.config.steps
                if (stopping or due) and not self._guard.skips:
                    self._look(self._meter.bad())  # so that no checkpoint has a step that will be rolled back
                if stopping:
                    self._stop()
                if due:
                    self._begin_save()
        finally:
            ready.close()
            self._end_save()

    def _ready(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return (batch.pinned() for batch in batches) if self.device.type == "cuda" else batches

    def _advance(self, batch: Batch) -> StepReport:
        lr = lr_at(self.config, self.step)
        self._learn(batch.to(self.device), lr)
        self.step += 1
        self._throughput.items += len(batch) * self._processes.count
        if self.step % self.config.log_every != 0 and self.step < self.config.steps:
            return StepReport(self.step, None, None, None, self._guard.count, None)
        measures, bad = self._meter.read(self.step, lr)
        self._look(bad)
        if measures is not None:
            self.history.append(measures)
        rates, held_out = self._throughput.rates(), self._judge()
        self._throughput = Throughput()
        return StepReport(self.step, measures, *rates, self._guard.count, held_out)

    def _judge(self) -> float | None:
        due = self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps
        return self.best.judge(self.step, self.parts) if self.best and due and self._processes.number == 0 else None

    def _learn(self, batch: Batch, lr: float) -> None:
        with span("draw"):
            draw = self.objective.draw(batch, self._guard.seed, self.step, self._share)
            draw = replace(draw, count=self._processes.total(draw.count))
        losses = self._passes(draw, self._reseed)
        total = self._processes.total(torch.stack([loss.total.detach() for loss in losses]).sum())
        items = self._processes.gather(torch.cat([loss.items for loss in losses]))
        band = torch.full_like(items, -1) if draw.band is None else self._processes.gather(draw.band)
        bad = self._update(lr, self.step, total, band, items, gradients_stay=self._passes.gradients_stay)
        self._passes.clear_gradients()
        if self._update.left_out:
            what = f"loss {float(total)}, norm of the gradient {self._update.norm}"
            self._guard.leave_out(1, self.step + 1, what)
            return
        if self.objective.learns_from_losses and not bad:
            self.objective.observe(draw, items, self._processes.gather)

    def _reseed(self) -> None:
        seed_network(self._guard.seed, self.step + 1, self._processes.number)

    # ----------------------------------------------------------------------------------------------- guards

    def _look(self, bad: int) -> None:
        """Count the steps that the device skipped, at the end of a window or before a save."""
        if bad and not (self._guard.skips and self.device.type == "cpu"):
            self._guard.leave_out(bad, self.step + 1, f"in {bad} of the last {self.config.log_every} steps")

    def _roll_back(self, error: NonFiniteError) -> None:
        """Resume from the newest checkpoint, with another seed and with the data after the failed batch."""
        count = self._guard.roll_back(error)
        self._passes.clear_gradients()
        failed, reached = self.step + 1, self.step + self._guard.passed + 1
        if not self.resume():
            raise NonFiniteError(f"{error}; there is no checkpoint to roll back to") from error
        self._guard.count, self._guard.passed = count, reached - self.step
        _log.warning(
            "near step %d a loss or gradient was not finite: rolled back to step %d (%d of at most %d), continuing "
            "with another seed and with batch %d of the data",
            failed,
            self.step,
            count,
            self.config.nonfinite_limit,
            reached,
        )

    def _stop(self) -> None:
        raise Stopped(self._processes.from_first(self._last_words))

    def _last_words(self) -> str:
        if self._checkpoints is None:
            return f"stopped by a signal at step {self.step}; nothing was saved, as no checkpoints are kept"
        self._end_save()
        self.save()
        return f"stopped by a signal at step {self.step} and saved; the same command resumes from there"

    # ------------------------------------------------------------------------------------------------ state

    def save(self) -> None:
        """Write a checkpoint of everything that the next step depends on, and wait until it is on disk."""
        if self._checkpoints is not None:
            self._checkpoints.save(self.step, self._tensors(), self._state())

    def _begin_save(self) -> None:
        """Save while the training continues; waits for the save before it."""
        self._end_save()
        if self._checkpoints is not None:
            self._checkpoints.begin(self.step, self._tensors(), self._state())

    def _end_save(self, *, wait: bool = True) -> None:
        """Warn if a save failed; `wait` for one that is still being written."""
        error = self._checkpoints.failure(wait=wait) if self._checkpoints is not None else None
        if error is not None:
            _log.warning("%s; the training continues", error)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "history": [measures.to_dict() for measures in self.history],
            "objective": self.objective.state_dict(),
            "parts": self._passes.parts,
            "guard": self._guard.state_dict(),
            "best": self.best.state_dict() if self.best else None,
        }

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **named("model.", self.model.state_dict()),
            **named("ema.", self.ema.model.state_dict()),
            **named("further.", self.ema.further()),
            **named("best.", self.best.tensors() if self.best else {}),
            **named("optimiser.", optimiser_tensors(self._optimiser, self._parameters)),
            "meter": self._meter.state(),
        }

    def _restore(self, snapshot: Snapshot) -> None:
        tensors, state = snapshot.tensors, snapshot.state
        try:
            self.model.load_state_dict(under("model.", tensors))
            self.ema.model.load_state_dict(under("ema.", tensors))
            self.ema.load_further(under("further.", tensors))
            if self.best:
                self.best.load(state["best"], under("best.", tensors))
            load_optimiser(self._optimiser, self._parameters, under("optimiser.", tensors))
            self._update.forget()
            self._meter.load(tensors["meter"])
            self.history = [Measures.from_dict(value) for value in state["history"]]
            self.objective.load_state_dict(state["objective"])
            self._passes.parts = state["parts"]
            self._guard.load_state_dict(state["guard"])
            self.step = state["step"]
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise IntegrityError(
                f"the checkpoint of step {snapshot.step} must be of this training, but does not fit it ({error}); "
                "remove its folder to train from scratch"
            ) from error
