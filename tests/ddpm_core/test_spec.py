"""Levels to the network's range and back."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec, labelled


def spec(levels: int | None = 256, ends: tuple[float, float] | None = (-1.0, 1.0)) -> DataSpec:
    return labelled((1, 2, 2), ends, levels, ("a", "b"))


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.0, 1.0), (-0.5, 2.0)])
def test_every_level_comes_back_and_the_outer_ones_lie_at_the_ends(levels: int, ends: tuple[float, float]) -> None:
    k = np.arange(levels, dtype=np.uint8)
    x = spec(levels, ends).encode(k)
    assert x.dtype == np.float32
    assert x[[0, -1]] == pytest.approx(ends)
    assert np.diff(x) == pytest.approx((ends[1] - ends[0]) / (levels - 1), rel=1e-4)
    assert (spec(levels, ends).decode(x) == k).all()


def test_pictures_are_2_k_over_255_minus_1() -> None:
    assert spec().encode(np.array([0, 51, 255], np.uint8)) == pytest.approx([-1, 2 * 51 / 255 - 1, 1])


def test_what_lies_between_goes_to_the_nearest_level_and_what_lies_outside_to_the_end() -> None:
    step = 2 / 255
    x = np.array([-1 + 0.49 * step, -1 + 0.51 * step, -1.7, 1.7], np.float32)
    assert spec().decode(x).tolist() == [0, 1, 0, 255]


def test_data_without_levels_are_not_encoded() -> None:
    for what in (spec(None), spec(None, None)):
        with pytest.raises(DataError, match="only data with a range and levels can be encoded"):
            what.encode(np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: labelled((1, 0, 2), None, None, ()), "every side must be at least 1"),
        (lambda: labelled((), None, None, ()), "every side must be at least 1"),
        (lambda: spec(1), "at least 2 levels and a range, got levels=1"),
        (lambda: spec(256, None), "at least 2 levels and a range, got levels=256, range=None"),
        (lambda: labelled((3, 4), None, None, ()).mode, r"\(1 to 4, height, width\), got \(3, 4\)"),
    ],
)
def test_errors_say_what_must_hold(make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_dict_round_trip_is_exact() -> None:
    for what in (spec(), spec(None), spec(None, None)):
        assert DataSpec.from_dict(what.to_dict()) == what


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_spec_kept_when_a_label_was_the_only_condition_is_read(classes: tuple[str, ...]) -> None:
    kept = {"shape": [1, 2, 2], "range": [-1.0, 1.0], "levels": 256, "classes": list(classes)}
    assert DataSpec.from_dict(kept) == labelled((1, 2, 2), (-1.0, 1.0), 256, classes)
