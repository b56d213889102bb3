"""Distillation beside known answers: guidance by its formula, trajectories by the exact flow of Gaussian data."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.guidance import Guide
from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.regression import solved
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.errors import ParamsError
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.distillation import Trajectories, TrajectoryObjective, interval_law, recorded
from ddpm_core.objectives.distillation_config import (
    BakedGuidance,
    DistillationConfig,
    TeacherConfig,
    TrajectoryRegression,
)
from ddpm_core.samplers.config import GuidanceConfig, named
from ddpm_core.samplers.unipc import Unipc2
from ddpm_core.spec import labelled
from ddpm_core.tensors.process import Process

COSINE = Cosine("cosine", 1000, 0.008, 0.999, False)
SCHEDULE = COSINE.build()
V = Parameterisation("v", SCHEDULE)
ORACLE = GaussianOracle(mean=0.3, variance=0.25)
LEVELS = {1: (1000, 0), 2: (1000, 500, 0), 4: (1000, 750, 500, 250, 0)}
POINT = labelled((1,), None, None, ())
TEACHER = TeacherConfig("t", "0" * 64)


def config(method: Any, weight: float = 0.6) -> DistillationConfig:
    return DistillationConfig("distillation", TEACHER, COSINE, "v", GuidanceConfig(weight, (0.25, 0.9), 0.0), method)


def coarse(steps: int) -> Unipc2:
    return Unipc2(steps, LEVELS[steps], "none", "unipc_2")


# ---- guidance


class Exact(nn.Module):
    """An answer of each datum alone, in exact arithmetic: told apart by its label."""

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return x * (1 + label).reshape(-1, 1).to(x.dtype) + t.reshape(-1, 1)


class Zero(nn.Module):
    """A student whose error is the whole target."""

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_the_target_is_the_guided_answer_to_the_bit_and_the_plain_one_outside_the_interval() -> None:
    spec = labelled((1,), None, None, ("a", "b"))
    objective = config(BakedGuidance("guidance", 0.5)).build_taught(spec, Exact(), torch.float32)
    label = torch.arange(64) % 2
    draw: Any = objective.draw(Batch(torch.linspace(-1, 1, 64)[:, None], {"label": label}), 0, 0)
    given, null = (Exact()(draw.x_in, draw.time, each) for each in (label, torch.full_like(label, 2)))
    inside = ((draw.time >= 250) & (draw.time <= 900))[:, None]
    assert 0 < int(inside.sum()) < 64
    target = torch.where(inside, given + 0.6 * (given - null), given)
    assert torch.equal(objective.loss(Zero(), draw).items, target.flatten() ** 2)


@pytest.mark.parametrize("inside", [0.0, 0.8, 1.0])
def test_so_many_of_the_levels_lie_in_the_interval_and_none_is_weighted_back(inside: float) -> None:
    law = interval_law(SCHEDULE, (250.0, 900.0), inside)
    t, factor = law.draw(100_000, np.random.default_rng(0))
    share = ((t >= 250) & (t <= 900)).mean()
    assert share == pytest.approx(inside + (1 - inside) * 0.651, abs=1e-4)
    assert (factor == 1).all()
    np.testing.assert_allclose(interval_law(SCHEDULE, None, inside).probabilities(), 1 / 1000, rtol=1e-12)


def test_guidance_needs_labels() -> None:
    with pytest.raises(ParamsError, match=r"diffusion.guidance.weight: must be 0 .* got 0.6"):
        config(BakedGuidance("guidance", 0.5)).build_taught(POINT, Exact(), torch.float32)


# ---- trajectories


def exact_student(steps: int) -> Any:
    """The network that walks the exact flow in this plan's rows: each row solved for x0_hat, in closed form."""
    plan = coarse(steps).plan(SCHEDULE, "fixed_small")
    rows, landed = plan.rows(V), [int(plan.t[0]), *plan.s.tolist()]

    def denoise(x: Any, time: Any) -> Any:
        n = landed.index(int(time[0]))
        states = [ORACLE.flow(SCHEDULE, x, landed[n], level) for level in landed[: n + 2]]
        return (solved(rows[: n + 1], states)[n] - rows[n].A * x) / rows[n].B

    return denoise


@pytest.mark.parametrize("steps", LEVELS)
def test_the_exact_student_samples_what_the_flow_makes_of_the_noise(steps: int) -> None:
    plan = coarse(steps).plan(SCHEDULE, "fixed_small")
    mean_T, variance_T = (float(moment) for moment in ORACLE.marginal(SCHEDULE, 1000))
    mean, variance = moments(plan, V, exact_student(steps))
    assert mean == pytest.approx(0.3 - (0.25 / variance_T) ** 0.5 * mean_T, abs=1e-9)
    assert variance == pytest.approx(0.25 / variance_T, abs=1e-9)
    assert (mean, variance) == pytest.approx((0.3, 0.25), abs=1e-4)


