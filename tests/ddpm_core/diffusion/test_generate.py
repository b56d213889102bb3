"""The one loop: numpy and torch, learned variance, clipping, images at different rows."""

import numpy as np
import pytest

from ddpm_core.diffusion.arrays import concat, per_item
from ddpm_core.diffusion.bounds import clip_to
from ddpm_core.diffusion.generate import State, advance, begin, generate, stack, step_once
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError

SHAPE = (2, 3, 4)
SEEDS = [5, 6, 7]


def noise(step):
    return step_noise(SEEDS, step, SHAPE)


def nonlinear(x, time):
    """A network of sorts, the same in numpy and torch, with a variance half."""
    t = time.reshape(-1, 1, 1, 1) / 1000
    out = x * (1 - 0.3 * t) - 0.1 * x * x * x / (1 + x * x)
    return out.swapaxes(0, 1)[[0, 1, 0, 1]].swapaxes(0, 1)


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        ("ancestral", "fixed_small"),
        *((kind, "learned") for kind in ("ancestral", "ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2", "heun")),
    ],
)
def test_numpy_and_torch_agree_after_a_thousand_float32_steps(schedule_of, sampler_of, kind, variance):
    torch = pytest.importorskip("torch")
    schedule = schedule_of("linear")
    plan = sampler_of(kind, 1000).plan(schedule, variance)
    p, x_T = Parameterisation("v", schedule), initial(SEEDS, SHAPE)
    ours = generate(plan, p, nonlinear, x_T, noise, bound=clip_to((-1, 1)))
    theirs = generate(
        plan, p, nonlinear, torch.from_numpy(x_T), lambda k: torch.from_numpy(noise(k)), bound=clip_to((-1, 1))
    )
    assert ours.dtype == np.float32
    assert theirs.dtype == torch.float32
    assert np.abs(ours - theirs.numpy()).max() <= 1e-5


def test_x0_hat_is_clipped_before_the_mean_is_formed(schedule_of, sampler_of):
    """So the mean is that of the clipped x0_hat, and eps is derived again from it."""
    schedule = schedule_of("cosine")
    plan = sampler_of("ancestral", 10).plan(schedule, "fixed_small")
    p, x = Parameterisation("eps", schedule), np.full((1, 1), 0.5)
    row = plan.rows(p)[0]
    after = step_once(row, begin(x), lambda x, t: -x * 0, lambda step: 0 * x, clip_to((-1, 1)))
    assert after.D == 1
    assert after.x == pytest.approx(row.c_x * 0.5 + row.c_D)


@pytest.mark.parametrize("f", [0.0, 0.3, 1.0])
def test_learned_variance_lies_between_its_two_logarithms(schedule_of, sampler_of, f):
    """The logarithm of a variance, not of a standard deviation: one unit of noise moves x by its root."""
    schedule = schedule_of("linear")
    plan = sampler_of("ancestral", 1000).plan(schedule, "learned")
    row = plan.rows(Parameterisation("x0", schedule))[400]
    x = np.zeros((1, 1, 1))
    out = np.concatenate([x, x + 2 * f - 1], axis=1)
    moved = advance(row, begin(x), out, np.ones_like(x), None).x
    t = 1000 - 400
    want = schedule.beta[t] ** (f / 2) * schedule.beta_tilde[t] ** ((1 - f) / 2)
    assert moved.item() == pytest.approx(want, rel=1e-12)


def test_deterministic_rows_ignore_the_variance_half(schedule_of, sampler_of):
    schedule = schedule_of("linear")
    plan = sampler_of("ddim", 10).plan(schedule, "learned")
    assert not plan.needs_noise
    p, x_T = Parameterisation("v", schedule), initial(SEEDS, SHAPE)
    whole = generate(plan, p, nonlinear, x_T, noise)
    assert (whole == generate(plan, p, lambda x, t: nonlinear(x, t)[:, :2], x_T, noise)).all()


def merge(states, images=slice(None)):
    """The images of several states as one."""
    past = [tuple(concat([s.past[k][i][images] for s in states]) for i in (0, 1)) for k in range(2)]
    return State(concat([s.x[images] for s in states]), concat([s.D[images] for s in states]), tuple(past))


