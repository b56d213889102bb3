"""The outputs of stage train: the room that they need, and how they are kept where their checkpoint found none."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ddpm_core.errors import DdpmError
from pipelines.paths import Paths

_KEPT = "outputs"
_TIMES = 4  # the size of the weights that a checkpoint has at least: they, their average, the optimiser's state


def outputs_in(paths: Paths) -> dict[str, Path]:
    """The outputs by their paths in dvc.yaml."""
    return {file.relative_to(paths.root).as_posix(): file for file in (paths.weights, paths.curves)}


def md5_file(path: Path) -> str:
    """A file's MD5, as in dvc.lock."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def link_outputs(folder: Path, outputs: Mapping[str, Path]) -> None:
    """Give the outputs a second name in the training's folder, which takes no room: DVC removes the first one before it
    runs the stage again. For a training whose last checkpoint could not be written."""
    place = folder / _KEPT
    with suppress(OSError):  # another disk, or one without hard links
        place.mkdir(exist_ok=True)
        for file in outputs.values():
            (place / file.name).unlink(missing_ok=True)
            os.link(file, place / file.name)


def taken_from_links(folder: Path, digests: Mapping[str, str], outputs: Mapping[str, Path]) -> bool:
    """Put the outputs back, if their second names still hold these very bytes."""
    kept = {name: folder / _KEPT / file.name for name, file in outputs.items()}
    if {name: md5_file(file) for name, file in kept.items() if file.is_file()} != dict(digests):
        return False
    for name, file in outputs.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        os.link(kept[name], file)
    return True


def check_room(paths: Paths, weights: int, averages: int) -> None:
    """Refuse a training whose weights or checkpoint could not be written. `weights` in bytes, at each of `averages`."""
    needed = {paths.root: averages * weights, paths.checkpoints: (_TIMES + averages - 1) * weights}
    paths.checkpoints.mkdir(parents=True, exist_ok=True)
    if paths.root.stat().st_dev == paths.checkpoints.stat().st_dev:
        needed = {paths.root: sum(needed.values())}
    for place, bytes_ in needed.items():
        free = shutil.disk_usage(place).free
        if free < bytes_:
            raise DdpmError(
                f"{place}: must have {bytes_ / 1e6:,.0f} MB free for the weights and a checkpoint, but has "
                f"{free / 1e6:,.0f} MB; make room there, or set DDPM_HOME to a folder on another disk. "
                "Nothing was trained"
            )
