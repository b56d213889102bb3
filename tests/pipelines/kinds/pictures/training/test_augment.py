"""Changes of pictures are drawn by (seed, step, place), at their rate, and leave what they were given alone."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.errors import ParamsError
from ddpm_core.objectives.batch import Share
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.rows.examples import example
from pipelines.kinds.pictures.training.augment import _Changes, augmenter
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Resized, Rotation
from pipelines.params import load_params
from pipelines.shards.archive import ShardConfig, write_shards
from pipelines.training.batches import batch_source
from tests.support.augmenting import EVERYTHING, NOTHING, augmenting
from tests.support.imports import ROOT
from tests.support.torchvision_changes import by_torchvision

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (400, 1, 3, 4)).astype(np.uint8)
LARGE = RNG.integers(0, 256, (12, 3, 70, 90)).astype(np.uint8)
PICTURES = RNG.integers(0, 256, (40, 3, 12, 10)).astype(np.uint8)
GREY = labelled((1, 3, 4), (-1.0, 1.0), 256, ())
COLOUR = labelled((3, 12, 10), (-1.0, 1.0), 256, ())
ALL = replace(EVERYTHING, colour=Colour(0.7, 0.5, 0.5, 0.5, 0.3))

CHANGES = {
    "padded": augmenting(crop=Padded("padded", 1.0, 3, "reflect")),
    "black": augmenting(crop=Padded("padded", 1.0, 3, "black")),
    "resized": augmenting(crop=Resized("resized", 1.0, 0.2, 1.5)),
    "rotation": augmenting(rotation=Rotation(1.0, 30.0, "reflect")),
    "brightness": augmenting(colour=Colour(1.0, 0.9, 0.0, 0.0, 0.0)),
    "contrast": augmenting(colour=Colour(1.0, 0.0, 0.9, 0.0, 0.0)),
    "saturation": augmenting(colour=Colour(1.0, 0.0, 0.0, 0.9, 0.0)),
    "hue": augmenting(colour=Colour(1.0, 0.0, 0.0, 0.0, 0.5)),
    "all": ALL,
}
# Each change by its sizes, and several at once: what `by_torchvision` is compared on.
SIZES = CHANGES | {
    "edge": augmenting(horizontal_flip=0.5, crop=Padded("padded", 0.7, 2, "edge")),
    "small window": augmenting(vertical_flip=0.5, crop=Resized("resized", 0.8, 0.05, 2.0)),
    "rotation edge": augmenting(rotation=Rotation(0.8, 45.0, "edge")),
    "rotation black": augmenting(rotation=Rotation(0.8, 10.0, "black")),
    "rotation of no size": augmenting(rotation=Rotation(1.0, 0.0, "edge")),
    "colours": augmenting(colour=Colour(0.8, 1.0, 1.0, 1.0, 0.5)),
}


def flipping(horizontal: float, vertical: float) -> AugmentConfig:
    return augmenting(horizontal_flip=horizontal, vertical_flip=vertical)


# ---------------------------------------------------------------------------------------------------- laws of all


def test_nothing_asked_for_hands_the_pictures_through() -> None:
    augment = augmenter(NOTHING, 0, GREY)
    np.testing.assert_array_equal(augment(IMAGES, 0, slice(3, 9)), IMAGES[3:9])
    assert np.shares_memory(augment(IMAGES, 0), IMAGES)


def test_the_parameters_that_ship_change_nothing() -> None:
    assert load_params(ROOT / "params.yaml").train.augment.changes_nothing


@pytest.mark.parametrize("config", CHANGES.values(), ids=CHANGES)
def test_shape_and_type_stay_levels_too_and_the_pictures_given_are_left_alone(config: AugmentConfig) -> None:
    before = PICTURES.copy()
    changed = augmenter(config, 0, COLOUR)(PICTURES, 0)
    assert (changed.shape, changed.dtype) == (PICTURES.shape, np.uint8)
    np.testing.assert_array_equal(PICTURES, before)
    assert (changed != PICTURES).any(axis=(1, 2, 3)).mean() > 0.9
    few = augmenter(config, 0, replace(COLOUR, levels=16))(PICTURES // 16, 0)
    assert 10 < few.max() < 16


@pytest.mark.parametrize("config", CHANGES.values(), ids=CHANGES)
def test_the_draw_is_a_function_of_seed_step_and_place_alone(config: AugmentConfig) -> None:
    augment = augmenter(config, 1, COLOUR)
    first = augment(PICTURES, 5)
    np.testing.assert_array_equal(first, augmenter(config, 1, COLOUR)(PICTURES, 5))
    np.testing.assert_array_equal(first[:7], augment(PICTURES[:7], 5))
    assert (first != augment(PICTURES, 6)).any()
    assert (first != augmenter(config, 2, COLOUR)(PICTURES, 5)).any()


@pytest.mark.parametrize("config", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_rows_of_a_process_are_those_of_the_whole_batch(config: AugmentConfig, processes: int) -> None:
    augment = augmenter(config, 1, COLOUR)
    whole = augment(PICTURES, 5)
    for number in range(processes):
        rows = Share(number, processes).rows(len(PICTURES))
        np.testing.assert_array_equal(augment(PICTURES, 5, rows), whole[rows])


def test_a_process_changes_no_rows_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[int] = []
    real = _Changes.of

    def counted(self: _Changes, images: Any, numbers: Any) -> Any:
        changed.append(len(images))
        return real(self, images, numbers)

    monkeypatch.setattr(_Changes, "of", counted)
    augmenter(ALL, 1, COLOUR)(PICTURES, 5, slice(10, 20))
    assert changed == [10]


@pytest.mark.parametrize("levels", [256, 7])
@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_many_at_once_are_torchvision_one_by_one_to_the_bit(config: AugmentConfig, levels: int) -> None:
    """More pictures than are computed at once, some of one grey, with the fills and the sizes of each change."""
    for images in (PICTURES[:, :, :11], LARGE):
        given = (images // (256 // levels)).clip(max=levels - 1)
        given[:3] = np.array([0, levels - 1, 3])[:, None, None, None]
        spec = labelled(given.shape[1:], (-1.0, 1.0), levels, ())
        found = augmenter(config, 4, spec)(given, 2)
        np.testing.assert_array_equal(found, by_torchvision(config, given, 4, 2, levels))


def test_grey_pictures_too_are_torchvision_one_by_one() -> None:
    found = augmenter(EVERYTHING, 4, GREY)(IMAGES, 2)
    np.testing.assert_array_equal(found, by_torchvision(EVERYTHING, IMAGES, 4, 2))


def test_nothing_is_drawn_from_the_global_generators() -> None:
    state, words = torch.get_rng_state(), np.random.get_state()[1]
    augmenter(ALL, 1, COLOUR)(PICTURES, 5)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(np.random.get_state()[1], words)


def test_the_number_of_threads_changes_no_byte() -> None:
    large = RNG.integers(0, 256, (4, 3, 260, 250)).astype(np.uint8)
    spec, threads = replace(COLOUR, shape=(3, 260, 250)), torch.get_num_threads()
    try:
        made = []
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(augmenter(replace(ALL, colour=replace(ALL.colour, probability=1.0)), 0, spec)(large, 0))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*made)


def test_one_change_more_moves_no_other() -> None:
    flips = flipping(0.5, 0.5)
    both = replace(flips, colour=Colour(0.5, 0.0, 0.0, 0.0, 0.0))
    np.testing.assert_array_equal(augmenter(both, 3, COLOUR)(PICTURES, 1), augmenter(flips, 3, COLOUR)(PICTURES, 1))


@pytest.mark.parametrize(
    "config",
    [
        augmenting(crop=Resized("resized", 1.0, 1.0, 1.0)),
        augmenting(rotation=Rotation(1.0, 0.0, "reflect")),
        augmenting(colour=Colour(1.0, 0.0, 0.0, 0.0, 0.0)),
    ],
    ids=["whole window", "no degrees", "no strength"],
)
def test_changes_of_no_size_change_no_byte(config: AugmentConfig) -> None:
    np.testing.assert_array_equal(augmenter(config, 0, COLOUR)(PICTURES, 0), PICTURES)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_comes_at_its_rate(name: str) -> None:
    config = CHANGES[name]
    rarely = replace(
        config,
        crop=replace(config.crop, probability=0.3 * (config.crop.probability > 0)),
        rotation=replace(config.rotation, probability=0.0 if name == "all" else 0.3 * config.rotation.probability),
        colour=replace(config.colour, probability=0.0 if name == "all" else 0.3 * config.colour.probability),
        horizontal_flip=0.0,
        vertical_flip=0.0,
    )
    many = np.concatenate([PICTURES] * 10)
    changed = (augmenter(rarely, 0, COLOUR)(many, 0) != many).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_however_many_threads_read(tmp_path: Path, workers: int) -> None:
    samples = [example(f"{i:016x}", image, -1, COLOUR) for i, image in enumerate(PICTURES)]
    index = write_shards(tmp_path / "shards", COLOUR, {"train": samples}, ShardConfig(9, 4, 15))
    config = replace(load_params(ROOT / "params.yaml").train, batch_size=8, augment=ALL)
    one = batch_source(config, tmp_path / "shards", index.spec.told(()), 0)(2)
    other = batch_source(config, tmp_path / "shards", index.spec.told(()), workers)(0)
    for mine, theirs in zip(islice(one, 9), islice(other, 2, None), strict=False):
        assert torch.equal(mine.x0, theirs.x0)
        assert mine.x0.min() >= -1
        assert mine.x0.max() <= 1


# -------------------------------------------------------------------------------------------------- each by itself


@pytest.mark.parametrize(("config", "axis"), [(flipping(1.0, 0.0), 3), (flipping(0.0, 1.0), 2)])
def test_certain_flips_are_flips_and_twice_is_nothing(config: AugmentConfig, axis: int) -> None:
    augment = augmenter(config, 0, GREY)
    np.testing.assert_array_equal(augment(IMAGES, 0), np.flip(IMAGES, axis))
    np.testing.assert_array_equal(augment(augment(IMAGES, 0), 1), IMAGES)


def test_flips_come_at_their_rate_each_picture_alone() -> None:
    flipped = augmenter(flipping(0.3, 0.0), 0, GREY)(IMAGES, 0)
    turned = (flipped == IMAGES[..., ::-1]).all(axis=(1, 2, 3))
    kept = (flipped == IMAGES).all(axis=(1, 2, 3))
    assert bool((turned | kept).all())
    assert turned.mean() == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("edge", "edge"), ("black", "constant")])
def test_a_padded_crop_moves_the_picture_and_every_way_comes(fill: Any, mode: Any) -> None:
    pixels = 2
    many = np.repeat(PICTURES[:1], 400, axis=0)
    moved = augmenter(augmenting(crop=Padded("padded", 1.0, pixels, fill)), 0, COLOUR)(many, 0)
    padded = np.pad(PICTURES[0], ((0, 0), (pixels, pixels), (pixels, pixels)), mode=mode)
    ways = [padded[:, top : top + 12, left : left + 10] for top in range(5) for left in range(5)]
    counts = [int((moved == way).all(axis=(1, 2, 3)).sum()) for way in ways]
    assert sum(counts) == 400
    assert min(counts) > 3


def test_a_resized_crop_of_a_slope_is_a_gentler_slope_within_it() -> None:
    """A window of a linear ramp, enlarged, is linear with a slope smaller by the enlargement, away from the ends."""
    ramp = np.broadcast_to(np.arange(0, 240, 4, dtype=np.uint8), (50, 1, 60, 60)).copy()
    spec = labelled((1, 60, 60), (-1.0, 1.0), 256, ())
    enlarged = augmenter(augmenting(crop=Resized("resized", 1.0, 0.25, 1.0)), 0, spec)(ramp, 0).astype(float)
    slope = (enlarged[:, 0, 30, 50] - enlarged[:, 0, 30, 10]) / 40 / 4
    assert slope.min() > 0.5 - 0.02
    assert slope.max() <= 1 + 0.02
    assert slope.std() > 0.05
    middle = enlarged[:, 0, :, 30]
    assert np.ptp(middle, axis=1).max() == 0


def test_a_rotation_turns_about_the_middle_and_fills_as_told() -> None:
    disc = np.zeros((1, 33, 33), np.uint8)
    disc[0, 14:19, 14:19] = 200
    disc[0, 16, 26] = 255
    spec = labelled((1, 33, 33), (-1.0, 1.0), 256, ())
    turned = augmenter(augmenting(rotation=Rotation(1.0, 40.0, "black")), 0, spec)(np.stack([disc] * 60), 0)
    assert (turned[:, 0, 16, 16] == 200).all()
    far = np.argwhere(turned[:, 0] * (np.hypot(*np.mgrid[-16:17, -16:17]) > 7) > 40)
    radii, angles = (
        np.hypot(far[:, 1] - 16, far[:, 2] - 16),
        np.degrees(np.arctan2(far[:, 1] - 16, far[:, 2] - 16)),
    )
    assert np.abs(radii - 10).max() < 1.2
    assert -47 < angles.min() < -25
    assert 25 < angles.max() < 47
    bright = np.full((20, 1, 33, 33), 180, np.uint8)
    for fill, kept in (("reflect", True), ("edge", True), ("black", False)):
        made = augmenter(augmenting(rotation=Rotation(1.0, 40.0, fill)), 0, spec)(bright, 0)  # type: ignore[arg-type]
        assert bool((made == 180).all()) is kept


# --------------------------------------------------------------------------------------------------------- refusals


def test_a_mirror_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"crop: fill: reflect must find .* up to 3 x 3 come into one of 3 x 4; set"):
        augmenter(augmenting(crop=Padded("padded", 0.1, 3, "reflect")), 0, GREY)
    wide = replace(COLOUR, shape=(3, 4, 40))
    with pytest.raises(ParamsError, match=r"rotation: fill: reflect must find so many pixels .* come into one of 4 x"):
        augmenter(augmenting(rotation=Rotation(0.1, 45.0, "reflect")), 0, wide)
    augmenter(augmenting(rotation=Rotation(1.0, 45.0, "edge")), 0, wide)(np.zeros((2, 3, 4, 40), np.uint8), 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augmenting(vertical_flip=-0.1), r"vertical_flip: must be between 0 and 1, got -0.1"),
        (lambda: Padded("padded", 1.1, 2, "edge"), r"probability: must be between 0 and 1, got 1.1"),
        (lambda: Padded("padded", 1.0, 0, "edge"), r"pixels: must be at least 1, got 0"),
        (lambda: Resized("resized", 1.0, 0.0, 1.0), r"min_area: must be above 0, at most 1, got 0.0"),
        (lambda: Resized("resized", 1.0, 0.5, 0.9), r"max_stretch: must be at least 1, got 0.9"),
        (lambda: Rotation(1.0, 46.0, "edge"), r"degrees: must be between 0 and 45, got 46.0"),
        (lambda: Colour(1.0, 1.1, 0.0, 0.0, 0.0), r"brightness: must be between 0 and 1, got 1.1"),
        (lambda: Colour(1.0, 0.0, 0.0, 0.0, 0.6), r"hue: must be between 0 and 0.5, got 0.6"),
    ],
)
def test_what_is_out_of_range_is_told(make: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        make()