@pytest.mark.parametrize(
    "kinds",
    [
        ("ancestral", "ancestral"),
        ("dpmpp_2m", "heun"),
        ("dpmpp_3m", "unipc_2"),
        ("ancestral", "unipc_2"),
        ("ancestral", "predictor_corrector"),
    ],
)
@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_images_at_different_rows_share_a_call(schedule_of, sampler_of, kinds, framework):
    """Two images, the second three rows behind: the same images as alone."""
    make = pytest.importorskip("torch").from_numpy if framework == "torch" else np.asarray
    schedule = schedule_of("cosine")
    p = Parameterisation("v", schedule)
    plans = [sampler_of(kind, 12).plan(schedule, "learned") for kind in kinds]
    rows = [plan.rows(p) for plan in plans]
    alone = [
        generate(plan, p, nonlinear, make(initial(i, SHAPE)), lambda k, i=i: make(step_noise(i, k, SHAPE)))
        for i, plan in enumerate(plans)
    ]
    states = [begin(make(initial(i, SHAPE)), 2) for i in range(2)]
    for row in rows[0][:3]:
        states[0] = step_once(row, states[0], nonlinear, lambda k: make(step_noise(0, k, SHAPE)))
    places = [3, 0]
    while places[1] < len(rows[1]):
        active = [i for i in range(2) if places[i] < len(rows[i])]
        merged = merge([states[i] for i in active])
        row = stack([rows[i][places[i]] for i in active], merged.x)
        z = make(step_noise(active, row.noise_step, SHAPE))
        assert row.time.shape == (len(active),)
        out = nonlinear(row.c_in * merged.x, row.time)
        after = advance(row, merged, out, z, None)
        for slot, i in enumerate(active):
            states[i] = merge([after], slice(slot, slot + 1))
            places[i] += 1
    for state, want in zip(states, alone, strict=True):
        assert np.abs(np.asarray(state.x) - np.asarray(want)).max() < 1e-6


def test_stack_needs_a_row_an_image(schedule_of, sampler_of):
    schedule = schedule_of("cosine")
    rows = sampler_of("ddim", 3).plan(schedule, "learned").rows(Parameterisation("v", schedule))
    with pytest.raises(ParamsError, match="one row an item, got 3 rows for 2 items"):
        stack(rows, np.zeros((2, 1)))


def test_on_step_may_replace_x(schedule_of, sampler_of):
    schedule, seen = schedule_of("linear"), []
    plan = sampler_of("ddim", 4).plan(schedule, "fixed_small")

    def on_step(row, x, D):
        seen.append(row)
        return x * 0 + 7 if row == 3 else None

    x = generate(plan, Parameterisation("v", schedule), nonlinear, initial(SEEDS, SHAPE), noise, on_step=on_step)
    assert seen == [0, 1, 2, 3]
    assert (x == 7).all()


def test_network_is_told_the_level_as_a_vector(schedule_of, sampler_of):
    schedule, told = schedule_of("linear"), []

    def denoise(x, time):
        told.append((time.shape, time.dtype, float(time[0])))
        return x

    generate(sampler_of("ddim", 2).plan(schedule, "learned"), Parameterisation("v", schedule), denoise,
             initial(SEEDS, SHAPE), noise)  # fmt: skip
    assert told == [((3,), np.float32, 1000.0), ((3,), np.float32, 500.0)]


def test_two_steps_never_draw_the_same_noise(schedule_of, sampler_of):
    asked = []

    def counting(step):
        asked.append(step)
        return noise(step)

    schedule = schedule_of("linear")
    for kind in ("ancestral", "predictor_corrector", "langevin"):
        asked.clear()
        plan = sampler_of(kind, 20).plan(schedule, "fixed_large")
        generate(plan, Parameterisation("v", schedule), nonlinear, initial(SEEDS, SHAPE), counting)
        assert len(set(asked)) == len(asked) > 0
        assert 0 not in asked


def test_per_item_meets_any_shape_in_numpy_and_in_torch():
    torch = pytest.importorskip("torch")
    for ones in (np.ones, torch.ones):
        assert per_item(ones(5), ones((5, 2, 3, 4))).shape == (5, 1, 1, 1)
        assert per_item(ones(5), ones(5)).shape == (5,)
