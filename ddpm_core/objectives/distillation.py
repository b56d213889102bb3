"""Distillation: the squared error of a student's output from the answer of a frozen, guided teacher.

    guidance       target = v_c + w (v_c - v_null) of the teacher at x_t = a x_0 + g eps, x_0 training data
    trajectories   target = the output at a state of a trajectory of the teacher's sampler that takes the student's
                   own row to the state at its next level

A student is never shown data without their conditions, so it cannot be guided again.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import Guide, Net
from ddpm_core.diffusion.noise import Purpose, generator, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.regression import solved
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.diffusion.time_law import FixedLaw, TimeLaw
from ddpm_core.errors import ParamsError
from ddpm_core.objectives.base import Loss
from ddpm_core.objectives.batch import WHOLE, Batch, Share
from ddpm_core.objectives.diffusion import DiffusionDraw, DiffusionObjective, bands
from ddpm_core.samplers.base import Sampler
from ddpm_core.spec import DataSpec, in_turn
from ddpm_core.tensors.denoiser import asked
from ddpm_core.tensors.process import Process, to_device

if TYPE_CHECKING:
    from ddpm_core.objectives.distillation_config import DistillationConfig

_log = logging.getLogger(__name__)
_AT_ONCE = 256  # trajectories that are made in one batch


class BakedGuidanceObjective(DiffusionObjective):
    """The error from the guided teacher's answer at data with noise."""

    def __init__(self, process: Process, law: TimeLaw, teacher: Net, guide: Guide) -> None:
        super().__init__(process, _evenly(process), law)
        self._teacher, self._guide = teacher, guide

    def loss(self, net: nn.Module, draw: DiffusionDraw) -> Loss:
        """As in a training on data, with the teacher's answer in place of the target.

        The teacher answers here and not in `draw`, so that its kernels are recorded and its batch is split with the
        student's.
        """
        answer = self._guide.in_kernels(self._teacher, draw.cond)(draw.x_in, draw.time)
        return super().loss(net, replace(draw, target=answer))


class Trajectories(NamedTuple):
    """States of trajectories at the student's levels but the last, and the outputs that lead from each to the next."""

    x_in: Tensor  # c_in x [rows, n, ...]
    target: Tensor  # [rows, n, ...]
    cond: dict[str, Tensor]  # [n, ...]


class TrajectoryObjective(DiffusionObjective):
    """The error from the outputs of trajectories, which are made once, at the first step; of a batch it has the size.

    Each row of the student's plan has an equal share of every step.
    """

    def __init__(self, process: Process, levels: list[int], make: Callable[[torch.device], Trajectories]) -> None:
        super().__init__(process, _evenly(process), FixedLaw(np.ones(process.T), stratified=True, corrected=True))
        self._levels = np.array(levels[:-1], dtype=np.int64)
        self._make = make
        self._made: Trajectories | None = None

    def draw(self, batch: Batch, seed: int, step: int, share: Share = WHOLE) -> DiffusionDraw:
        """Which trajectory and which of its states each item is."""
        device = batch.x0.device
        if self._made is None:
            self._made = self._make(device)
        made, size = self._made, len(batch) * share.of
        own = share.rows(size)
        random = generator(seed, Purpose.DISTIL, step)
        which = random.integers(made.x_in.shape[1], size=size)[own]
        rows = random.permutation(np.arange(size) % len(self._levels))[own]
        place = to_device(rows, device), to_device(which, device)
        t, x_in = self._levels[rows], made.x_in[place]
        one = torch.ones((len(t), *(1,) * (x_in.ndim - 1)), device=device)
        return DiffusionDraw(
            count=torch.full((), float(x_in.numel()), device=device),
            band=to_device(bands(t, self.process.T), device),
            t=t,
            x_in=x_in,
            time=self.process.at(t, x_in).time,
            cond={name: value[place[1]] for name, value in made.cond.items()},
            x0=x_in,
            target=made.target[place],
            factor=one,
            weight=one,
            element=None,
            rows=(),
        )


