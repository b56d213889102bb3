"""Where names are cut into partitions: new names change few of them."""

import random

import pytest

from pipelines.partitions.cut import cuts, partition_ids

NAMES = [f"{number:06d}" for number in range(20_000)]
MEAN = 100


def parts(names: list[str]) -> set[tuple[str, ...]]:
    return {tuple(names[part]) for part in cuts(names, MEAN)}


def test_partitions_hold_every_name_once_in_order_and_about_so_many() -> None:
    found = cuts(NAMES, MEAN)
    assert [name for part in found for name in NAMES[part]] == NAMES
    sizes = [part.stop - part.start for part in found]
    assert 0.9 * MEAN < len(NAMES) / len(sizes) < 1.2 * MEAN
    assert min(sizes[1:-1]) > MEAN // 2
    assert max(sizes) < 4 * MEAN


@pytest.mark.parametrize("place", [0, 7_777, 20_000])
def test_a_run_of_new_names_changes_one_partition_and_adds_its_own(place: int) -> None:
    new = [f"new-{number:04d}" for number in range(200)]
    grown = parts(NAMES[:place] + new + NAMES[place:])
    changed = grown - parts(NAMES)
    assert len(grown) > 190
    assert len(changed) <= 200 // (MEAN // 2) + 2
    assert sum(not set(part) & set(new) for part in changed) <= 2


def test_a_name_that_goes_changes_no_partition_but_its_own_and_a_neighbour() -> None:
    assert len(parts(NAMES[:5_000] + NAMES[5_001:]) - parts(NAMES)) <= 2


def test_names_scattered_everywhere_change_everything() -> None:
    """What no cut can help: docs/scale.md says so."""
    grown = sorted([*NAMES, *(f"{number}x" for number in random.Random(0).sample(NAMES, 2_000))])
    assert len(parts(grown) & parts(NAMES)) < 5


def test_few_names_are_one_partition() -> None:
    assert cuts(["a", "b"], 100) in ([slice(0, 2)], [slice(0, 1), slice(1, 2)])
    assert cuts([], 100) == []
    assert len(cuts(NAMES[:5], 1)) == 5


def test_a_partition_keeps_its_name_when_others_come_and_names_are_unique() -> None:
    before = dict(zip(partition_ids(NAMES, cuts(NAMES, MEAN)), cuts(NAMES, MEAN), strict=True))
    grown = [*NAMES[:10_000], "a new one", *NAMES[10_000:]]
    after = partition_ids(grown, cuts(grown, MEAN))
    assert len(set(before) & set(after)) >= len(before) - 2
    assert len(set(partition_ids(["a"] * 4, cuts(["a"] * 4, 2)))) == len(cuts(["a"] * 4, 2))


def test_a_mean_beyond_all_names_costs_no_memory_of_its_size() -> None:
    names = [f"{number}.png" for number in range(50)]
    assert cuts(names, 10**30) == cuts(names, 100)
    assert len(cuts(names, 10**30)) <= 2
