"""Every sampler against data whose exact denoiser is known: means and variances by recursion, no Monte Carlo."""

import math
from itertools import pairwise

import numpy as np
import pytest

from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.diffusion.variance import OptimalVariance
from ddpm_core.samplers.config import sampler_kinds

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


# ---- the papers' own algorithms, written out, against the plans


def unit(length, place):
    coefficients = np.zeros(length)
    coefficients[place] = 1
    return coefficients


class Probe:
    """An affine random variable: its mean and the coefficient of each unit noise, closed under + and *."""

    def __init__(self, coefficients):
        self.c = np.asarray(coefficients, float)

    def __add__(self, other):
        return Probe(self.c + (other.c if isinstance(other, Probe) else unit(len(self.c), 0) * other))

    def __sub__(self, other):
        return self + other * -1

    def __mul__(self, factor):
        return Probe(self.c * factor)

    __rmul__ = __mul__

    @property
    def moments(self):
        return self.c[0], (self.c[1:] ** 2).sum()


class Reference:
    """The samplers as their papers write them, in eps, sigma, score or lambda; nothing is shared with the plans."""

    def __init__(self, schedule, draws=400):
        self.a, self.g, self.T = schedule.a, schedule.g, schedule.T
        self.draws, self.drawn = draws, 1
        start = np.zeros(draws)
        start[1] = schedule.g[-1] if schedule.process == "ve" else 1.0
        self.x = Probe(start)

    def z(self):
        self.drawn += 1
        return Probe(unit(self.draws, self.drawn))

    def x0(self, x, t):
        v = self.a[t] ** 2 * 0.25 + self.g[t] ** 2
        return (x - 0.3 * self.a[t]) * (0.25 * self.a[t] / v) + 0.3

    def eps(self, x, t):
        """From the marginal's score, -(x - mean) / variance."""
        return (x - 0.3 * self.a[t]) * (self.g[t] / (self.a[t] ** 2 * 0.25 + self.g[t] ** 2))

    def lam(self, t):
        return math.log(self.a[t] / self.g[t]) if self.a[t] > 0 else -math.inf

    def beta(self, t, s):
        return self.g[t] ** 2 - (self.a[t] / self.a[s]) ** 2 * self.g[s] ** 2

    def sigma2(self, t, s, variance):
        large = self.beta(t, s)
        small = large * self.g[s] ** 2 / self.g[t] ** 2
        return {"fixed_large": large, "fixed_small": small, "learned": large**0.3 * small**0.7}[variance]

    def ancestral_step(self, t, s, variance):
        """Algorithm 2 in eps where there is signal: (x_t - beta / g_t eps) / sqrt(alpha); else from eq. 7."""
        alpha, beta = (self.a[t] / self.a[s]) ** 2, self.beta(t, s)
        if self.a[t] > 0:
            x = (self.x - beta / self.g[t] * self.eps(self.x, t)) * alpha**-0.5
        else:
            x = self.x0(self.x, t) * self.a[s]
        self.x = x + self.z() * self.sigma2(t, s, variance) ** 0.5 if s > 0 else x

    def ddim_step(self, t, s, eta=0.0):
        """Eq. 12 of DDIM: predicted x_0, the direction to x_t, and noise."""
        w = eta * self.sigma2(t, s, "fixed_small") ** 0.5 if eta else 0.0
        x = self.a[s] * self.x0(self.x, t) + math.sqrt(max(self.g[s] ** 2 - w**2, 0)) * self.eps(self.x, t)
        self.x = x + self.z() * w if w else x

    def langevin_step(self, t, share):
        d = share * self.g[t] ** 2
        self.x = self.x + self.eps(self.x, t) * (-1 / self.g[t]) * d + self.z() * math.sqrt(2 * d)

    def heun_step(self, t, s):
        """EDM's algorithm 1 in x / a and sigma."""
        if s == 0 or self.g[t] * self.a[s] > 10 * self.g[s] * self.a[t]:
            return self.ddim_step(t, s)
        sigma_t, sigma_s = self.g[t] / self.a[t], self.g[s] / self.a[s]
        x = self.x * (1 / self.a[t])
        slope = (x - self.x0(self.x, t)) * (1 / sigma_t)
        guess = x + (sigma_s - sigma_t) * slope
        slope_s = (guess - self.x0(guess * self.a[s], s)) * (1 / sigma_s)
        self.x = (x + (sigma_s - sigma_t) * 0.5 * (slope + slope_s)) * self.a[s]
        return None

    def churn_step(self, t, churn, steps, sigmas, noise):
        """The first lines of EDM's algorithm 2, in x / a; the level where that comes nearest to a level."""
        low, high = sigmas or (0, math.inf)
        if self.a[t] == 0 or not low <= self.g[t] / self.a[t] <= high:
            return t
        sigma = self.g[t] / self.a[t]
        wanted = sigma + min(churn / steps, math.sqrt(2) - 1) * sigma
        levels = [u for u in range(t, self.T + 1) if self.a[u] > 0]
        up = min(levels, key=lambda u: abs(self.g[u] / self.a[u] - wanted))
        if up > t:
            added = math.sqrt((self.g[up] / self.a[up]) ** 2 - sigma**2)
            self.x = (self.x * (1 / self.a[t]) + self.z() * (noise * added)) * self.a[up]
        return up

    def exponential(self, t, s, D, x=None):
        h = math.inf if s == 0 else self.lam(s) - self.lam(t)
        return self.g[s] / self.g[t] * (self.x if x is None else x) + (-self.a[s] * math.expm1(-h)) * D


