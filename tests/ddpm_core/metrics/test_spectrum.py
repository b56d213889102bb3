"""Energy at the Nyquist lines: closed forms of checkerboards, stripes, noise and blur."""

import numpy as np
import pytest

from ddpm_core.metrics.spectrum import SHORTEST, mesh, nyquist_energy
from tests.support.described import eval_data, numbers

ROUNDING = 1 / 12


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape, dtype=np.uint8)


def checkerboard(shape: tuple[int, int], amplitude: int) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.where((rows + columns) % 2, 100 + amplitude, 100 - amplitude).astype(np.uint8)


@pytest.mark.parametrize("shape", [(16, 16), (8, 20), (32, 8)])
@pytest.mark.parametrize("amplitude", [1, 5, 50])
def test_a_checkerboard_has_its_square_times_the_side(shape: tuple[int, int], amplitude: int) -> None:
    """(-1)^k a has the energy a^2 W at Nyquist and none beside it; rounding alone lies under both."""
    images = np.broadcast_to(checkerboard(shape, amplitude), (3, 2, *shape))
    expected = amplitude**2 * sum(shape) / (2 * ROUNDING) + 1
    assert nyquist_energy(images) == pytest.approx(expected)


def test_stripes_are_seen_along_either_axis() -> None:
    stripes = np.tile(np.array([90, 110], np.uint8), 8)
    across = np.broadcast_to(stripes, (1, 1, 16, 16))
    expected = (10**2 * 16 / 2 + ROUNDING) / ROUNDING
    assert nyquist_energy(across) == pytest.approx(expected)
    assert nyquist_energy(across.swapaxes(2, 3)) == pytest.approx(expected)


@pytest.mark.parametrize("side", [8, 9, 16, 31])
def test_white_noise_has_one(side: int) -> None:
    assert nyquist_energy(noise((2000, 1, side, side))) == pytest.approx(1, abs=0.03)


def test_a_mesh_in_noise_adds_what_its_amplitude_says() -> None:
    """1 + a^2 W / variance, where the noise is far above rounding."""
    images = noise((4000, 1, 16, 16))
    variance = (200**2 - 1) / 12
    mesh = checkerboard((16, 16), 20).astype(np.int64) - 100
    assert nyquist_energy((images.astype(np.int64) + 20 + mesh).astype(np.uint8)) == pytest.approx(
        1 + 20**2 * 16 / variance, rel=0.03
    )


def test_smooth_pictures_have_little() -> None:
    """The mean of two neighbours has no energy at Nyquist, and cos^2 of half the frequency beside it."""
    images = noise((500, 3, 16, 17)).astype(np.int64)
    images = images[..., :16] + np.roll(images[..., :16], 1, axis=3)
    smooth = ((images + np.roll(images, 1, axis=2)) // 4).astype(np.uint8)
    assert nyquist_energy(smooth) < 0.05


def test_one_colour_has_one_for_it_has_no_mesh() -> None:
    assert nyquist_energy(np.full((4, 3, 16, 16), 7, np.uint8)) == pytest.approx(1)


def test_the_parts_it_is_counted_in_change_nothing() -> None:
    images = np.concatenate([noise((300, 1, 8, 8)), checkerboard((8, 8), 9)[None, None]])
    whole = nyquist_energy(images)
    assert nyquist_energy(images[::-1]) == pytest.approx(whole, rel=1e-12)
    assert nyquist_energy(np.concatenate([images] * 3)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("odd", [9, 17])
def test_the_last_pixel_of_an_odd_side_is_left_out(odd: int) -> None:
    images = noise((5, 1, odd, 4))
    assert nyquist_energy(images) == nyquist_energy(images[:, :, :-1])


def test_a_side_too_short_is_left_out_and_with_both_there_is_no_number() -> None:
    stripes = np.broadcast_to(np.tile(np.array([90, 110], np.uint8), 4), (1, 1, SHORTEST - 1, 8))
    assert nyquist_energy(stripes) == pytest.approx(10**2 * 8 / ROUNDING + 1)
    assert nyquist_energy(noise((5, 1, SHORTEST - 1, SHORTEST - 1))) is None
    small = noise((5, 1, 4, 4))
    assert numbers(mesh(eval_data(images=small, unseen=small))) == {}


def test_samples_stand_beside_unseen_images() -> None:
    unseen = noise((50, 1, 8, 8))
    meshed = np.broadcast_to(checkerboard((8, 8), 30), (50, 1, 8, 8))
    found = numbers(mesh(eval_data(images=meshed, unseen=unseen)))
    assert found["nyquist_energy"] == nyquist_energy(meshed)
    assert found["nyquist_energy_heldout"] == nyquist_energy(unseen)
    assert found["nyquist_energy"] > 1000 * found["nyquist_energy_heldout"]


def test_a_mesh_is_named_and_blur_is_not_called_one() -> None:
    unseen, meshed = noise((50, 1, 8, 8)), np.broadcast_to(checkerboard((8, 8), 30), (50, 1, 8, 8))
    smooth = np.full((50, 1, 8, 8), 9, np.uint8) + np.arange(8, dtype=np.uint8)
    for images, is_mesh in ((meshed, True), (smooth, False)):
        metric, _ = mesh(eval_data(images=images, unseen=unseen))
        assert metric.contrast is not None
        assert ("mesh" in metric.contrast[0]) is is_mesh
