"""torchvision's sets from files that the test makes in their formats; nothing is ever downloaded."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, ParamsError, Unreachable
from pipelines.kinds.pictures.sources import Torchvision
from tests.support.pictures import Project

MNIST = Torchvision(
    kind="torchvision",
    path="sets",
    name="FashionMNIST",
    download=False,
    split="official",
    resolution=28,
    pictures_per_class=None,
)


def write_mnist(folder: Path, train: int, test: int) -> None:
    """Files as MNIST's are: big-endian heads, then bytes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


def test_the_official_division_holds_where_it_is_asked_for(tmp_path: Path) -> None:
    write_mnist(tmp_path / "sets" / "FashionMNIST" / "raw", 20, 10)
    listing = MNIST.listing(tmp_path)
    assert [found.split for found in listing.found] == ["train"] * 20 + ["test"] * 10
    assert listing.classes[0] == "T-shirt/top"
    assert listing.found[21].class_name == listing.classes[1]


def test_else_the_digests_decide(tmp_path: Path) -> None:
    write_mnist(tmp_path / "sets" / "FashionMNIST" / "raw", 20, 10)
    assert {found.split for found in replace(MNIST, split="digest").listing(tmp_path).found} == {None}


def test_fewer_of_each_class_are_taken_from_both_parts(tmp_path: Path) -> None:
    write_mnist(tmp_path / "sets" / "FashionMNIST" / "raw", 40, 30)
    assert len(replace(MNIST, pictures_per_class=2).listing(tmp_path).found) == 40


def test_a_set_goes_through_prepare(tmp_path: Path) -> None:
    write_mnist(tmp_path / "sets" / "FashionMNIST" / "raw", 20, 10)
    project = Project(tmp_path)
    project.source = MNIST
    manifest = project.prepare()
    assert len(manifest.of_split("train")) == 20
    assert manifest.spec.shape == (1, 28, 28)


def test_missing_files_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"sets must be torchvision's root with the files of FashionMNIST, .*download: tr"
    ):
        MNIST.listing(tmp_path)


def test_a_download_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", unreachable)
    with pytest.raises(Unreachable, match=r"but torchvision says: .*; put its files there by hand"):
        replace(MNIST, download=True).listing(tmp_path)


def test_colour_sets_have_three_channels() -> None:
    assert replace(MNIST, name="CIFAR10", resolution=32).rules().spec(()).shape == (3, 32, 32)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ParamsError, match="pictures_per_class: must be at least 1, or null for all, got 0"):
        replace(MNIST, pictures_per_class=0)


def test_a_picture_that_the_set_has_on_both_sides_is_kept_out_of_what_judges(tmp_path: Path) -> None:
    """The network may learn it, so no copy of it may be called unseen; whichever part names it last."""
    raw = tmp_path / "sets" / "FashionMNIST" / "raw"
    write_mnist(raw, 20, 10)
    learned = (raw / "train-images-idx3-ubyte").read_bytes()[16 : 16 + 28 * 28]
    unseen = (raw / "t10k-images-idx3-ubyte").read_bytes()
    (raw / "t10k-images-idx3-ubyte").write_bytes(unseen[:16] + learned + unseen[16 + 28 * 28 :])
    project = Project(tmp_path)
    project.source = MNIST
    manifest = project.prepare()
    assert (len(manifest.of_split("train")), len(manifest.of_split("test"))) == (21, 9)
    sides = [{row.content_sha256 for row in manifest.of_split(split)} for split in ("train", "test")]
    assert not sides[0] & sides[1]