def reference(kind, schedule, levels, variance, sampler):
    r = Reference(schedule)
    before = None
    for t, s in pairwise(levels):
        if kind == "ancestral":
            r.ancestral_step(t, s, variance)
        elif kind in ("ddim", "euler"):
            r.ddim_step(t, s, getattr(sampler, "eta", 0.0))
        elif kind == "dpmpp_1":
            r.x = r.exponential(t, s, r.x0(r.x, t))
        elif kind == "dpmpp_2m":
            D = r.x0(r.x, t)
            slope = D
            if before is not None and s > 0 and math.isfinite(r.lam(before[0])):
                ratio = (r.lam(t) - r.lam(before[0])) / (r.lam(s) - r.lam(t))
                slope = (1 + 1 / (2 * ratio)) * D - (1 / (2 * ratio)) * before[1]
            r.x, before = r.exponential(t, s, slope), (t, D)
        elif kind == "dpmpp_2s":
            D = r.x0(r.x, t)
            between = range(s + 1, t) if s > 0 and r.a[t] > 0 else ()
            if not between:
                r.x = r.exponential(t, s, D)
                continue
            m = min(between, key=lambda u: (round(abs(2 * r.lam(u) - r.lam(t) - r.lam(s)), 8), u))
            share = (r.lam(m) - r.lam(t)) / (r.lam(s) - r.lam(t))
            D_m = r.x0(r.exponential(t, m, D), m)
            r.x = r.exponential(t, s, (1 - 1 / (2 * share)) * D + (1 / (2 * share)) * D_m)
        elif kind == "heun":
            r.heun_step(t, s)
        elif kind == "heun_churn":
            up = r.churn_step(t, sampler.churn, len(levels) - 1, sampler.churn_sigmas, sampler.churn_noise)
            r.heun_step(up, s)
        elif kind == "predictor_corrector":
            r.ancestral_step(t, s, variance)
            for _ in range(sampler.corrections if s > 0 else 0):
                r.langevin_step(s, sampler.step_size)
        elif kind == "langevin":
            for _ in range(sampler.corrections):
                r.langevin_step(t, sampler.step_size)
            if s == 0:
                r.x = r.x0(r.x, t)
            elif r.a[t] > 0:
                r.x = r.x * (r.a[s] / r.a[t])
        else:
            raise AssertionError(f"write the algorithm of {kind} here, as its paper has it")
    return r.x.moments


@pytest.mark.parametrize("name", ALL_SCHEDULES)
@pytest.mark.parametrize("kind", sampler_kinds())
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


@pytest.mark.parametrize("name", ALL_SCHEDULES)
@pytest.mark.parametrize("kind", [kind for kind in sampler_kinds() if kind != "langevin"])
def test_many_steps_give_the_data(schedule_of, sampler_of, kind, name):
    """Within what T levels and the signal left at T (0.6 % of the amplitude under VP) allow."""
    schedule = schedule_of(name, 1000)
    mean, var = run(sampler_of(kind, 500, "linspace").plan(schedule, "fixed_large"), schedule)
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
    schedule = schedule_of(name, 200)
    plan = sampler_of("langevin", 200, corrections=40, step_size=0.05).plan(schedule, "fixed_small")
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
