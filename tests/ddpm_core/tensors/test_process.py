"""The forward process in torch agrees with the numbers room, whatever the schedule, the target and the data's shape."""

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine, Edm, Linear, RectifiedFlow, ScheduleConfig
from ddpm_core.tensors.process import Process
from tests.support.close import assert_close

LINEAR = Linear("linear", 1000, 1e-4, 0.02, True, False)
COSINE = Cosine("cosine", 1000, 0.008, 0.999, False)
FLOW = RectifiedFlow("rectified_flow", 100)
EDM = Edm("edm", 40, 0.002, 80.0, 7.0, 0.5)
T = np.array([1, 2, 20, 37])
CASES = [
    *[(LINEAR, target) for target in ("eps", "x0", "v", "mu", "score")],
    *[(COSINE, target) for target in ("eps", "v", "mu")],
    (FLOW, "flow"),
    (FLOW, "x0"),
    (EDM, "edm"),
    (EDM, "eps"),
]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("config", "target"), CASES)
@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 4, 4)])
def test_target_and_x_t_are_those_of_the_numbers_room(config: ScheduleConfig, target: str, shape: tuple[int]) -> None:
    schedule = config.build()
    parameterisation = Parameterisation(target, schedule)
    x0, eps = draw(*shape), draw(*shape).flip(0)
    levels = Process(parameterisation).at(T, x0)
    x_t = Process.perturb(levels, x0, eps)
    a = schedule.a[T].reshape(-1, *[1] * len(shape))
    g = schedule.g[T].reshape(a.shape)
    exact = a * x0.double().numpy() + g * eps.double().numpy()
    np.testing.assert_allclose(x_t, exact, rtol=1e-6, atol=1e-6)
    expected = parameterisation.target_of(x0.double().numpy(), exact, eps.double().numpy(), T)
    np.testing.assert_allclose(Process.target(levels, x0, eps), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("config", "target"), CASES)
def test_the_exact_answer_gives_back_the_data(config: ScheduleConfig, target: str) -> None:
    x0, eps = draw(2, 3).double(), draw(2, 3).double().flip(0)
    levels = Process(Parameterisation(target, config.build())).at(T, x0)
    x_t = Process.perturb(levels, x0, eps)
    x0_hat = Process.x0_hat(levels, x_t, Process.target(levels, x0, eps))
    # B is as large as 80 under EDM's last level; the tables are float32.
    assert_close(x0_hat, x0, rtol=1e-4, atol=1e-3)


def test_variance_of_x_t_is_one_minus_alpha_bar_and_not_its_root_or_square() -> None:
    schedule = LINEAR.build()
    x0 = torch.zeros(3, 20_000)
    eps = torch.randn(3, 20_000, generator=torch.Generator().manual_seed(1))
    levels = Process(Parameterisation("eps", schedule)).at(np.array([1, 100, 1000]), x0)
    variance = Process.perturb(levels, x0, eps).var(dim=1).numpy()
    np.testing.assert_allclose(variance, [1e-4, 1 - 0.8970181456750, 1 - 4.035829765376e-05], rtol=0.05)


def test_first_levels_keep_their_noise_when_the_network_computes_in_bfloat16() -> None:
    x0 = draw(8)
    with torch.autocast("cpu", torch.bfloat16):
        levels = Process(Parameterisation("eps", LINEAR.build())).at(np.array([1, 2, 3, 4]), x0)
        x_t = Process.perturb(levels, x0, torch.ones_like(x0))
    assert x_t.dtype == torch.float32
    np.testing.assert_allclose(levels.g.flatten(), LINEAR.build().g[1:5], rtol=1e-6)


def test_time_is_what_the_schedule_tells_the_network() -> None:
    levels = Process(Parameterisation("edm", EDM.build())).at(T, draw(1))
    np.testing.assert_array_equal(levels.time, EDM.build().time[T])
    assert levels.time.shape == (4,)
    assert levels.a.shape == (4, 1)
