"""Whether the folders of some pictures are the sides of a split that somebody made, and no classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.kinds.split import SIDES


@dataclass(frozen=True)
class SplitFolders:
    """`sides`: pictures in each of the folders. `classes`: in the folders of one name in them; none, where they have no
    folders that repeat. `outside`: pictures in none of these."""

    sides: dict[str, int]
    classes: dict[str, int]
    outside: int

    @property
    def held_out(self) -> int:
        return sum(count for name, count in self.sides.items() if SIDES[name.lower()] == "test")

    @property
    def names(self) -> str:
        return ", ".join(self.sides)


def split_folders(names: Sequence[str]) -> SplitFolders | None:
    """Of the names of pictures below their folder; None where not all folders directly in it are called so, or not
    both to learn from and to judge with."""
    parts = [PurePosixPath(name).parts for name in names]
    sides = Counter(each[0] for each in parts if len(each) > 1)
    if {SIDES.get(name.lower()) for name in sides} != {"train", "test"}:
        return None
    inner = {name: {each[1] for each in parts if each[0] == name and len(each) > 2} for name in sides}
    learned = set().union(*(found for name, found in inner.items() if SIDES[name.lower()] == "train"))
    repeat = all(found & learned for found in inner.values())
    classes = Counter(each[1] for each in parts if len(each) > 2) if repeat else Counter[str]()
    return SplitFolders(dict(sorted(sides.items())), dict(sorted(classes.items())), len(parts) - sum(classes.values()))
