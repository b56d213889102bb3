"""Explicit levels: visited as they are, falling, within the schedule, and the same plan as the rule that gives them."""

import numpy as np
import pytest

from ddpm_core.diffusion.plan import PlanBuilder
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.config import named, sampler_kinds


@pytest.mark.parametrize("kind", sampler_kinds())
def test_levels_must_fall(schedule_of, sampler_of, kind):
    for levels in ([5, 5, 0], [3, 4], [7], [3, -1]):
        with pytest.raises(ParamsError, match="levels must fall"):
            sampler_of(kind, 2).over(levels, schedule_of("linear"), "fixed_small")


def test_levels_beyond_the_schedule_are_refused(schedule_of):
    for t, s in ((51, 0), (0, 0), (3, 51), (3, -1)):
        with pytest.raises(ParamsError, match=rf"must lie in 1\.\.50 and 0\.\.50, got {t} -> {s}"):
            PlanBuilder(schedule_of("edm", 50), "own", "none").add(t, s, c_D=1.0)


@pytest.mark.parametrize("kind", sampler_kinds())
def test_explicit_levels_are_visited_and_hold_for_their_own_number_of_steps(schedule_of, sampler_of, kind):
    """The rule: another number of steps, by a request or by a name, is trailing; the same number keeps the levels."""
    levels, schedule = (1000, 850, 650, 420, 190, 0), schedule_of("cosine")
    sampler = sampler_of(kind, 5, spacing=levels)
    plan = sampler.plan(schedule, "fixed_small")
    assert set(plan.t) >= set(levels[:-1])
    assert plan.to_dict() == sampler.over(levels, schedule, "fixed_small").to_dict()
    assert sampler.with_steps(5) == sampler
    assert sampler.with_steps(7) == sampler_of(kind, 7)
    for other in sampler_kinds():
        assert named(other, 5, sampler).spacing == levels
        assert named(other, 7, sampler).spacing == "trailing"


def test_a_rule_written_out_as_levels_is_the_same_plan(schedule_of, sampler_of):
    schedule = schedule_of("cosine")
    rule = sampler_of("unipc_2", 10, "quadratic")
    explicit = sampler_of("unipc_2", 10, spacing=tuple(rule.levels(schedule)))
    assert explicit.plan(schedule, "fixed_small").to_dict() == rule.plan(schedule, "fixed_small").to_dict()


@pytest.mark.parametrize(("t", "s"), [(600.5, 500), (600, 0.5), (7.0, 3), ("7", 3), (True, 0)])
def test_the_levels_of_a_row_are_whole_numbers(schedule_of, t, s):
    rows = PlanBuilder(schedule_of("linear"), "own", "none")
    with pytest.raises(ParamsError, match=r"whole numbers.*Parameterisation\.at"):
        rows.add(t, s, c_D=1.0)
    rows.add(np.int64(600), np.int32(500), c_D=1.0)
    assert rows.finish().t.tolist() == [600]
