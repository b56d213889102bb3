"""The variational bound against sums that are known, without Monte Carlo."""

import math

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.stratified import Drawn, drawn_levels, runs
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.bound import bound, estimate_x0_variance, prior_term
from ddpm_core.likelihood.terms import negative_log_bin

ORACLE = GaussianOracle(0.3, 0.25)
# Two Gauss-Hermite nodes, +-1 with weight 1/2, integrate squares exactly; x0 and eps take each sign.
SIGNS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
X0 = (0.3 + 0.5 * SIGNS[:, :1]).reshape(4, 1)
EPS = SIGNS[:, 1:].reshape(4, 1)


def network(parameterisation, v=None):
    """The exact network, for tensors."""
    inner = ORACLE.network(parameterisation)

    def denoise(x, time):
        out = inner(x, time)
        return out if v is None else torch.cat([out, torch.full_like(out, v)], 1)

    return denoise


def terms(schedule, variance, target="eps", v=None):
    p = Parameterisation(target, schedule)
    return bound(p, variance, network(p, v), X0, lambda t: EPS, data_range=(-1, 1), data_levels=256)


@pytest.mark.parametrize(
    ("name", "variance", "bits"),
    [
        ("linear", "fixed_large", 5.645641),
        ("linear", "fixed_small", 6.302437),
        ("cosine", "fixed_large", 6.282997),
        ("cosine", "fixed_small", 6.862413),
    ],
)
def test_sum_of_the_kl_terms_is_known(schedule_of, name, variance, bits):
    """With +1/2 in place of -1/2, or of q(x_t | x_{t-1}), this is off by thousands of bits or by a little."""
    result = terms(schedule_of(name), variance)
    assert float(result.terms[1:].sum(0).mean()) / math.log(2) == pytest.approx(bits, abs=6e-7)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_every_term_is_its_closed_form(schedule_of, variance):
    """E off^2 = Var[x_0 | x_t]: each L_{t-1} to 1e-10, for every target alike."""
    schedule = schedule_of("linear")
    t = np.arange(2, 1001)
    sigma2 = schedule.beta[t] if variance == "fixed_large" else schedule.beta_tilde[t]
    c2 = schedule.posterior_mean_between(t - 1, t)[1] ** 2
    ratio = schedule.beta_tilde[t] / sigma2
    want = 0.5 * (-1 - np.log(ratio) + ratio + c2 * ORACLE.x0_variance(schedule)[t] / sigma2)
    for target in ("eps", "v", "x0"):
        got = terms(schedule, variance, target).terms[1:].mean(1).numpy()
        assert got == pytest.approx(want, rel=1e-8, abs=1e-10)


def test_optimal_variance_gives_the_least_bound(schedule_of):
    schedule = schedule_of("cosine", 100)
    p = Parameterisation("v", schedule)
    optimal = estimate_x0_variance(p, network(p), X0, lambda t: EPS, range(1, 101))
    assert optimal.x0_variance == pytest.approx(ORACLE.x0_variance(schedule), rel=1e-9)
    best = terms(schedule, optimal, "v").terms[1:].sum(0).mean()
    assert best < min(terms(schedule, name, "v").terms[1:].sum(0).mean() for name in ("fixed_small", "fixed_large"))


def test_optimal_variance_is_filled_in_between_the_levels_looked_at(schedule_of):
    schedule = schedule_of("linear")
    p = Parameterisation("eps", schedule)
    few = estimate_x0_variance(p, network(p), X0, lambda t: EPS, [1, 3, 10, 30, *range(100, 1001, 100)])
    assert few.x0_variance[1:] == pytest.approx(ORACLE.x0_variance(schedule)[1:], rel=0.1)


def test_learned_variance_at_its_ends_is_the_fixed_one(schedule_of):
    schedule = schedule_of("linear", 100)
    small, large = terms(schedule, "fixed_small"), terms(schedule, "fixed_large")
    assert terms(schedule, "learned", v=-1.0).terms == pytest.approx(small.terms)
    assert terms(schedule, "learned", v=1.0).terms[1:] == pytest.approx(large.terms[1:])


