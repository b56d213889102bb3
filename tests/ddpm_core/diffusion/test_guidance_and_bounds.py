"""Classifier-free guidance, and what is done to x0_hat."""

from dataclasses import replace

import numpy as np
import pytest

from ddpm_core.diffusion.bounds import clip_to, dynamic_threshold, operator, unclamped
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import calls, combine, guided
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.config import named

X = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32)
TIME = np.array([10, 500, 900], np.float32)
LABEL = np.array([0, 1, 2])
COND, NONE = {"label": LABEL}, {"label": LABEL * 0 + 10}


def net(x, time, cond):
    """2 channels of mean that grow with the label and with time, 2 of variance that name it."""
    label = cond["label"]
    mean = x * (1 + label[:, None, None, None].astype(np.float32)) + time[:, None, None, None] / 1000
    variance = np.broadcast_to(label[:, None, None, None].astype(np.float32), x.shape)
    return np.concatenate([mean, variance], axis=1)


def guide(weight, **others):
    return guided(net, COND, weight, null={"label": 10}, channels=2, **others)(X, TIME)


def test_off_is_one_call_of_the_conditional_network():
    calls = []

    def counting(x, time, cond):
        calls.append(len(x))
        return net(x, time, cond)

    out = guided(counting, COND, 0.0, null={"label": 10}, channels=2)(X, TIME)
    assert calls == [3]
    assert (out == net(X, TIME, COND)).all()


def test_formula_and_variance_from_the_condition():
    """out_c + w (out_c - out_null) on the mean; the variance half is the conditional one."""
    out, c, null = guide(1.5), net(X, TIME, COND), net(X, TIME, NONE)
    assert out.dtype == np.float32
    assert out[:, :2] == pytest.approx(c[:, :2] + 1.5 * (c[:, :2] - null[:, :2]), abs=1e-5)
    assert (out[:, 2:] == c[:, 2:]).all()


def test_outside_the_interval_nothing_is_guided():
    out = guide(1.5, interval=(400.0, 900.0))
    assert (out[0] == net(X, TIME, COND)[0]).all()
    assert (out[1:] == guide(1.5)[1:]).all()
    assert out.dtype == np.float32


def test_the_network_is_asked_twice_where_guidance_acts():
    assert calls(TIME, 1.5, None).tolist() == [2, 2, 2]
    assert calls(TIME, 1.5, (400.0, 900.0)).tolist() == [1, 2, 2]
    assert calls(TIME, 0.0, (400.0, 900.0)).tolist() == [1, 1, 1]


def test_a_weight_for_each_image():
    out = guide(np.array([0.0, 1.5, 3.0], np.float32))
    assert (out[0] == net(X, TIME, COND)[0]).all()
    assert out[1] == pytest.approx(guide(1.5)[1])
    assert out[2] == pytest.approx(guide(3.0)[2])


def test_rescale_gives_back_the_spread():
    given, null = net(X, TIME, COND)[:, :2], net(X, TIME, NONE)[:, :2]
    full, half = combine(given, null, 3.0, 1.0), combine(given, null, 3.0, 0.5)
    axes = (1, 2, 3)
    assert full.std(axis=axes) == pytest.approx(given.std(axis=axes), rel=1e-5)
    assert half == pytest.approx((full + combine(given, null, 3.0, 0.0)) / 2, abs=1e-5)


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")

    def torch_net(x, time, cond):
        return torch.from_numpy(net(x.numpy(), time.numpy(), {"label": cond["label"].numpy()}))

    inputs = torch.from_numpy(X), torch.from_numpy(TIME)
    out = guided(
        torch_net,
        {"label": torch.from_numpy(LABEL)},
        2.0,
        null={"label": 10},
        channels=2,
        interval=(1.0, 600.0),
        rescale=0.7,
    )(*inputs)
    assert out.numpy() == pytest.approx(guide(2.0, interval=(1.0, 600.0), rescale=0.7), abs=1e-5)


