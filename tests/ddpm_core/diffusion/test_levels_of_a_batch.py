"""A level for all data or one for each: the same numbers, in numpy and torch, whatever the type of x."""

import numpy as np
import pytest

from ddpm_core.diffusion.arrays import at_levels, times
from ddpm_core.diffusion.bounds import dynamic_threshold
from ddpm_core.diffusion.editing import noised
from ddpm_core.diffusion.generate import generate, stack
from ddpm_core.diffusion.guidance import guided
from ddpm_core.diffusion.noise import initial
from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation, eps_of, score_of
from ddpm_core.errors import ParamsError

SHAPE = (2, 3, 5)
LEVELS = [3, 600, 1000]
X, Z, OUT = (initial(range(i, i + 3), SHAPE) for i in (0, 3, 6))
ORACLE = GaussianOracle(0.3, 0.25)


def functions(p):
    return {
        "noised": lambda x, z, out, t: noised(p.schedule, x, t, z),
        "eps_of": lambda x, z, out, t: eps_of(p.schedule, x, z, t),
        "score_of": lambda x, z, out, t: score_of(p.schedule, x, z, t),
        "target_of": lambda x, z, out, t: p.target_of(x, x, z, t),
        "x0_of": lambda x, z, out, t: p.x0_of(out, x, t),
        "x0_hat": lambda x, z, out, t: ORACLE.x0_hat(p.schedule, x, t),
    }


@pytest.mark.parametrize("framework", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["noised", "eps_of", "score_of", "target_of", "x0_of", "x0_hat"])
def test_a_level_for_each_datum_is_each_alone_at_its_level(schedule_of, name, framework):
    torch = pytest.importorskip("torch") if framework == "torch" else None
    make = np.asarray if torch is None else torch.from_numpy
    call = functions(Parameterisation("v", schedule_of("cosine")))[name]
    x, z, out = make(X), make(Z), make(OUT)
    alone = np.concatenate([call(x[i : i + 1], z[i : i + 1], out[i : i + 1], t) for i, t in enumerate(LEVELS)])
    levels = [LEVELS, np.array(LEVELS)] + ([] if torch is None else [torch.tensor(LEVELS)])
    for t in levels:
        together = call(x, z, out, t)
        assert together.dtype == x.dtype
        assert np.asarray(together) == pytest.approx(alone, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["noised", "eps_of", "score_of", "target_of", "x0_of"])
def test_as_many_levels_as_data(schedule_of, name):
    call = functions(Parameterisation("v", schedule_of("cosine")))[name]
    for t in ([3], [3, 600], np.array([[3], [600], [1000]])):
        with pytest.raises(ParamsError, match=r"levels: must be one, or one for each of 3"):
            call(X, Z, OUT, t)
    with pytest.raises(ParamsError, match="levels"):
        call(X, Z, OUT, [3.5, 2.0, 1.0])


def test_a_scalar_is_a_datum(schedule_of):
    schedule = schedule_of("cosine")
    assert eps_of(schedule, 0.5, 1.0, 7) == (1.0 - schedule.a[7] * 0.5) / schedule.g[7]
    assert at_levels(schedule.a, 7, X) == schedule.a[7]


# ------------------------------------------------------------------------------------------------------ the oracle


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_the_exact_network_takes_a_time_for_each_datum(schedule_of, framework):
    make = pytest.importorskip("torch").from_numpy if framework == "torch" else np.asarray
    for name, target in (("cosine", "v"), ("edm", "edm"), ("rectified_flow", "flow")):
        p = Parameterisation(target, schedule_of(name))
        net = ORACLE.network(p, v=0.5)
        time, x = make(p.schedule.time[LEVELS]), make(X.astype(np.float64))
        together = net(x, time)
        assert together.shape == (3, 4, 3, 5)
        for i in range(3):
            alone = net(x[i : i + 1], time[i : i + 1])
            assert np.asarray(together[i : i + 1]) == pytest.approx(np.asarray(alone), rel=1e-9, abs=1e-12)


def test_the_exact_network_knows_the_schedules_times_alone(schedule_of):
    net = ORACLE.network(Parameterisation("v", schedule_of("cosine")))
    with pytest.raises(ParamsError, match=r"time.*600\.5"):
        net(X, np.array([600.5] * 3, np.float32))


# --------------------------------------------------------------------------------------------------------- the time


def seen_times(schedule, sampler_of, x_T, guide=False):
    """What the network is told in all steps, and the type of the sample."""
    p, seen = Parameterisation("v", schedule), []

    def net(x, time, cond):
        seen.extend(float(value) for value in time[:1])
        return x * 0

    denoise = guided(
        net, {"label": np.zeros(1, np.int64)} if isinstance(x_T, np.ndarray) else {"label": (x_T[:, 0] * 0).long()},
        0.5 if guide else 0.0, null={"label": 1}, channels=2, interval=(0.0, 2000.0),
    )  # fmt: skip
    x = generate(sampler_of("ddim", schedule.T).plan(schedule, "fixed_small"), p, denoise, x_T, lambda step: None)
    return seen, x.dtype


@pytest.mark.parametrize("guide", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_network_is_told_the_right_time_whatever_the_type_of_x(schedule_of, sampler_of, dtype, guide):
    """bfloat16 has no odd number above 256."""
    torch = pytest.importorskip("torch")
    schedule = schedule_of("cosine")
    x_T = torch.zeros(1, 2, dtype=getattr(torch, dtype))
    seen, kept = seen_times(schedule, sampler_of, x_T, guide)
    assert seen[-1000:] == schedule.time[:0:-1].tolist()
    assert kept == x_T.dtype


def test_times_that_float16_rounds(schedule_of, sampler_of):
    schedule = schedule_of("vp_continuous", 700)
    seen, kept = seen_times(schedule, sampler_of, np.zeros((1, 2), np.float16))
    assert seen == schedule.time[:0:-1].tolist()
    assert kept == np.float16


def test_the_rows_of_a_stack_have_the_right_time_too(schedule_of, sampler_of):
    torch = pytest.importorskip("torch")
    p = Parameterisation("v", schedule_of("cosine"))
    rows = sampler_of("ddim", 1000).plan(p.schedule, "fixed_small").rows(p)
    x = torch.zeros(2, 1, dtype=torch.bfloat16)
    assert stack([rows[1], rows[3]], x).time.tolist() == [999.0, 997.0]
    assert times(x.double(), [1, 2]).dtype == torch.float64


# ------------------------------------------------------------------------------------------------------ nothing


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_batch_of_nothing_is_thresholded(framework):
    make = pytest.importorskip("torch").from_numpy if framework == "torch" else np.asarray
    nothing = make(np.zeros((0, 3, 4, 4), np.float32))
    assert tuple(dynamic_threshold((-1.0, 1.0), 0.995)(nothing).shape) == (0, 3, 4, 4)