def test_fixed_large_costs_a_floor_that_no_training_removes(schedule_of):
    """With a perfect mean the ratio of the variances alone costs 0.48642 bits a dimension (linear, T = 1000)."""
    s = schedule_of("linear")
    ratio = s.beta_tilde[2:] / s.beta[2:]
    assert (0.5 * (-1 - np.log(ratio) + ratio)).sum() / math.log(2) == pytest.approx(0.48642, abs=1e-5)


def test_prior_term_is_known(schedule_of):
    """7.45e-6 bits a dimension on data with E[x_0^2] = 0.2560."""
    x0 = torch.full((1, 4), math.sqrt(0.2560), dtype=torch.float64)
    assert float(prior_term(schedule_of("linear"), x0)) / math.log(2) == pytest.approx(7.45e-6, rel=1e-3)


def test_first_term_is_the_mass_of_the_level(schedule_of):
    schedule = schedule_of("linear")
    p = Parameterisation("x0", schedule)
    x0 = torch.tensor([[-1.0], [2 / 255], [1.0]], dtype=torch.float64)
    result = bound(p, "fixed_small", lambda x, t: x0 + 0.003, x0, lambda t: x0 * 0, data_range=(-1, 1), data_levels=256,
                   levels=[1])  # fmt: skip
    sigma, half = math.sqrt(5.4531876613e-05), 1 / 255
    cdf = [0.5 * (1 + math.erf((d - 0.003) / sigma / math.sqrt(2))) for d in (-half, half)]
    assert result.terms[0].tolist() == pytest.approx(
        [-math.log(cdf[1]), -math.log(cdf[1] - cdf[0]), -math.log(1 - cdf[0])], rel=1e-9
    )


@pytest.mark.parametrize("mean", [-1.2, 0.1, 0.99])
@pytest.mark.parametrize("sigma", [0.01, 0.3])
def test_every_bin_is_erf(mean, sigma):
    """The real erf to 1e-9, not an approximation by tanh; all 256 masses sum to 1; the two ends are open."""
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)[:, None]
    log_var = torch.full_like(x, 2 * math.log(sigma))
    mass = torch.exp(-negative_log_bin(x, torch.full_like(x, mean), log_var, (-1.0, 1.0), 256))[:, 0]
    edges = [-math.inf, *(-1 + (2 * k + 1) / 255 for k in range(255)), math.inf]
    cdf = [0.5 * (1 + math.erf((e - mean) / sigma / math.sqrt(2))) for e in edges]
    assert mass.numpy() == pytest.approx(np.diff(cdf), abs=1e-9)
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)


def test_a_few_levels_stand_for_all(schedule_of):
    schedule = schedule_of("linear")
    p = Parameterisation("eps", schedule)
    whole = terms(schedule, "fixed_small").bits_per_dim().mean()
    every_second = Drawn(np.array([1, *range(2, 1001, 2)]), np.array([1, *[2] * 499, 1]))
    some = bound(p, "fixed_small", network(p), X0, lambda t: EPS, data_range=(-1, 1), data_levels=256,
                 levels=every_second)  # fmt: skip
    assert float(some.bits_per_dim().mean()) == pytest.approx(float(whole), rel=0.08)


def test_drawn_levels_estimate_the_sum_without_bias(schedule_of):
    """Over every draw there is, level by level: the mean of bits_per_dim is that of all levels."""
    schedule = schedule_of("cosine", 12)
    p = Parameterisation("v", schedule)
    whole = terms(schedule, "fixed_large", "v").bits_per_dim().numpy()
    found, draw = [], np.random.default_rng(0)
    for _ in range(100):
        some = bound(p, "fixed_large", network(p), X0, lambda t: EPS, data_range=(-1, 1), data_levels=256,
                     levels=drawn_levels(12, 4, draw))  # fmt: skip
        found.append(some.bits_per_dim().numpy())
    off = np.array(found) - whole
    assert (abs(off.mean(0)) < 4 * off.std(0) / 10).all()
    assert some.stands_for == tuple(np.diff(runs(12, 4)))


