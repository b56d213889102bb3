"""The table of bits per dimension: the library's bound and ODE over all data, and honest errors."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_core.diffusion.noise import Purpose, step_noise
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine, RectifiedFlow
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.bound import bound
from ddpm_core.likelihood.nll import Data, bound_calls, bound_table, ode_calls, ode_table
from ddpm_core.spec import conditions_of, labelled

SCHEDULE = Cosine("cosine", 40, 0.008, 0.999, False).build()
P = Parameterisation("v", SCHEDULE)
MEAN, VARIANCE = 0.3, 0.25
SERIES = labelled((2, 3), None, None, ())
PICTURES = labelled((1, 4, 4), (-1.0, 1.0), 256, ("a", "b"))


class Exact(nn.Module):
    """The denoiser of N(0.3, 0.25)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = GaussianOracle(MEAN, VARIANCE).network(P)

    def forward(self, x, t, label=None):
        return self.inner(x, t)


def series(n: int) -> Data:
    x0 = MEAN + VARIANCE**0.5 * step_noise(range(n), 0, SERIES.shape)
    return Data(SERIES, torch.from_numpy(x0.astype(np.float32)), {}, range(n))


def pictures(n: int) -> Data:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (n, *PICTURES.shape)).astype(np.uint8)
    labels = draw.integers(-1, 2, n)
    return Data.encoded(PICTURES, images, conditions_of(PICTURES, labels), list(range(n)), torch.device("cpu"))


def table(data: Data, levels: int | None, seed: int = 0):
    calls = []
    found = bound_table(Exact(), P, "fixed_small", data, levels=levels, seed=seed, on_call=lambda: calls.append(1))
    assert len(calls) == bound_calls(data, SCHEDULE.T, levels)
    return found


def test_all_levels_are_the_librarys_bound_of_all_data():
    data = pictures(70)
    direct = bound(
        P,
        "fixed_small",
        Exact(),
        data.x0,
        lambda t: torch.from_numpy(step_noise(0, t, PICTURES.shape, range(70), Purpose.EVALUATE)),
        data_range=(-1.0, 1.0),
        data_levels=256,
        clip=lambda D: D.clip(-1, 1),
    )
    found, bits = table(data, None), direct.bits_per_dim().double().numpy()
    assert found.total.mean == pytest.approx(bits.mean(), rel=1e-6)
    assert found.total.standard_error == pytest.approx(bits.std(ddof=1) / math.sqrt(70), rel=1e-6)
    assert found.L_0.mean == pytest.approx(float(direct.terms[0].mean()) / math.log(2), rel=1e-6)
    assert found.L_T.mean == pytest.approx(float(direct.prior.mean()) / math.log(2), rel=1e-5)
    assert found.total.mean == pytest.approx(found.L_T.mean + found.L_between.mean + found.L_0.mean, rel=1e-9)
    assert [term.t for term in found.terms] == list(range(1, 41))
    assert sum(term.bits.mean for term in found.terms[1:]) == pytest.approx(found.L_between.mean, rel=1e-9)
    each = direct.terms[6].double().numpy() / math.log(2)
    assert found.terms[6].bits.mean == pytest.approx(each.mean(), rel=1e-5)
    assert found.terms[6].bits.standard_error == pytest.approx(each.std(ddof=1) / math.sqrt(70), rel=1e-4)


def test_fewer_levels_estimate_the_same_sum_within_their_error():
    """Over several draws: no bias, and an error neither too small nor too large."""
    data = series(48)
    whole = table(data, None).total.mean
    found = [table(data, 8, seed).total for seed in range(1, 25)]
    off = np.array([(one.mean - whole) / one.standard_error for one in found])
    assert abs(off.mean()) < 4 / math.sqrt(24)
    assert 0.5 < off.std() < 1.7


def test_the_bound_of_an_exact_network_lies_above_the_entropy_of_its_data():
    """-E log2 p of N(m, s^2) is 1/2 log2(2 pi e s^2); the ODE comes to it, the bound to what lies above it."""
    data = series(400)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * VARIANCE)
    total = table(data, None).total
    assert total.mean > entropy - 4 * total.standard_error
    by_ode = ode_table(Exact(), P, data, steps=20, probes=2, seed=0, on_call=lambda: None)
    assert by_ode.bits.mean == pytest.approx(entropy, abs=4 * by_ode.bits.standard_error + 0.02)
    assert by_ode.bits.mean < total.mean


def test_the_odes_probes_are_part_of_its_error_and_its_calls_are_counted():
    data, calls = pictures(40), []
    found = ode_table(Exact(), P, data, steps=5, probes=3, seed=0, on_call=lambda: calls.append(1))
    assert found.evaluations == 10
    assert len(calls) == ode_calls(data, 5) == 20
    assert 0 <= found.hutchinson < found.bits.standard_error
    assert ode_table(Exact(), P, data, steps=5, probes=1, seed=0, on_call=lambda: None).hutchinson is None


def test_the_ode_runs_where_the_last_level_holds_no_signal():
    p = Parameterisation("flow", RectifiedFlow("rectified_flow", 200).build())

    class Flow(nn.Module):
        def forward(self, x, t):
            return GaussianOracle(MEAN, VARIANCE).network(p)(x, t)

    data, calls = series(100), []
    found = ode_table(Flow(), p, data, steps=20, probes=2, seed=0, on_call=lambda: calls.append(1))
    exact = ((data.x0.double() - MEAN) ** 2 / (2 * VARIANCE)).mean() + 0.5 * math.log(2 * math.pi * VARIANCE)
    assert found.bits.mean == pytest.approx(float(exact) / math.log(2), abs=0.03)
    assert len(calls) == ode_calls(data, 20)


def test_bits_of_levels_are_density_times_the_width_of_a_bin():
    """Dequantised data of N(0.3, 0.25): -log2 p - log2(2 / 255) a dimension, by closed form."""
    data = pictures(64)
    spread = ode_table(Exact(), P, data, steps=20, probes=1, seed=0, on_call=lambda: None).bits
    x = data.x0.double().numpy()
    bin_width = 2 / 255
    energy = ((x - MEAN) ** 2 + bin_width**2 / 12) / (2 * VARIANCE)
    exact = (energy + 0.5 * math.log(2 * math.pi * VARIANCE)) / math.log(2) - math.log2(bin_width)
    assert spread.mean == pytest.approx(exact.mean(), abs=0.03)


def test_one_datum_has_no_standard_error():
    found = table(series(1), None)
    assert found.total.standard_error is None
    assert found.terms[3].bits.standard_error is None


@pytest.mark.parametrize(("steps", "probes"), [(0, 1), (1, 0)])
def test_an_ode_without_steps_or_probes_is_refused(steps, probes):
    with pytest.raises(ParamsError, match=f"must be at least 1, got {steps} and {probes}"):
        ode_table(Exact(), P, series(2), steps=steps, probes=probes, seed=0, on_call=lambda: None)
