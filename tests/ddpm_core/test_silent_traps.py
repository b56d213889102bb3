"""What would be wrong without a word is refused where it is given: shapes that spread, levels that wrap, no numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_core.device import pick_precision
from ddpm_core.diffusion.bounds import clip_to
from ddpm_core.diffusion.editing import known_region, noised
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import Purpose, generator, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation, eps_of, score_of
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.errors import DataError, DeviceError, ParamsError
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.samplers.config import named
from ddpm_core.spec import labelled
from ddpm_core.tensors.process import Process
from ddpm_core.tensors.sampling import sample

SHAPE = (4, 3, 4, 4)  # as many images as columns
SPEC = labelled((3, 4, 4), (-1.0, 1.0), 256, ("a", "b"))


@pytest.fixture
def v(schedule_of):
    return Parameterisation("v", schedule_of("linear", 50))


def objective(p, T=50, weights=None):
    weights = np.ones(51) if weights is None else weights
    law = Uniform("uniform", False).build(replace_T(p.schedule, T))
    return DiffusionObjective(Process(p), weights, law)


def replace_T(schedule: Schedule, T: int) -> Schedule:
    return Schedule(schedule.a[: T + 1], schedule.g[: T + 1], schedule.time[: T + 1], schedule.process)


# ---------------------------------------------------------------------------------------------------- sampling


def run(p, denoise, x_T, noise, plan=None):
    plan = plan or named("ancestral", 3, None).plan(p.schedule, "fixed_small")
    return generate(plan, p, denoise, x_T, noise, bound=clip_to((-1.0, 1.0)))


X_T = np.zeros(SHAPE, np.float32)


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((4, 1, 4, 4), np.float32),
        np.zeros((1, 3, 4, 4), np.float32),
        np.zeros((4, 3, 1, 1), np.float32),
        np.zeros((4, 9, 4, 4), np.float32),
    ],
    ids=["one channel", "one image", "one pixel", "three times the channels"],
)
def test_an_answer_that_would_be_spread_is_refused(v, answer):
    with pytest.raises(ParamsError, match=r"denoise.*\(4, 3, 4, 4\)"):
        run(v, lambda x, time: answer, X_T, lambda step: X_T)


def test_a_learned_variance_needs_an_answer_that_speaks_of_it(v):
    one = np.zeros((4, 1, 4, 4), np.float32)
    plan = named("ancestral", 3, None).plan(v.schedule, "learned")
    with pytest.raises(ParamsError, match=r"denoise.*\(4, 2, 4, 4\)"):
        run(v, lambda x, time: x, one, lambda step: one, plan)


@pytest.mark.parametrize("shape", [(4, 4), (1, 3, 4, 4), (4, 1, 1, 1)])
def test_noise_that_would_be_shared_by_images_or_pixels_is_refused(v, shape):
    with pytest.raises(ParamsError, match="noise"):
        run(v, lambda x, time: x, X_T, lambda step: np.ones(shape, np.float32))


@pytest.mark.parametrize("x_T", [np.zeros(SHAPE, np.int64), np.zeros(4, np.float32), torch.zeros(SHAPE).long()])
def test_sampling_begins_from_floating_point_images(v, x_T):
    with pytest.raises(ParamsError, match="x_T"):
        run(v, lambda x, time: x, x_T, lambda step: x_T)


def test_a_plan_of_another_schedule_than_the_parameterisations_is_refused(schedule_of, v):
    for other in (schedule_of("cosine", 50), schedule_of("linear", 60)):
        plan = named("ddim", 3, None).plan(other, "fixed_small")
        with pytest.raises(ParamsError, match=r"schedule|levels"):
            run(v, lambda x, time: x, X_T, lambda step: X_T, plan)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_torch_sampling_refuses_labels_that_are_none(v, labels):
    net = torch.nn.Identity()
    plan = named("ddim", 3, None).plan(v.schedule, "fixed_small")
    with pytest.raises(ParamsError, match="label"):
        sample(
            net, plan, v, SPEC, seeds=[0, 1], cond={"label": np.array(labels)}, guidance=0.5,
            device=torch.device("cpu"), dtype=torch.float32,
        )  # fmt: skip


@pytest.mark.parametrize("steps", [2.5, 0, -3, 51])
def test_steps_are_a_whole_number_of_levels(v, steps):
    with pytest.raises(ParamsError, match=rf"steps.*50.*{steps}"):
        spaced_levels("trailing", v.schedule, steps)


def test_a_mask_has_the_axes_of_the_data(v):
    plan = named("ddim", 3, None).plan(v.schedule, "fixed_small")
    with pytest.raises(ParamsError, match=r"mask.*4.*1"):
        known_region(plan, v.schedule, X_T, np.ones(4), lambda step: X_T)


@pytest.mark.parametrize("ends", [(1.0, -1.0), (0.0, 0.0), (math.nan, 1.0)])
def test_a_range_rises(ends):
    with pytest.raises(ParamsError, match="data_range"):
        clip_to(ends)
    with pytest.raises(DataError, match="range"):
        labelled((1, 2, 2), ends, 256, ())


# ------------------------------------------------------------------------------------------------------ levels


@pytest.mark.parametrize("t", [-1, 51])
def test_levels_do_not_wrap(v, t):
    x = X_T
    for ask in (
        lambda: noised(v.schedule, x, t, x),
        lambda: v.target_of(x, x, x, t),
        lambda: v.x0_of(x, x, t),
        lambda: eps_of(v.schedule, x, x, t),
        lambda: score_of(v.schedule, x, x, t),
        lambda: Process(v).at(np.array([t, 1, 1, 1]), torch.zeros(SHAPE)),
        lambda: v.schedule.level_at(t / 50),
    ):
        with pytest.raises(ParamsError, match=r"level|fraction"):
            ask()


def test_clean_data_have_no_target_and_no_noise_to_tell(v):
    for ask in (
        lambda: v.target_of(X_T, X_T, X_T, 0),
        lambda: eps_of(v.schedule, X_T, X_T, 0),
        lambda: Process(v).at(np.array([0, 1, 1, 1]), torch.zeros(SHAPE)),
    ):
        with pytest.raises(ParamsError, match="levels: must be from 1 to 50, got 0"):
            ask()
    assert v.x0_of(X_T, X_T + 1, 0).tolist() == (X_T + 1).tolist()


def test_levels_are_whole_and_one_a_datum(v):
    with pytest.raises(ParamsError, match="float"):
        Process(v).at(np.array([1.0, 2.0, 3.0, 4.0]), torch.zeros(SHAPE))
    with pytest.raises(ParamsError, match="shape"):
        Process(v).at(np.array([1]), torch.zeros(SHAPE))


@pytest.mark.parametrize(
    ("process", "a", "g", "law"),
    [
        ("vp", [1.0, 0.9, 0.1], [0.0, 0.1, 0.9], r"a\^2 \+ g\^2 = 1"),
        ("ve", [1.0, 0.9, 0.1], [0.0, 0.5, 0.9], "a = 1"),
        ("flow", [1.0, 0.6, 0.0], [0.0, 0.8, 1.0], r"a \+ g = 1"),
    ],
)
def test_a_schedule_keeps_the_law_of_the_process_that_it_names(process, a, g, law):
    with pytest.raises(ParamsError, match=law):
        Schedule(np.array(a), np.array(g), np.arange(3, dtype=np.float32), process)


# ------------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("seed", [1.5, 1.0, "1", 2**64, -1, math.nan])
def test_seeds_are_whole_numbers_of_64_bits(seed):
    with pytest.raises(ParamsError, match=r"seed|whole"):
        generator(seed, Purpose.SAMPLE)
    with pytest.raises(ParamsError, match=r"seed|whole"):
        step_noise([seed], 0, (1,))


def test_numpys_whole_numbers_are_seeds():
    assert step_noise(np.array([7], np.int64), 0, (4,)).tolist() == step_noise([7], 0, (4,)).tolist()


# -------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_level(bad):
    x = np.zeros((1, 3, 4, 4), np.float32)
    x[0, 0, 0, 0] = bad
    with pytest.raises(DataError, match="finite"):
        SPEC.decode(x)


def test_only_levels_are_encoded():
    with pytest.raises(DataError, match="float32"):
        SPEC.encode(np.full((1, 3, 4, 4), 0.5, np.float32))
    few = replace(SPEC, levels=2)
    with pytest.raises(DataError, match="0 to 1, got 0 to 255"):
        few.encode(np.array([[0, 255]], np.uint8))
    assert few.encode(np.array([0, 1], np.uint8)).tolist() == [-1.0, 1.0]
    with pytest.raises(DataError, match="1000 to 1000"):
        SPEC.encode(np.array([1000]))
    with pytest.raises(DataError, match="1024"):
        replace(SPEC, levels=1024).decode(np.zeros((1, 3, 4, 4), np.float32))


# ---------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", ["mask", "weight"])
def test_a_mask_or_weight_an_image_is_not_taken_for_one_a_column(name):
    x0 = torch.zeros(SHAPE)
    with pytest.raises(DataError, match=name):
        Batch(x0, {}, **{name: torch.tensor([1.0, 0.0, 0.0, 0.0])})
    Batch(x0, {}, **{name: torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None, None, None]})


def test_a_condition_is_as_long_as_the_batch():
    with pytest.raises(DataError, match=r"label.*1"):
        Batch(torch.zeros(SHAPE), {"label": torch.zeros(1)})


def test_a_batch_of_nothing_is_refused(v):
    with pytest.raises(DataError, match="batch"):
        objective(v).draw(Batch(torch.zeros(0, 3, 4, 4), {}), 0, 0)


def test_a_law_over_fewer_levels_would_never_train_the_rest(v):
    with pytest.raises(ParamsError, match=r"time law.*50.*40"):
        objective(v, T=40)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_weights_are_finite_and_not_negative(v, bad):
    weights = np.ones(51)
    weights[7] = bad
    with pytest.raises(ParamsError, match="weights"):
        objective(v, weights=weights)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_dropout_of_labels_is_a_probability(probability):
    with pytest.raises(ParamsError, match="dropout"):
        LabelDropout({"label": 2}, probability)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (4, 3, 1, 1), (4, 6, 4, 4)])
def test_an_answer_in_training_has_the_shape_of_the_target(v, shape):
    ours = objective(v)
    draw = ours.draw(Batch(torch.zeros(SHAPE), {}), 0, 0)
    with pytest.raises(ParamsError, match=r"channels.*shape"):
        ours.loss(lambda x, t: torch.zeros(shape), draw)


def test_an_unknown_precision_is_not_taken_for_auto():
    with pytest.raises(DeviceError, match="fp16"):
        pick_precision("fp16", torch.device("cpu"))


# ------------------------------------------------------------------------------------------------------- bound