def test_a_condition_that_must_be_told_is_the_same_in_both_answers():
    history = np.arange(6, dtype=np.float32).reshape(3, 2)
    asked = []

    def seen(x, time, cond):
        asked.append(cond)
        return net(x, time, cond)

    out = guided(seen, {**COND, "history": history}, 1.5, null={"label": 10}, channels=2)(X, TIME)
    assert (out == guide(1.5)).all()
    (cond,) = asked
    assert (cond["history"] == np.concatenate([history, history])).all()
    assert cond["label"].tolist() == [0, 1, 2, 10, 10, 10]


def test_guidance_without_the_condition_that_it_strengthens_is_refused():
    with pytest.raises(ParamsError, match=r"label.*history"):
        guided(net, {"history": X}, 1.5, null={"label": 10}, channels=2)


# ---- bounds


def test_clip_goes_to_the_range():
    D = np.array([[-2.0, 0.5, 3.0]])
    assert clip_to((-1, 1))(D).tolist() == [[-1, 0.5, 1]]


def test_dynamic_threshold_is_the_papers():
    """The quantile of |x0| where it leaves the range, each image by itself, then back into the range."""
    D = np.random.default_rng(0).standard_normal((2, 1, 20, 20)) * np.array([3.0, 0.1])[:, None, None, None]
    s = np.quantile(np.abs(D[0]), 0.9)
    out = dynamic_threshold((-1.0, 1.0), 0.9)(D)
    assert out[0] == pytest.approx(np.clip(D[0], -s, s) / s)
    assert out[1] == pytest.approx(D[1])


def test_dynamic_threshold_of_another_range_and_in_torch():
    torch = pytest.importorskip("torch")
    D = np.random.default_rng(0).standard_normal((2, 5)) * 4
    unit = dynamic_threshold((-1.0, 1.0), 0.8)
    assert dynamic_threshold((0.0, 1.0), 0.8)(D / 2 + 0.5) == pytest.approx(unit(D) / 2 + 0.5)
    assert unit(torch.from_numpy(D)).numpy() == pytest.approx(unit(D))


def test_data_without_a_range_have_no_bound():
    x = np.array([[5.0, -7.0]])
    assert operator("clip", None)(x) is x
    assert operator("none", (-1, 1)) is None
    assert operator("clip", (-1, 1))(np.array([[5.0]])) == 1
    assert operator("dynamic", (-1, 1))(np.array([[5.0]])) == 1
    assert operator("dynamic", (-1, 1))(np.array([[4.0, 2.0]]))[0, 1] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("name", ["clip", "dynamic"])
def test_a_plan_that_names_a_bound_does_not_run_without_it(schedule_of, name):
    """An output of 0.1 under target eps would end at 18,262 where 1 is the most that there is."""
    p = Parameterisation("eps", schedule_of("cosine"))
    plan = replace(named("dpmpp_2m", 10, None), bound=name).plan(p.schedule, "fixed_small")
    x_T = np.ones((1, 1))
    with pytest.raises(ParamsError, match=rf"bound: this plan names {name}.*clip_to.*unclamped"):
        generate(plan, p, lambda x, t: x * 0 + 0.1, x_T, lambda step: x_T)
    bounded = generate(plan, p, lambda x, t: x * 0 + 0.1, x_T, lambda step: x_T, bound=operator(name, (-1.0, 1.0)))
    assert abs(bounded).max() <= 1
    free = generate(plan, p, lambda x, t: x * 0 + 0.1, x_T, lambda step: x_T, bound=unclamped)
    assert free.max() > 10_000
    none = replace(plan, bound="none")
    assert (generate(none, p, lambda x, t: x * 0 + 0.1, x_T, lambda step: x_T) == free).all()


def test_errors_say_what_must_hold():
    with pytest.raises(ParamsError, match="one of none, clip, dynamic, got 'static'"):
        operator("static", (-1, 1))
    with pytest.raises(ParamsError, match=r"above 0 and at most 1, got 1\.5"):
        dynamic_threshold((-1, 1), 1.5)