def test_a_subset_without_what_its_levels_stand_for_has_no_bits(schedule_of):
    """The terms can be looked at; their mean times T is no bound, as the terms grow steeply towards clean data."""
    p = Parameterisation("v", schedule_of("cosine", 12))
    some = bound(p, "fixed_large", network(p), X0, lambda t: EPS, data_range=(-1, 1), data_levels=256, levels=[1, 5])
    with pytest.raises(ParamsError, match=r"2 of 12 levels.*drawn_levels"):
        some.bits_per_dim()
    for drawn in (Drawn(np.array([1, 5]), np.array([1, 5])), Drawn(np.array([1, 5]), np.array([12]))):
        with pytest.raises(ParamsError, match=r"stand for the schedule's 12"):
            bound(p, "fixed_large", network(p), X0, lambda t: EPS, data_range=None, data_levels=None, levels=drawn)


def test_bits_per_dim_are_the_sum_of_all_terms(schedule_of):
    """L_T + L_0 + sum of L_{t-1}, once each, over ln 2: to more digits than the little that L_T is."""
    result = terms(schedule_of("linear", 30), "fixed_small")
    want = (result.prior + result.terms.sum(0)) / math.log(2)
    assert result.bits_per_dim().numpy() == pytest.approx(want.numpy(), rel=1e-12)
    assert float((result.prior / result.terms.sum(0)).abs().min()) > 1e-10


def test_data_without_levels_have_a_density(schedule_of):
    """The bound of the exact Gaussian denoiser is then above the entropy, and near it under the optimal variance."""
    schedule = schedule_of("linear")
    p = Parameterisation("eps", schedule)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.25)
    optimal = estimate_x0_variance(p, network(p), X0, lambda t: EPS, range(1, 1001))
    result = bound(p, optimal, network(p), X0, lambda t: EPS, data_range=None, data_levels=None)
    assert entropy < float(result.bits_per_dim().mean()) == pytest.approx(entropy, abs=0.002)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("T", [200, 1000])
@pytest.mark.parametrize(("name", "target"), [("geometric_ve", "score"), ("edm", "edm"), ("rectified_flow", "flow")])
def test_outside_vp_the_first_variance_is_beta_1_however_many_levels_there_are(schedule_of, name, target, T, variance):
    """L_0 is then 1/2 (ln 2 pi g_1^2 + Var[x_0 | x_1] / g_1^2), and the whole bound stays near the entropy."""
    schedule = schedule_of(name, T)
    p = Parameterisation(target, schedule)
    result = bound(p, variance, network(p), X0, lambda t: EPS, data_range=None, data_levels=None, levels=[1])
    g2 = float(schedule.g[1]) ** 2
    want = 0.5 * (math.log(2 * math.pi * g2) + float(ORACLE.x0_variance(schedule)[1]) / g2)
    assert float(result.terms[0].mean()) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(("name", "target"), [("geometric_ve", "score"), ("edm", "edm")])
def test_more_levels_of_ve_bring_the_bound_nearer_to_the_entropy(schedule_of, name, target):
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.25)
    above = []
    for T in (100, 400):
        p = Parameterisation(target, schedule_of(name, T))
        result = bound(p, "fixed_large", network(p), X0, lambda t: EPS, data_range=None, data_levels=None)
        above.append(float(result.bits_per_dim().mean()) - entropy)
    assert 0 < above[1] < above[0] / 3


def test_clip_is_applied_to_x0_hat(schedule_of):
    p = Parameterisation("x0", schedule_of("linear"))
    x0 = torch.zeros(1, 1, dtype=torch.float64)
    far = bound(p, "fixed_small", lambda x, t: x * 0 + 9, x0, lambda t: x0, data_range=(-1, 1), data_levels=256,
                levels=[500], clip=lambda D: D.clip(0, 0))  # fmt: skip
    assert float(far.terms[0]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("levels", [[], [0, 1], [1001]])
def test_levels_must_exist(schedule_of, levels):
    p = Parameterisation("x0", schedule_of("linear"))
    with pytest.raises(ParamsError, match=r"must lie in 1\.\.1000, at least one"):
        bound(p, "fixed_small", network(p), X0, lambda t: EPS, data_range=None, data_levels=None, levels=levels)
