"""A network bound for a sampler: with gradients where they are asked for, and nothing taken that would go wrong."""

import math

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.likelihood.ode import ode_log_likelihood
from ddpm_core.tensors.denoiser import bind, bind_guided

MEAN, STD = 0.4, 0.25


class Exact(nn.Module):
    """The best network for data N(MEAN, STD^2), as a module with a weight that learns; its time is the level."""

    def __init__(self, p: Parameterisation) -> None:
        super().__init__()
        a, g = torch.from_numpy(p.schedule.a.copy()), torch.from_numpy(p.schedule.g.copy())
        A, B, c_in = (torch.from_numpy(column.copy()) for column in p.table())
        gain = STD**2 * a / ((a * STD) ** 2 + g**2)
        self.of_x = nn.Parameter(((gain - A) / B / c_in)[:, None].float())
        self.shift = ((1 - gain * a) * MEAN / B)[:, None].float()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.of_x[t.long()] * x + self.shift[t.long()]


class Asked(nn.Module):
    """Answers the label, and whether it dropped anything."""

    def __init__(self, dropout: float = 0.0, classes: int = 3) -> None:
        super().__init__()
        self.null = {"label": classes}
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return self.dropout(x * 0 + label[:, None])


X = torch.tensor([[0.4, 0.5], [0.1, 0.4], [0.9, -0.2]])


@pytest.mark.parametrize("bind_it", ["bind", "bind, weights frozen", "bare"])
def test_log_likelihood_of_gaussian_data_is_the_closed_form_through_every_binding(schedule_of, bind_it):
    schedule = schedule_of("linear")
    p = Parameterisation("v", schedule)
    net = Exact(p).requires_grad_(bind_it != "bind, weights frozen")
    denoise = net if bind_it == "bare" else bind(net, {})
    levels = spaced_levels("log_snr", schedule, 80)
    found = ode_log_likelihood(p, denoise, X, levels, data_std=0.5, probes=None)
    v = float(schedule.a[1]) ** 2 * STD**2 + float(schedule.g[1]) ** 2
    truth = (-0.5 * (X - float(schedule.a[1]) * MEAN) ** 2 / v).sum(1) - math.log(2 * math.pi * v)
    assert found.log_p.tolist() == pytest.approx(truth.tolist(), abs=0.03)
    assert truth[0] > 0.6 > -2.8  # the centre, which a divergence of nothing would get far wrong


def test_bound_networks_carry_gradients_where_the_data_do_and_none_else(schedule_of):
    net = Exact(Parameterisation("v", schedule_of("linear")))
    time = torch.full((3,), 500.0)
    assert not bind(net, {})(X, time).requires_grad
    x = X.clone().requires_grad_(True)
    out = bind(net, {})(x, time)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert gradient[:, 0].tolist() == pytest.approx([net.of_x[500].item()] * 3)
    with torch.no_grad():
        assert not bind(net, {})(x, time).requires_grad


def test_a_denoiser_that_hides_its_gradient_is_refused_by_the_likelihood(schedule_of):
    schedule = schedule_of("linear")
    p = Parameterisation("v", schedule)
    net = Exact(p)

    def hidden(x: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return net(x, time)

    for probes in (None, torch.ones(1, *X.shape)):
        with pytest.raises(ParamsError, match=r"denoise.*differentiable"):
            ode_log_likelihood(p, hidden, X, spaced_levels("log_snr", schedule, 5), data_std=0.5, probes=probes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x0": X.to(torch.int64)}, "x0.*floating"),
        ({"x0": torch.full((3, 2), float("nan"))}, "x0.*finite"),
        ({"data_std": float("nan")}, "data_std.*nan"),
        ({"data_std": -1.0}, "data_std.*-1"),
        ({"probes": torch.ones(2, 1, 2)}, r"probes.*\(2, 1, 2\)"),
        ({"probes": torch.ones(0, 3, 2)}, r"probes.*\(0, 3, 2\)"),
        ({"levels": [1001, 5]}, "levels.*1001"),
        ({"levels": [900, -5]}, "levels.*-5"),
    ],
)
def test_what_the_likelihood_cannot_take_is_refused(schedule_of, changes, words):
    p = Parameterisation("v", schedule_of("linear"))
    asked = {"x0": X, "levels": [900, 5], "data_std": 0.5, "probes": None, **changes}
    with pytest.raises(ParamsError, match=words):
        ode_log_likelihood(p, bind(Exact(p), {}), asked.pop("x0"), asked.pop("levels"), **asked)


def test_double_precision_stays_double(schedule_of):
    net = Exact(Parameterisation("v", schedule_of("linear"))).double()
    out = bind(net, {})(X.double(), torch.full((3,), 500.0))
    assert out.dtype == torch.float64
    assert out[0].tolist() == net(X.double(), torch.full((3,), 500.0))[0].tolist()


def test_a_network_that_drops_is_refused_until_it_is_in_evaluation_mode():
    net = Asked(dropout=0.5)
    for wrong in (lambda: bind(net, {}), lambda: bind_guided(net, {}, 1.0, null={}, channels=2)):
        with pytest.raises(ParamsError, match=r"dropout.*eval\(\)"):
            wrong()
    bind(net.eval(), {})
    bind(Asked(dropout=0.0), {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_type_that_it_would_not_compute_in_is_refused(dtype):
    with pytest.raises(ParamsError, match="dtype"):
        bind(Asked(), {}, dtype)


def test_a_condition_has_one_value_for_each_datum():
    denoise = bind(Asked(), {"label": torch.tensor([1])})
    with pytest.raises(DataError, match=r"label.*3.*1"):
        denoise(X, torch.ones(3))
    assert denoise(X[:1], torch.ones(1)).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"null": {"label": 0}}, "null.*label.*3.*0"),
        ({"weight": float("nan")}, "weight.*nan"),
        ({"rescale": 1.5}, r"rescale.*1\.5"),
        ({"interval": (5.0, 1.0)}, "interval"),
        ({"label": torch.tensor([0, 1, 4])}, "label.*4"),
        ({"label": torch.tensor([0, 1, -1])}, "label.*-1"),
        ({"label": torch.tensor([[0], [1], [2]])}, r"label.*\(3, 1\)"),
        ({"label": torch.tensor([0.0, 1.0, 2.0])}, "label.*float32"),
        ({"weight": torch.ones(2)}, r"weight.*\(2,\)"),
    ],
)
def test_guidance_that_would_mislead_is_refused_when_it_is_bound(changes, words):
    asked = {"label": torch.tensor([0, 1, 2]), "weight": 1.0, "null": {"label": 3}, "channels": 2, **changes}
    with pytest.raises(ParamsError, match=words):
        bind_guided(Asked(), {"label": asked.pop("label")}, asked.pop("weight"), **asked)
