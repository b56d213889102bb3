"""The controls: each is what its name says, the same every time, and leaves the pictures it is made from alone."""

import numpy as np
import pytest

from ddpm_core.metrics.controls import CONTROLS, mixed, picks

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 9, 8)).astype(np.uint8)
CHANGING = [control for control in CONTROLS if control.corrupt is not None]


def changed(name: str, images: np.ndarray = IMAGES) -> np.ndarray:
    control = next(control for control in CHANGING if control.name == name)
    return control.corrupt(images, 255, np.random.default_rng(1))


def test_blurring_leaves_nothing_fine_along_either_axis():
    stripes = np.zeros((2, 1, 16, 16), dtype=np.uint8)
    stripes[0, :, ::2] = stripes[1, :, :, ::2] = 200
    assert (changed("blurred", stripes) == 100).all()


def test_one_class_is_the_one_that_the_data_have_most_of():
    labels = np.repeat([0, 1, 2], [5, 30, 10])
    assert set(labels[picks(labels, np.arange(45) % 4, 20, 0)["one class"]]) == {1}


def test_names_are_unique_and_the_gross_ones_cover_fidelity_diversity_and_copies():
    names = [control.name for control in CONTROLS]
    assert len(set(names)) == len(names)
    assert {"noise", "mean picture", "one picture", "ten pictures", "copies", "half noise"} <= {
        control.name for control in CONTROLS if control.gross
    }


@pytest.mark.parametrize("control", CHANGING, ids=lambda control: control.name)
def test_a_change_keeps_shape_and_range_repeats_and_touches_nothing(control):
    before = IMAGES.copy()
    once, again = (control.corrupt(IMAGES, 255, np.random.default_rng(3)) for _ in range(2))
    assert once.shape == IMAGES.shape
    assert once.dtype == np.uint8
    assert np.array_equal(once, again)
    assert np.array_equal(IMAGES, before)
    assert not np.array_equal(once, IMAGES)
    assert control.corrupt(IMAGES // 128, 1, np.random.default_rng(3)).max() <= 1


@pytest.mark.parametrize("name", ["pixels shuffled", "patches shuffled"])
def test_shuffles_keep_every_pixel(name):
    for mine, its in zip(changed(name), IMAGES, strict=True):
        columns = [sorted(map(tuple, picture.reshape(3, -1).T.tolist())) for picture in (mine, its)]
        assert columns[0] == columns[1]


def test_the_mean_picture_is_the_mean_and_a_blur_keeps_it():
    assert np.abs(changed("mean picture")[0] - IMAGES.mean(axis=0)).max() <= 0.5
    means = changed("blurred").mean(axis=(2, 3)) - IMAGES.mean(axis=(2, 3))
    assert np.abs(means).max() < 3


def test_added_noise_has_the_size_it_says():
    grey = np.full((50, 1, 20, 20), 128, dtype=np.uint8)
    assert changed("light noise added", grey).std() == pytest.approx(25.5, rel=0.05)


LABELS, REGIONS = np.arange(200) % 4, np.arange(200) // 20


def test_picks_show_what_they_say():
    found = picks(LABELS, REGIONS, 50, 0)
    assert {name: len(rows) for name, rows in found.items()} == dict.fromkeys(found, 50)
    assert len(set(found["one picture"])) == 1
    assert len(set(found["ten pictures"])) == 10
    assert len(set(found["copies"])) == 50
    assert len(set(LABELS[found["one class"]])) == 1
    assert len(set(LABELS[found["half the classes"]])) == 2
    assert len(set(REGIONS[picks(LABELS, REGIONS, 500, 0)["half the modes"]])) == 5


def test_without_labels_or_with_one_class_there_is_no_control_of_classes():
    for labels in (np.full(200, -1), np.zeros(200, dtype=np.int64)):
        assert picks(labels, REGIONS, 50, 0).keys() == {"one picture", "ten pictures", "copies", "half the modes"}


def test_few_pictures_are_never_repeated_to_fill_a_control_of_modes():
    found = picks(LABELS[:20], REGIONS[:20] * 0 + np.arange(20) // 5, 50, 0)
    assert len(found["half the modes"]) == len(set(found["half the modes"])) == 10
    assert len(found["one picture"]) == 50


def test_a_mixed_control_changes_its_share():
    assert mixed(0.25, 200, 0).sum() == 50
    assert np.array_equal(mixed(0.5, 40, 0), mixed(0.5, 40, 0))
