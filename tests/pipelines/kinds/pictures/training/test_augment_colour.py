"""Changes of colour: brightness, contrast, saturation and hue do what their names say, in the order that was drawn."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from pipelines.kinds.pictures.training.augment import _Changes, augmenter
from pipelines.kinds.pictures.training.config import Colour
from tests.pipelines.kinds.pictures.training.test_augment import COLOUR, GREY, IMAGES, PICTURES
from tests.support.augmenting import augmenting


def test_brightness_scales_and_contrast_draws_to_the_mean() -> None:
    brighter = augmenter(augmenting(colour=Colour(1.0, 0.5, 0.0, 0.0, 0.0)), 0, GREY)(IMAGES // 4, 0)
    factors = brighter.reshape(400, -1).sum(1) / (IMAGES // 4).reshape(400, -1).sum(1)
    assert 0.45 < factors.min() < 0.6
    assert 1.4 < factors.max() < 1.55
    calm = IMAGES // 4 + 90
    drawn = augmenter(augmenting(colour=Colour(1.0, 0.0, 0.5, 0.0, 0.0)), 0, GREY)(calm, 0)
    np.testing.assert_allclose(drawn.mean(axis=(1, 2, 3)), calm.mean(axis=(1, 2, 3)), atol=0.51)
    spread = drawn.std(axis=(1, 2, 3)) / calm.std(axis=(1, 2, 3))
    assert 0.45 < spread.min() < 0.6
    assert 1.4 < spread.max() < 1.55


def test_saturation_and_hue_leave_the_grey_and_the_value_alone() -> None:
    grey = np.repeat(PICTURES[:, :1], 3, axis=1)
    for colour in (Colour(1.0, 0.0, 0.0, 1.0, 0.0), Colour(1.0, 0.0, 0.0, 0.0, 0.5)):
        made = augmenter(augmenting(colour=colour), 0, COLOUR)(grey, 0)
        assert np.abs(made.astype(int) - grey).max() <= 1
    turned = augmenter(augmenting(colour=Colour(1.0, 0.0, 0.0, 0.0, 0.5)), 0, COLOUR)(PICTURES, 0)
    np.testing.assert_allclose(turned.max(axis=1), PICTURES.max(axis=1), atol=1)
    was, now = (colorsys.rgb_to_hsv(*(picture[0, :, 0, 0] / 255.0)) for picture in (PICTURES, turned))
    assert was[1:] == pytest.approx(now[1:], abs=0.02)


def test_changes_of_colour_come_in_the_order_that_was_drawn() -> None:
    """Twice as bright, what is bright is cut off; with its contrast halved before, less is."""
    colour = Colour(1.0, 1.0, 0.5, 0.0, 0.0)
    changes = _Changes(augmenting(colour=colour), COLOUR)
    pictures = np.tile(np.array([0.2, 0.8]), (2, 3, 6, 5))
    order = np.array([[0.1, 0.9, 0.5, 0.5], [0.9, 0.1, 0.5, 0.5]])
    found = changes._tinted(pictures, colour, order, np.tile([1.0, 0.0, 0.5, 0.5], (2, 1)))
    wanted = 0.5 * np.minimum(2 * pictures[0], 1) + 0.35, np.minimum(2 * (0.25 + pictures[1] / 2), 1)
    np.testing.assert_allclose(found, np.stack(wanted), atol=1e-3)


def test_colours_are_refused_where_there_are_none() -> None:
    with pytest.raises(ParamsError, match=r"saturation and hue must be 0 for grey pictures, .* got saturation=0.1, h"):
        augmenter(augmenting(colour=Colour(0.5, 0.1, 0.1, 0.1, 0.0)), 0, GREY)
    with pytest.raises(ParamsError, match=r"colour: must be of pictures with 1 or 3 channels, but these have 4; set"):
        augmenter(augmenting(colour=Colour(0.5, 0.1, 0.1, 0.0, 0.0)), 0, replace(COLOUR, shape=(4, 8, 8)))
    augmenter(augmenting(colour=Colour(0.0, 0.1, 0.1, 0.1, 0.1), vertical_flip=1.0), 0, GREY)
