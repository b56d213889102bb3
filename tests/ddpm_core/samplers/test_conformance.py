"""Laws that every sampler keeps on every schedule; a new member of the union is tested without a line here."""

import json
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from ddpm_core.checks import Checks
from ddpm_core.diffusion.generate import begin, generate, step_once
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import OptimalVariance
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named, sampler_kinds

SCHEDULES = ("linear", "cosine", "geometric_ve", "edm", "rectified_flow", "cosine_zero_snr")
COLUMNS = ("c_x", "past_x", "c_D", "past_D", "c_z")


def same_rows(one, two, tolerance=3e-13):
    return all(np.abs(getattr(one, c) - getattr(two, c)).max(initial=0) <= tolerance for c in COLUMNS)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", sampler_kinds())
def test_laws_of_every_plan(schedule_of, sampler_of, kind, name):
    schedule = schedule_of(name, 200)
    explicit = sampler_of(kind, 5, spacing=(200, 150, 90, 40, 10, 0))
    for sampler in (*(sampler_of(kind, steps) for steps in (1, 2, 20, 200)), explicit):
        steps, plan = sampler.steps, sampler.plan(schedule, "fixed_small")
        assert plan.t[0] == schedule.T
        assert plan.s[-1] == 0
        assert plan.kind == kind
        assert len(plan) >= steps
        # A row that takes nothing from the network (Langevin where no signal is) does not ask it.
        assert (plan.asks == (plan.c_D != 0)).all()
        assert plan.evaluations == plan.asks.sum()
        # What falls on clean data is x0_hat alone: no x, no noise.
        assert plan.c_D[-1] == pytest.approx(1)
        assert (plan.c_x[-1], plan.c_z[-1], plan.learned[-1]) == (0, 0, 0)
        # Rows fit together, and the network is told the level where it is asked.
        assert (plan.s[:-1] == plan.t[1:]).all()
        assert (plan.time == schedule.time[plan.t]).all()
        assert (plan.a == schedule.a[plan.t]).all()
        assert (plan.g == schedule.g[plan.t]).all()
        # No row looks back beyond the first one.
        for past in (plan.past_x, plan.past_D):
            assert not np.triu(past[: past.shape[1]]).any()
        # No two rows share noise, and none takes that of x_T.
        assert plan.noise_step.tolist() == list(range(1, len(plan) + 1))
        assert plan.start_scale == (schedule.g[-1] if name in ("geometric_ve", "edm") else 1)


@pytest.mark.parametrize("kind", sampler_kinds())
def test_a_plan_of_the_older_layout_reads_as_it_was(schedule_of, sampler_of, kind):
    """One column for each row back, as far as two; before that as far as one."""
    plan = sampler_of(kind, 7).plan(schedule_of("cosine"), "learned")
    whole = plan.to_dict()
    x, D = (np.pad(past, ((0, 0), (0, 2)))[:, :2].T.tolist() for past in (plan.past_x, plan.past_D))
    old = {**whole, "c_xp": x[0], "c_Dp": D[0], "c_Dpp": D[1]}
    del old["past_x"], old["past_D"]
    assert SamplingPlan.from_dict(old).to_dict() == whole
    if plan.memory < 2:
        del old["c_Dpp"]
        assert SamplingPlan.from_dict(old).to_dict() == whole


@pytest.mark.parametrize("kind", sampler_kinds())
def test_dict_round_trip_is_exact(schedule_of, sampler_of, kind):
    plan = sampler_of(kind, 7).plan(schedule_of("cosine"), "learned")
    again = SamplingPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    for f in fields(SamplingPlan):
        one, two = getattr(plan, f.name), getattr(again, f.name)
        assert one.tobytes() == two.tobytes() if isinstance(one, np.ndarray) else one == two


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "quadratic", "log_snr"])
@pytest.mark.parametrize(("T", "steps"), [(1000, 10), (200, 200)])
def test_ddim_of_eta_1_is_ancestral_row_by_row(schedule_of, sampler_of, name, spacing, T, steps):
    """On every spacing: the level before is the one of the spacing, not one stride back."""
    schedule = schedule_of(name, T)
    ddim = sampler_of("ddim", steps, spacing, eta=1.0).plan(schedule, "fixed_large")
    ancestral = sampler_of("ancestral", steps, spacing).plan(schedule, "fixed_small")
    assert same_rows(ddim, ancestral, 1e-12 * max(1.0, schedule.start_scale))


