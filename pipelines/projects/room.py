"""Whether a run finds the room on the disk that `ddpm init` measured it to need."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ddpm_core.files import atomic_write_json
from pipelines.paths import Paths

_FILE = "room.json"
_HELD_BY_A_RUN = ("data", "out", ".dvc", ".ddpm")


def lack(folder: Path, needed: float) -> str | None:
    """What to say where less is free below a folder, which may not be there yet, than a run needs; else None."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free >= needed:
        return None
    return (
        f"a run needs about {needed / 1e6:,.0f} MB of disk, but {free / 1e6:,.0f} MB are free in {there}: make room "
        "there, or take a folder on another disk"
    )


def remember(paths: Paths, needed: float) -> None:
    """For `ddpm run`: what a run of the project needs from nothing."""
    atomic_write_json(paths.home / _FILE, {"bytes": round(needed)})


def lack_of_project(paths: Paths) -> str | None:
    """As `lack`, of what was remembered and is not yet used; None where nothing was remembered."""
    try:
        needed = float(json.loads((paths.home / _FILE).read_text(encoding="utf-8"))["bytes"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    used = sum(size for name in _HELD_BY_A_RUN for size in _sizes(paths.root / name))
    return lack(paths.root, needed - used)


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(place, name)
            yield os.lstat(file).st_size if os.path.lexists(file) else 0
