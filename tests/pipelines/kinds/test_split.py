"""Holding out pictures: a function of the seed and the pixels."""

import hashlib

import pytest

from ddpm_core.errors import ParamsError
from pipelines.kinds.split import SplitConfig, split_of

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]


def test_share_held_out_is_the_fraction_asked_for() -> None:
    held = sum(split_of(digest, SplitConfig(3, 0.2)) == "test" for digest in DIGESTS)
    assert abs(held - 800) < 4 * (4000 * 0.2 * 0.8) ** 0.5


def test_raising_the_fraction_only_moves_pictures_to_test() -> None:
    few = {digest for digest in DIGESTS if split_of(digest, SplitConfig(0, 0.1)) == "test"}
    many = {digest for digest in DIGESTS if split_of(digest, SplitConfig(0, 0.3)) == "test"}
    assert few < many


def test_another_seed_holds_out_other_pictures() -> None:
    sides = [[split_of(digest, SplitConfig(seed, 0.5)) for digest in DIGESTS] for seed in (0, 1)]
    agree = sum(a == b for a, b in zip(*sides, strict=True))
    assert abs(agree - 2000) < 4 * 1000**0.5


def test_the_known_answer_does_not_change() -> None:
    assert [split_of(digest, SplitConfig(0, 0.2)) for digest in DIGESTS[:8]] == [
        "train",
        "train",
        "train",
        "train",
        "train",
        "test",
        "train",
        "train",
    ]


@pytest.mark.parametrize(
    ("seed", "fraction", "message"),
    [
        (0, 0.0, "test_fraction: must be between 0 and 1, both excluded, got 0.0"),
        (-1, 0.2, "seed: must be 0 or more, got -1"),
    ],
)
def test_values_out_of_range_are_refused(seed: int, fraction: float, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        SplitConfig(seed, fraction)
