"""Classes by name and number; pictures as PNG, zip and npz, the same bytes each time."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import with_pseudo_classes
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.kinds.pictures.serving.outputs import Pictures, columns_for
from pipelines.serving.base.labels import conditions_asked, labels_for
from tests.support.tiny_bundle import tiny_spec

NAMES = ("cat", "dog", "7")


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ("cycle", [0, 1, 2, 0, 1]),
        ("none", [None] * 5),
        (None, [None] * 5),
        ("dog", [1] * 5),
        (1, [1] * 5),
        ("1", [1] * 5),
        ("7", [2] * 5),
        (["dog", 0, None], [1, 0, None, 1, 0]),
    ],
)
def test_labels_are_found_by_name_then_by_number(asked: object, labels: list[int | None]) -> None:
    assert labels_for(asked, 5, NAMES, "label") == labels  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("dgo", r"--label: must be `cycle`, `none`, or classes .* \(0 to 2\), got 'dgo'; did you mean 'dog'\?"),
        (3, r"got 3; the classes are cat, dog, 7"),
        (-1, r"got -1; the classes are"),
        ("²", r"got '²'; the classes are"),
        (["cat", "cow?"], r"got 'cow\?'"),
        ([], r"must name one class or more, got an empty list"),
        ("x" * 1000, r"got 'x{56}\.\.\.; "),
    ],
)
def test_unknown_labels_are_told_with_the_nearest(asked: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        labels_for(asked, 2, NAMES, "--label")  # type: ignore[arg-type]


def test_a_model_without_labels_takes_none_or_cycle_alone() -> None:
    assert labels_for("cycle", 2, (), "label") == labels_for(["none", None], 2, (), "label") == [None, None]
    with pytest.raises(ParamsError, match=r"trained without labels, got 3; leave label out"):
        labels_for(3, 2, (), "label")


def pictures(n: int, channels: int = 1) -> Pictures:
    images = np.random.default_rng(0).integers(0, 256, (n, channels, 8, 8)).astype(np.uint8)
    labels = [None if i == 1 else i for i in range(n)]
    return Pictures(images, labels, [2**64 - n + i for i in range(n)], {"bundle": "b" * 64, "steps": "4"})


@pytest.mark.parametrize("channels", [1, 3])
def test_one_picture_as_png_is_itself_and_says_what_made_it(channels: int) -> None:
    one = pictures(1, channels)
    np.testing.assert_array_equal(decode_png(one.png()), one.images[0])
    for fact in (b"ddpm seed\x0018446744073709551615", b"ddpm label\x000", b"ddpm bundle\x00bbbb", b"ddpm steps\x004"):
        assert fact in one.png()


def test_several_pictures_as_png_are_a_grid() -> None:
    grid = decode_png(pictures(6).png())
    assert grid.shape[0] == 1
    assert grid.shape[1] > 2 * 64
    assert [columns_for(n) for n in (1, 2, 9, 10, 20, 64, 100, 250)] == [1, 1, 3, 10, 10, 8, 10, 16]


def test_zip_holds_each_picture_and_an_index_of_them() -> None:
    three = pictures(3)
    with zipfile.ZipFile(io.BytesIO(three.zip())) as archive:
        index = json.loads(archive.read("index.json"))
        assert index["made_by"] == {"bundle": "b" * 64, "steps": "4"}
        for i, entry in enumerate(index["pictures"]):
            assert (entry["seed"], entry["label"]) == (three.seeds[i], three.labels[i])
            png = archive.read(entry["file"])
            np.testing.assert_array_equal(decode_png(png), three.images[i])
            assert Image.open(io.BytesIO(png)).info["ddpm seed"] == str(three.seeds[i])
            told = "none" if three.labels[i] is None else three.labels[i]
            assert entry["file"] == f"{three.seeds[i]}-{told}.png"  # a file that left its zip still says what it is
        assert len(archive.namelist()) == 4


def test_npz_holds_images_labels_and_seeds() -> None:
    three = pictures(3, 3)
    with np.load(io.BytesIO(three.npz())) as arrays:
        np.testing.assert_array_equal(arrays["images"], three.images, strict=True)
        np.testing.assert_array_equal(arrays["labels"], np.array([0, -1, 2]))
        np.testing.assert_array_equal(arrays["seeds"], np.array(three.seeds, dtype=np.uint64))


def test_outputs_are_the_same_bytes_each_time() -> None:
    for kind in ("png", "zip", "npz"):
        assert getattr(pictures(4), kind)() == getattr(pictures(4), kind)()


def test_pseudo_classes_cannot_be_asked_for() -> None:
    spec = with_pseudo_classes(replace(tiny_spec(), conditions={}), [2, 1])
    assert conditions_asked("cycle", 2, spec, "label") == {}
    with pytest.raises(ParamsError, match="trained without labels, got 'cluster 1'"):
        conditions_asked("cluster 1", 2, spec, "label")