@pytest.mark.parametrize("name", SCHEDULES)
def test_ddim_of_eta_1_takes_the_optimal_variance_as_ancestral_does(schedule_of, sampler_of, name):
    """Bao et al. 2022, theorem 1; without noise there is no variance to choose, and clean data get none."""
    schedule = schedule_of(name, 100)
    optimal = OptimalVariance(GaussianOracle(0.3, 0.25).x0_variance(schedule))
    ddim, ancestral = (
        sampler_of(kind, 9, **own).plan(schedule, optimal) for kind, own in (("ddim", {"eta": 1.0}), ("ancestral", {}))
    )
    assert same_rows(ddim, ancestral, 1e-12 * max(1.0, schedule.start_scale))
    assert (ddim.c_z[:-1] > sampler_of("ddim", 9, eta=1.0).plan(schedule, "fixed_small").c_z[:-1]).all()
    assert not sampler_of("ddim", 9).plan(schedule, optimal).needs_noise
    with pytest.raises(ParamsError, match=r"levels 0\.\.100, got 3"):
        sampler_of("ddim", 9, eta=0.5).plan(schedule, OptimalVariance(np.zeros(3)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_three_names_of_one_method(schedule_of, sampler_of, name):
    """DDIM with eta = 0, Euler in sigma, and DPM-Solver++ of first order."""
    schedule = schedule_of(name)
    ddim, euler, first = (sampler_of(k, 15).plan(schedule, "fixed_small") for k in ("ddim", "euler", "dpmpp_1"))
    assert same_rows(ddim, euler, 0)
    assert same_rows(ddim, first)


@pytest.mark.parametrize("kind", ["ddim", "euler", "heun", "dpmpp_1", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m", "unipc_2"])
def test_ode_samplers_draw_no_noise(schedule_of, sampler_of, kind):
    for variance in ("fixed_large", "learned"):
        assert not sampler_of(kind, 9).plan(schedule_of("linear"), variance).needs_noise


def test_ancestral_draws_noise_at_every_row_but_the_last(schedule_of, sampler_of):
    """It is t = 1 that draws none."""
    plan = sampler_of("ancestral", 1000).plan(schedule_of("linear"), "fixed_large")
    assert (plan.c_z[:-1] > 0).all()
    assert plan.c_z[-1] == 0
    assert plan.t[-1] == 1


def test_variance_on_a_subset_is_that_of_the_subset(schedule_of, sampler_of):
    """sigma^2 of a step from 500 to 400 is not beta_500."""
    schedule = schedule_of("linear")
    plan = sampler_of("ancestral", 10).plan(schedule, "fixed_large")
    assert plan.c_z[5] ** 2 == pytest.approx(1 - schedule.alpha_bar[500] / schedule.alpha_bar[400])


def test_evaluations_of_second_order(schedule_of, sampler_of):
    edm = schedule_of("edm")
    assert sampler_of("heun", 18).plan(edm, "fixed_small").evaluations == 35
    assert sampler_of("dpmpp_2s", 18).plan(edm, "fixed_small").evaluations == 35
    for kind in ("dpmpp_2m", "dpmpp_3m", "unipc_2"):
        assert sampler_of(kind, 18).plan(edm, "fixed_small").evaluations == 18


def test_neighbouring_levels_have_no_middle(schedule_of, sampler_of):
    assert sampler_of("dpmpp_2s", 1000).plan(schedule_of("linear"), "fixed_small").evaluations == 1000


def test_third_order_has_a_parabola_behind_it_and_two_steps_to_go(schedule_of, sampler_of):
    """Orders 1, 2, 3 ... 3, 2, 1 on the way to clean data; on a stretch that ends before it, 3 to the end."""
    schedule = schedule_of("cosine")
    whole = sampler_of("dpmpp_3m", 7).plan(schedule, "fixed_small")
    assert (whole.past_D[:, 1] != 0).tolist() == [False, False, True, True, True, False, False]
    assert (whole.past_D[:, 0] != 0).tolist() == [False, True, True, True, True, True, False]
    stretch = sampler_of("dpmpp_3m", 7).over([700, 600, 500, 400, 300], schedule, "fixed_small")
    assert (stretch.past_D[:, 1] != 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", ["dpmpp_3m", "unipc_2"])
def test_a_polynomial_is_integrated_exactly(sampler_of, kind):
    """x0_hat = 1 + 2 lam - lam^2 whatever x is: the second row of full order lands where the integral says."""
    lam = np.append(np.inf, [2.0, 1.1, 0.7, 0.1, -0.3, -1.0])
    a, g = 1 / np.sqrt(1 + np.exp(-2 * lam)), 1 / np.sqrt(1 + np.exp(2 * lam))
    schedule = Schedule(a, g, np.arange(7, dtype=np.float32), "vp", 1.0)
    plan = sampler_of(kind, 1).over([6, 5, 4, 3, 2], schedule, "fixed_small")
    known = np.append(0.0, 1 + 2 * lam[1:] - lam[1:] ** 2)

    def exact(x, t, s):
        """The antiderivative of e^lam (1 + 2 lam - lam^2) is e^lam (-3 + 4 lam - lam^2)."""
        primitive = np.exp(lam[1:]) * (-3 + 4 * lam[1:] - lam[1:] ** 2)
        return g[s] / g[t] * x + g[s] * (primitive[s - 1] - primitive[t - 1])

    def run(rows):
        state = begin(np.array([[0.7]]), plan.memory)
        for row in plan.rows(Parameterisation("x0", schedule))[:rows]:
            state = step_once(row, state, lambda x, time: x * 0 + known[int(time[0])], lambda step: None)
        return state.x.item()

    if kind == "dpmpp_3m":
        assert run(4) == pytest.approx(exact(run(3), 3, 2), rel=1e-12)
    else:
        # The row from 3 makes the step from 4 to 3 anew: exactly, from what the row from 4 made of x there.
        h = lam[2] - lam[3]
        predicted = known[3] + (known[3] - known[4]) / (2 * (lam[3] - lam[4]) / h)
        at_3 = (run(4) + a[2] * np.expm1(-h) * predicted) * g[3] / g[2]
        h = lam[3] - lam[4]
        predicted = known[4] + (known[4] - known[5]) / (2 * (lam[4] - lam[5]) / h)
        at_4 = (run(3) + a[3] * np.expm1(-h) * predicted) * g[4] / g[3]
        assert at_3 == pytest.approx(exact(at_4, 4, 3), rel=1e-12)


def test_the_network_is_asked_for_what_later_rows_use(schedule_of):
    rows = PlanBuilder(schedule_of("edm", 50), "own", "none")
    for c_D, *past_D in ((0,), (0,), (0, 0, 0.5), (0, 0.5), (0,), (1, 0, 0, 0, 0.1)):
        rows.add(3, 3, c_x=1.0, c_D=c_D, past_D=past_D)
    plan = rows.finish()
    assert plan.asks.tolist() == [True, True, True, False, False, True]
    assert plan.memory == 4


def test_a_row_may_look_back_as_far_as_it_likes(schedule_of):
    """Each x and each D of the past by a weight of its own, known answers, and no row may look beyond the state."""
    schedule = schedule_of("edm", 50)
    rows = PlanBuilder(schedule, "own", "none")
    for _ in range(4):
        rows.add(3, 3, c_x=2.0, c_D=1.0)
    rows.add(3, 3, past_x=(0.0, 0.0, 0.0, 100.0), c_D=0.5, past_D=(1.0, 10.0, 0.0, 1000.0))
    plan, asked = rows.finish(), iter((1.0, 2.0, 3.0, 4.0, 5.0))
    p, x_T = Parameterisation("x0", schedule), np.array([[7.0]])
    found = generate(plan, p, lambda x, time: x * 0 + next(asked), x_T, lambda step: None)
    assert found.item() == 100 * 7 + 0.5 * 5 + 4 + 10 * 3 + 1000 * 1
    with pytest.raises(ParamsError, match=r"looks farther back than 1 rows; begin\(x_T, plan.memory\)"):
        step_once(plan.rows(p)[-1], begin(x_T, 1), lambda x, time: x, lambda step: None)


def test_a_plan_needs_rows_finite_numbers_and_a_known_bound(schedule_of, sampler_of):
    with pytest.raises(ParamsError, match="at least one step"):
        PlanBuilder(schedule_of("edm", 50), "own", "none").finish()
    whole = sampler_of("ddim", 3).plan(schedule_of("edm", 50), "fixed_small").to_dict()
    with pytest.raises(ParamsError, match="columns of one length"):
        SamplingPlan.from_dict({**whole, "c_x": [1.0]})
    with pytest.raises(ParamsError, match="must be finite, c_x is not"):
        SamplingPlan.from_dict({**whole, "c_x": [1.0, float("inf"), 0.0]})
    with pytest.raises(ParamsError, match="one of none, clip, dynamic, got 'hard'"):
        SamplingPlan.from_dict({**whole, "bound": "hard"})


# ---- configs


def test_the_shared_fields_are_checked_in_every_sampler():
    for cls in sampler_kinds().values():
        checks: Checks = cls.__checks__
        assert "steps" in checks
        assert set(checks) <= {f.name for f in fields(cls)}


@pytest.mark.parametrize("kind", sampler_kinds())
def test_every_sampler_says_what_it_is_for_its_order_its_cost_and_one_line_of_use(schedule_of, kind):
    cls = sampler_kinds()[kind]
    text = cls.__doc__ or ""
    assert ("No order;" if cls.order is None else f"Order {cls.order}") in text
    assert "evaluation" in text
    (use,) = re.findall(r">>> (.*)", text)
    assert eval(use, {cls.__name__: cls, "named": named, "schedule": schedule_of("edm")}).kind == kind


@pytest.mark.parametrize("kind", sampler_kinds())
def test_named_fills_every_field(kind):
    sampler = named(kind, 33, None)
    assert (sampler.kind, sampler.steps, sampler.spacing, sampler.bound) == (kind, 33, "trailing", "clip")


def test_named_keeps_what_the_base_says():
    base = named("ddim", 10, None)
    base = type(base)(steps=10, spacing="leading", bound="dynamic", kind="ddim", eta=0.7)
    again = named("ddim", 50, base)
    assert (again.steps, again.eta, again.spacing) == (50, 0.7, "leading")
    other = named("heun", 50, base)
    assert (other.kind, other.spacing, other.bound) == ("heun", "leading", "dynamic")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (
                lambda levels=levels: replace(named("ddim", 3, None), spacing=levels),
                r"must fall and end in 0.*steps = 3",
            )
            for levels in ((9, 5, 0), (9, 5, 5, 0), (5, 9, 2, 0), (9, 5, 2, 1), (9, 5, 2, -1), ())
        ),
        (lambda: named("plms", 10, None), r"sampler: must be one of ancestral, ddim, .*, got 'plms'"),
        (lambda: named("ddim", 0, None), "steps: must be at least 1, got 0"),
        (lambda: named("ddim", 5, None).__class__(5, "trailing", "clip", "ddim", 1.5), "eta: must be between 0 and 1"),
        (lambda: sampler_kinds()["langevin"](5, "trailing", "clip", "langevin", 0, 1.0), r"corrections.*step_size"),
        (
            lambda: sampler_kinds()["heun_churn"](5, "trailing", "clip", "heun_churn", -1.0, (2.0, 1.0), 0.0),
            r"churn: must be 0 or more.*churn_sigmas: must be null, or two rising.*churn_noise: must be above 0",
        ),
        (lambda: GuidanceConfig(-1.0, (0.5, 0.2), 2.0), r"weight: must be 0 or more.*interval.*rescale"),
        (lambda: SampleConfig(named("ddim", 5, None), GuidanceConfig(0.0, None, 0.0), -1), "seed: must be a whole"),
    ],
)
def test_errors_say_what_must_hold(make, message):
    with pytest.raises(ParamsError, match=message):
        make()


def test_guidance_interval_goes_from_fractions_to_times(schedule_of):
    guidance = GuidanceConfig(1.0, (0.1, 0.8), 0.0)
    assert guidance.time_interval(schedule_of("linear")) == (100.0, 800.0)
    assert GuidanceConfig(1.0, None, 0.0).time_interval(schedule_of("linear")) is None
