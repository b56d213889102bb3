"""Every sampler against data whose exact denoiser is known: means and variances by recursion, no Monte Carlo."""

import numpy as np
import pytest

from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.diffusion.variance import OptimalVariance
from ddpm_core.samplers.config import sampler_kinds
from tests.ddpm_core.samplers.papers import WRITTEN_OUT, reference

ORACLE = GaussianOracle(0.3, 0.25)
ALL_SCHEDULES = (
    "linear",
    "quadratic",
    "cosine",
    "sigmoid",
    "vp_continuous",
    "geometric_ve",
    "edm",
    "rectified_flow",
    "cosine_zero_snr",
    "linear_zero_snr",
)
SPACINGS = ("leading", "trailing", "linspace", "quadratic", "log_snr", "karras")


def run(plan, schedule, v=None):
    p = Parameterisation("x0", schedule)
    return moments(plan, p, ORACLE.network(p, v))


# ---- golden values


@pytest.mark.parametrize(
    ("name", "kind", "variance", "mean", "var"),
    [
        ("linear", "ancestral", "fixed_large", 0.29999697, 0.25075208),
        ("cosine", "ancestral", "fixed_large", 0.30000000, 0.25041859),
        ("linear", "ancestral", "fixed_small", 0.29999697, 0.24612521),
        ("cosine", "ancestral", "fixed_small", 0.30000000, 0.24799670),
        ("linear", "ddim", "fixed_small", 0.29904995, 0.24849755),
        ("cosine", "ddim", "fixed_small", 0.29999262, 0.24918995),
    ],
)
def test_thousand_steps_give_the_known_moments(schedule_of, sampler_of, name, kind, variance, mean, var):
    schedule = schedule_of(name, 1000)
    assert run(sampler_of(kind, 1000).plan(schedule, variance), schedule) == pytest.approx((mean, var), abs=6e-9)


@pytest.mark.parametrize(
    ("name", "spacing", "var"),
    [
        ("linear", "leading", 0.13997213),
        ("linear", "trailing", 0.13686656),
        ("cosine", "leading", 0.18796892),
        ("cosine", "trailing", 0.18218072),
    ],
)
def test_ten_ddim_steps_give_the_known_variance(schedule_of, sampler_of, name, spacing, var):
    schedule = schedule_of(name, 1000)
    assert run(sampler_of("ddim", 10, spacing).plan(schedule, "fixed_small"), schedule)[1] == pytest.approx(
        var, abs=6e-9
    )


@pytest.mark.parametrize(
    ("name", "kind", "mean", "var"),
    [
        ("linear", "dpmpp_2m", 0.29922858, 0.16383411),
        ("cosine", "dpmpp_2m", 0.29999297, 0.22606526),
        ("linear", "dpmpp_3m", 0.29921847, 0.16815761),
        ("cosine", "dpmpp_3m", 0.29999290, 0.23062576),
        ("linear", "unipc_2", 0.29921953, 0.16770112),
        ("cosine", "unipc_2", 0.29999289, 0.23152516),
    ],
)
def test_ten_multistep_steps_give_the_known_moments(schedule_of, sampler_of, name, kind, mean, var):
    """The values are those of the papers' algorithms as papers.py has them."""
    schedule = schedule_of(name, 1000)
    plan = sampler_of(kind, 10, "trailing").plan(schedule, "fixed_small")
    assert run(plan, schedule) == pytest.approx((mean, var), abs=6e-9)


# ---- the papers' own algorithms, written out in papers.py, against the plans


@pytest.mark.parametrize("name", ALL_SCHEDULES)
@pytest.mark.parametrize("kind", WRITTEN_OUT)
def test_plan_is_the_papers_algorithm(schedule_of, sampler_of, kind, name):
    """Every sampler x schedule x variance x spacing, to 1e-9."""
    schedule = schedule_of(name, 100)
    others = [{}]
    if kind == "ddim":
        others = [{"eta": eta} for eta in (0.0, 0.5, 1.0)]
    elif kind == "heun_churn":
        others = [
            {"churn": 3.0, "churn_sigmas": None, "churn_noise": 1.0},
            {"churn": 30.0, "churn_sigmas": (0.05, 2.0), "churn_noise": 1.01},
        ]
    elif kind in ("langevin", "predictor_corrector"):
        others = [{"corrections": 1, "step_size": 0.05}, {"corrections": 3, "step_size": 0.4}]
    variances = (
        ("fixed_small", "fixed_large", "learned") if kind in ("ancestral", "predictor_corrector") else ("learned",)
    )
    for spacing in SPACINGS:
        for fields in others:
            sampler = sampler_of(kind, 12, spacing, **fields)
            for variance in variances:
                plan = sampler.plan(schedule, variance)
                got = run(plan, schedule, v=-0.4 if variance == "learned" else None)
                levels = spaced_levels(spacing, schedule, 12)
                assert got == pytest.approx(reference(kind, schedule, levels, variance, sampler), rel=1e-9, abs=1e-11)


# ---- laws