def recorded(
    teacher: Net,
    guide: Guide,
    fine: Sampler,
    coarse: Sampler,
    parameterisation: Parameterisation,
    spec: DataSpec,
    number: int,
    device: torch.device,
) -> Trajectories:
    """Trajectories of the guided teacher by the sampler `fine`, as the sampler `coarse` would walk them.

    Their noise is of a purpose of its own, so no sample ever begins where one of them does; classes come in turn.
    """
    schedule = parameterisation.schedule
    long, short = fine.plan(schedule, "fixed_small"), coarse.plan(schedule, "fixed_small")
    landings = {int(level): row for row, level in enumerate(long.s)}  # the last row that ends at a level
    ends = {landings[int(level)]: place for place, level in enumerate(short.s, start=1)}
    rows, bound = short.rows(parameterisation), operator(long.bound, spec.range)
    cond = {name: to_device(value, device) for name, value in in_turn(spec, number).items()}
    _log.info("making %s trajectories of the teacher, of %d evaluations each", f"{number:,}", len(long))
    x_in: list[Tensor] = []
    target: list[Tensor] = []
    for start in range(0, number, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, number))
        noise = step_noise(range(part.start, part.stop), 0, spec.shape, purpose=Purpose.DISTIL)
        x_T = torch.from_numpy(noise * np.float32(long.start_scale)).to(device)
        states = [x_T] * (len(rows) + 1)

        def keep(row: int, x: Tensor, D: Tensor, states: list[Tensor] = states) -> None:
            if row in ends:
                states[ends[row]] = x

        denoise = guide.bind(teacher, {name: value[part] for name, value in cond.items()})
        generate(long, parameterisation, denoise, x_T, _no_noise, bound=bound, on_step=keep)
        exact = [state.double() for state in states]
        found = solved(rows, exact)
        x_in.append(torch.stack([row.c_in * x for row, x in zip(rows, exact[:-1], strict=True)]).float())
        outs = [(D - row.A * x) / row.B for row, x, D in zip(rows, exact[:-1], found, strict=True)]
        target.append(torch.stack(outs).float())
    return Trajectories(torch.cat(x_in, dim=1), torch.cat(target, dim=1), cond)


def build_distillation(
    config: "DistillationConfig", spec: DataSpec, teacher: nn.Module, dtype: torch.dtype
) -> DiffusionObjective:
    """The objective of section `diffusion`, with its teacher's network, on the device that trains."""
    parameterisation = config.parameterisation()
    process, schedule, guidance = Process(parameterisation), parameterisation.schedule, config.guidance
    if guidance.weight and not spec.null:
        raise ParamsError(
            f"diffusion.guidance.weight: must be 0 for data without labels, got {guidance.weight:g}; there is nothing "
            "to guide by"
        )
    interval = guidance.time_interval(schedule)
    guide = Guide(guidance.weight, spec.null, spec.channels, interval, guidance.rescale)
    net = asked(teacher.eval().requires_grad_(False), spec.null, dtype)
    method = config.method
    if method.kind == "guidance":
        return BakedGuidanceObjective(process, interval_law(schedule, interval, method.inside), net, guide)
    if spec.masked or not all(each.classes for each in spec.conditions.values()):
        raise ParamsError(
            "diffusion.method: trajectories are made for data with classes or nothing, whole ones; got conditions "
            f"{sorted(spec.conditions)}; take kind guidance"
        )

    def make(device: torch.device) -> Trajectories:
        return recorded(net, guide, method.teacher, method.student, parameterisation, spec, method.number, device)

    return TrajectoryObjective(process, list(method.levels), make)


def interval_law(schedule: Schedule, interval: tuple[float, float] | None, inside: float) -> TimeLaw:
    """A share `inside` of all draws spread evenly over the interval (in the network's time), the rest over all levels.

    The law is part of the loss: no factor takes it off.
    """
    time, p = schedule.time[1:], np.full(schedule.T, 1 / schedule.T)
    if interval is not None:
        within: Floats = ((time >= interval[0]) & (time <= interval[1])).astype(np.float64)
        if within.any():
            p = (1 - inside) * p + inside * within / within.sum()
    return FixedLaw(p, stratified=True, corrected=False)


def _evenly(process: Process) -> Floats:
    weights = np.ones(process.T + 1)
    weights[0] = 0
    return weights


def _no_noise(step: int) -> Tensor:
    raise AssertionError(f"a trajectory draws no noise, but row {step} asked for it")