def on_the_flow(steps: int, n: int = 200) -> Trajectories:
    """Trajectories of the exact flow."""
    plan = coarse(steps).plan(SCHEDULE, "fixed_small")
    rows, x_T = plan.rows(V), np.random.default_rng(0).standard_normal((n, 1))
    states = [ORACLE.flow(SCHEDULE, x_T, 1000, level) for level in LEVELS[steps]]
    outs = [(D - row.A * x) / row.B for row, x, D in zip(rows, states[:-1], solved(rows, states), strict=True)]
    as_tensor = (torch.from_numpy(np.stack(each)).float() for each in (states[:-1], outs))
    return Trajectories(*as_tensor, {})


class ExactStudent(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.denoise = exact_student(steps)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        outs = [self.denoise(each[None].double().numpy(), [float(time)]) for each, time in zip(x, t, strict=True)]
        return torch.from_numpy(np.concatenate(outs)).float()


def loss_of(steps: int, made: Trajectories) -> float:
    """The loss of the exact student on some trajectories."""
    objective = TrajectoryObjective(Process(V), list(LEVELS[steps]), lambda device: made)
    draw = objective.draw(Batch(torch.zeros(64, 1), {}), 0, 0)
    assert sorted(set(draw.t.tolist())) == sorted(LEVELS[steps][:-1])
    return float(objective.loss(ExactStudent(steps), draw).total)


@pytest.mark.parametrize("steps", LEVELS)
def test_the_exact_student_has_no_loss_on_the_exact_flow(steps: int) -> None:
    assert loss_of(steps, on_the_flow(steps)) <= 1e-9


def made_by(fine: Any, steps: int) -> Trajectories:
    answer = ORACLE.network(V)
    guide = Guide(0.0, {}, 1, None, 0.0)
    cpu = torch.device("cpu")
    return recorded(lambda x, t, cond: answer(x, t), guide, fine, coarse(steps), V, POINT, 64, cpu)


def test_the_targets_of_a_finer_teacher_of_first_order_converge_at_its_order() -> None:
    """The error falls with the steps, so the loss with their square."""
    teachers = (replace(named("ddim", 4 * parts, None), bound="none") for parts in (4, 8, 16, 32))
    losses = [loss_of(4, made_by(teacher, 4)) for teacher in teachers]
    assert all(3 < before / after < 5 for before, after in pairwise(losses)), losses


def test_a_students_rows_walk_the_teachers_trajectory() -> None:
    """Fed with its targets, the plan ends where the teacher's finer plan ends."""
    made = made_by(Unipc2(8, "trailing", "none", "unipc_2"), 4)
    plan = coarse(4).plan(SCHEDULE, "fixed_small")
    rows, states = plan.rows(V), [x.double() for x in made.x_in]
    D = [row.A * x + row.B * out.double() for row, x, out in zip(rows, states, made.target, strict=True)]
    for n in (1, 2, 3):
        walked = rows[n - 1].c_x * states[n - 1] + rows[n - 1].c_D * D[n - 1]
        for back, c in enumerate(rows[n - 1].past_D, start=1):
            walked = walked + c * D[n - 1 - back]
        torch.testing.assert_close(walked, states[n], rtol=0, atol=1e-5)


def test_a_row_that_cannot_be_solved_is_refused() -> None:
    rows = named("ancestral", 3, None).plan(SCHEDULE, "fixed_small").rows(V)
    with pytest.raises(ParamsError, match="draws no noise, not row 0"):
        solved(rows, [np.zeros(1)] * 4)
    with pytest.raises(ParamsError, match="one more than the 3 rows, got 3"):
        solved(rows, [np.zeros(1)] * 3)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((1000, 600, 0), r"method.levels: must begin at 1000 and be among .* 8 steps .*, got \[1000, 600, 0\]"),
        ((875, 500, 0), r"method.levels: must begin at 1000"),
        ((1000, 500), r"levels: explicit levels must fall and end in 0"),
        ((), r"levels: explicit levels must fall and end in 0"),
    ],
)
def test_levels_that_the_teacher_does_not_visit_are_refused(levels: tuple[int, ...], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        config(TrajectoryRegression("trajectories", 10, 8, levels, "clip"))


def test_trajectories_are_made_of_labels_alone() -> None:
    masked = replace(POINT, masked=True)
    method = TrajectoryRegression("trajectories", 10, 8, (1000, 0), "none")
    with pytest.raises(ParamsError, match=r"diffusion.method: trajectories are made for data with classes or nothing"):
        config(method, 0.0).build_taught(masked, Exact(), torch.float32)


def test_what_a_bundle_says_of_a_student() -> None:
    baked = config(BakedGuidance("guidance", 0.5)).student()
    assert (baked.teacher, baked.guidance["weight"], baked.sampler) == ("0" * 64, 0.6, None)
    walked = config(TrajectoryRegression("trajectories", 10, 8, (1000, 500, 0), "clip")).student()
    assert walked.sampler == {"kind": "unipc_2", "levels": [1000, 500, 0], "bound": "clip"}