@pytest.mark.parametrize("name", ALL_SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_ancestral_step_with_optimal_variance_preserves_marginal(schedule_of, sampler_of, name, spacing):
    schedule = schedule_of(name, 100)
    p = Parameterisation("x0", schedule)
    sampler = sampler_of("ancestral", 9, spacing)
    optimal = OptimalVariance(ORACLE.x0_variance(schedule))
    for last in range(2, 10):
        levels = spaced_levels(spacing, schedule, 9)[:last]
        plan = sampler.over(levels, schedule, optimal)
        start = tuple(float(m) for m in ORACLE.marginal(schedule, levels[0]))
        got = moments(plan, p, ORACLE.network(p), start)
        assert got == pytest.approx(ORACLE.marginal(schedule, levels[-1]), rel=1e-12)


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("name", ALL_SCHEDULES)
def test_a_ddim_step_with_optimal_variance_preserves_the_marginal(schedule_of, sampler_of, name, eta):
    schedule = schedule_of(name, 100)
    p, optimal = Parameterisation("x0", schedule), OptimalVariance(ORACLE.x0_variance(schedule))
    levels = spaced_levels("trailing", schedule, 9)[:-1]
    plan = sampler_of("ddim", 9, eta=eta).over(levels, schedule, optimal)
    start = tuple(float(m) for m in ORACLE.marginal(schedule, levels[0]))
    assert moments(plan, p, ORACLE.network(p), start) == pytest.approx(ORACLE.marginal(schedule, levels[-1]), rel=1e-9)


@pytest.mark.parametrize("name", ALL_SCHEDULES)
@pytest.mark.parametrize("kind", [kind for kind in sampler_kinds() if kind != "langevin"])
def test_many_steps_give_the_data(schedule_of, sampler_of, kind, name):
    """Within what T levels and the signal left at T (0.6 % of the amplitude under VP) allow."""
    schedule = schedule_of(name, 1000)
    mean, var = run(sampler_of(kind, 350, "linspace").plan(schedule, "fixed_large"), schedule)
    assert mean == pytest.approx(0.3, abs=0.01)
    assert var == pytest.approx(0.25, rel=0.04)


@pytest.mark.parametrize("name", ALL_SCHEDULES)
def test_churn_goes_from_one_marginal_to_another_and_costs_no_call(schedule_of, sampler_of, name):
    schedule = schedule_of(name, 200)
    sampler = sampler_of("heun_churn", 20, churn=2.0, churn_sigmas=None, churn_noise=1.0)
    plan = sampler.plan(schedule, "fixed_small")
    up = np.flatnonzero(plan.s > plan.t)
    assert len(up) > 10
    assert not plan.asks[up].any()
    for i in up:
        a, g = schedule.a[plan.t[i]], schedule.g[plan.t[i]]
        to_a, to_g = schedule.a[plan.s[i]], schedule.g[plan.s[i]]
        assert plan.c_x[i] * a == pytest.approx(to_a, rel=1e-12)
        assert (plan.c_x[i] * g) ** 2 + plan.c_z[i] ** 2 == pytest.approx(to_g**2, rel=1e-12)


def test_churn_of_nothing_is_heun_row_by_row(schedule_of, sampler_of):
    for name in ALL_SCHEDULES:
        heun = sampler_of("heun", 30).plan(schedule_of(name), "fixed_small").to_dict()
        still = sampler_of("heun_churn", 30, churn=0.0).plan(schedule_of(name), "fixed_small").to_dict()
        assert {**still, "kind": "heun"} == heun


@pytest.mark.parametrize("name", ["geometric_ve", "edm"])
def test_annealed_langevin_with_enough_corrections_gives_the_data(schedule_of, sampler_of, name):
    schedule = schedule_of(name, 175)
    plan = sampler_of("langevin", 175, corrections=40, step_size=0.05).plan(schedule, "fixed_small")
    assert run(plan, schedule) == pytest.approx((0.3, 0.25), rel=0.05)


def test_heun_does_not_explode_where_sigma_falls_a_thousandfold(schedule_of, sampler_of):
    """The first step of a cosine schedule: with the correction there, five steps gave a variance of 1349."""
    schedule = schedule_of("cosine", 1000)
    assert 0 < run(sampler_of("heun", 5).plan(schedule, "fixed_small"), schedule)[1] < 0.5


@pytest.mark.parametrize("name", ["linear", "edm"])
def test_langevin_at_one_level_settles_where_its_closed_form_says(schedule_of, sampler_of, name):
    """x <- (1 - k) x + ... is autoregressive: its variance tends to 2 d / (1 - (1 - d / v)^2)."""
    schedule, level = schedule_of(name, 100), 60
    from ddpm_core.diffusion.plan import PlanBuilder
    from ddpm_core.samplers.langevin import add_langevin

    rows = PlanBuilder(schedule, "langevin", "none")
    for _ in range(400):
        add_langevin(rows, level, level, 0.1)
    p = Parameterisation("x0", schedule)
    mean, var = moments(rows.finish(), p, ORACLE.network(p), (5.0, 3.0))
    want_mean, v = ORACLE.marginal(schedule, level)
    d = 0.1 * schedule.g[level] ** 2
    assert mean == pytest.approx(want_mean, rel=1e-9)
    assert var == pytest.approx(2 * d / (1 - (1 - d / v) ** 2), rel=1e-9)
