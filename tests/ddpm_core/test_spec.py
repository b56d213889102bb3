"""Levels to the network's range and back."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.scaling import Scaling
from ddpm_core.spec import Condition, DataSpec, conditions_of, labelled, labels_in


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


def test_data_without_levels_are_shown_as_they_are_or_scaled_by_the_entries_of_the_first_axis() -> None:
    plain = DataSpec((2, 3), None, None, {})
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    assert plain.dtype == "float32"
    assert np.array_equal(plain.encode(x), x)
    assert np.array_equal(plain.decode(x), x)
    scaled = replace(plain, scaling=Scaling((1.0, -2.0), (0.5, 4.0)))
    shown = scaled.encode(x)
    np.testing.assert_allclose(shown[:, 0], (x[:, 0] - 1) / 0.5, rtol=1e-6)
    np.testing.assert_allclose(shown[:, 1], (x[:, 1] + 2) / 4, rtol=1e-6)
    np.testing.assert_allclose(scaled.decode(shown), x, atol=1e-6)
    assert DataSpec.from_dict(scaled.to_dict()) == scaled


@pytest.mark.parametrize("std", [(1.0,), (1.0, 0.0), (1.0, math.inf)])
def test_scaling_needs_a_std_above_0_for_each_mean(std: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="std"):
        Scaling((0.0, 0.0), std)


def test_scaling_belongs_to_data_without_levels_and_has_a_mean_an_entry() -> None:
    for make in (
        lambda: replace(spec(), scaling=Scaling((0.0,), (1.0,))),
        lambda: DataSpec((3,), None, None, {}, Scaling((0.0,), (1.0,))),
    ):
        with pytest.raises(DataError, match="scaling"):
            make()


def test_conditions_that_are_not_given_are_not_told() -> None:
    of = labelled((1,), None, None, ("a", "b"))
    assert of.conditions_for({}, 3)["label"].tolist() == [2, 2, 2]
    assert of.conditions_for({}, 0)["label"].dtype == np.int64
    assert of.conditions_for({"label": [1, None, 0]}, 3)["label"].tolist() == [1, 2, 0]
    assert of.conditions_for({"label": np.array([0, 2])}, 2)["label"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"label": [0, 3]}, "label: .*got .3."),
        ({"label": [-1, 0]}, "label: .*got .-1."),
        ({"label": [0.5, 0.0]}, "label: must be int64"),
        ({"label": ["a", "b"]}, "label: must be int64"),
        ({"label": [0]}, "label: must be int64 of shape .2,."),
        ({"colour": [0, 0]}, "colour: .*told label"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        labelled((1,), None, None, ("a", "b")).conditions_for(given, 2)


def test_a_condition_without_a_null_must_be_told() -> None:
    of = DataSpec((1,), None, None, {"history": Condition((2,), "float32", (), None)})
    assert of.conditions_for({"history": [[1.0, 2.0]]}, 1)["history"].dtype == np.float32
    with pytest.raises(ParamsError, match="history: must be told"):
        of.conditions_for({}, 1)


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_labels_of_conditions_are_the_labels_that_made_them(classes: tuple[str, ...]) -> None:
    of, labels = labelled((1,), None, None, classes), np.array([-1, 0, 1] if classes else [-1, -1, -1])
    assert labels_in(of, conditions_of(of, labels), 3).tolist() == labels.tolist()


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
    lacking = replace(spec(None, None), masked=True, about={"columns": ["demand"]})
    for what in (spec(), spec(None), spec(None, None), lacking):
        assert DataSpec.from_dict(what.to_dict()) == what


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_spec_kept_when_a_label_was_the_only_condition_is_read(classes: tuple[str, ...]) -> None:
    kept = {"shape": [1, 2, 2], "range": [-1.0, 1.0], "levels": 256, "classes": list(classes)}
    assert DataSpec.from_dict(kept) == labelled((1, 2, 2), (-1.0, 1.0), 256, classes)
