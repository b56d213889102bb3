"""Noise is a function of (seed, purpose, step, image) and of nothing else."""

import numpy as np
import pytest

from ddpm_core.diffusion.noise import Purpose, generator, initial, step_noise
from ddpm_core.errors import ParamsError


def test_image_does_not_depend_on_its_batch():
    together = initial([3, 4, 5], (1, 4, 4))
    assert (initial([5, 3], (1, 4, 4)) == together[[2, 0]]).all()


def test_a_number_of_seeds_or_images_may_vary():
    assert (initial(3, (2,), items=[0, 1])[0] == initial([3], (2,))[0]).all()
    assert not (initial(3, (2,), items=[0, 1])[1] == initial([4], (2,))[0]).any()


def test_x_T_is_step_0():
    assert (initial([9], (3,)) == step_noise([9], 0, (3,))).all()


def test_numbers_never_change():
    """Images of a seed are promised; these are Philox's own numbers, written down."""
    want = np.random.Generator(np.random.Philox(key=7, counter=2 * 2**128 + 3 * 2**192)).standard_normal(4, np.float32)
    assert (generator(7, Purpose.SAMPLE, 2, 3).standard_normal(4, np.float32) == want).all()


@pytest.mark.parametrize("other", [(8, 0, 1, 0), (7, 1, 1, 0), (7, 0, 2, 0), (7, 0, 1, 1)])
def test_every_coordinate_matters(other):
    seed, purpose, step, image = other
    one = generator(7, Purpose.SAMPLE, 1, 0).standard_normal(64)
    two = generator(seed, Purpose(purpose), step, image).standard_normal(64)
    assert not np.isin(one, two).any()


def test_large_seeds_are_not_rounded():
    assert (initial([2**63], (4,)) != initial([2**63 + 1], (4,))).all()
    assert (initial(0, (4,), 2**63) != initial(0, (4,), 2**63 + 1)).all()
    assert (step_noise(0, 2**63, (4,)) != step_noise(0, 2**63 + 1, (4,))).all()


def test_noise_is_standard_normal():
    z = initial(range(200), (500,))
    assert z.dtype == np.float32
    assert abs(z.mean()) < 0.015
    assert abs(z.std() - 1) < 0.01


def test_purposes_differ():
    assert len({int(p) for p in Purpose}) == len(Purpose)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initial([-1], (1,)), r"seed: must be a whole number from 0 to 2\^64 - 1, got -1"),
        (lambda: initial([2**64], (1,)), "seed: must be"),
        (lambda: step_noise([1, 2], [1, 2, 3], (1,)), r"equally many, got \[2, 3\]"),
    ],
)
def test_errors_say_what_must_hold(call, message):
    with pytest.raises(ParamsError, match=message):
        call()
