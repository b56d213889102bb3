"""A project: a folder with its own params.yaml, data, outputs, state and DVC cache, on the code that runs now.

Code, stages and what DVC ignores are links into the code's folder, so that an edit of code makes the stages of every
project stale, as in the repository itself. DVC works there without git.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_path, atomic_write_text

CODE = Path(__file__).resolve().parents[1]
LINKS = ("ddpm_core", "pipelines", "dvc.yaml", ".dvcignore", ".dvc/plots")
DVC_CONFIG = ".dvc/config"


def presets() -> Mapping[str, Path]:
    """The params.yaml of each preset, by its name."""
    files = (CODE / "pipelines" / "presets").glob("*.yaml")
    return {"digits": CODE / "params.yaml"} | {file.stem: file for file in sorted(files)}


def make_project(folder: Path, preset: str) -> bool:
    """Make the folder a project with the parameters of a preset; True if it is new.

    In a project that is there, params.yaml and DVC's settings stay as they are, and links are mended.
    """
    known = presets()
    if preset not in known:
        raise ParamsError(f"--preset: must be one of {', '.join(known)}, got {preset!r}")
    if folder.resolve() == CODE:
        raise ParamsError(f"{folder}: must be another folder than the code's, which is the project `digits`")
    new = not (folder / "params.yaml").exists()
    if new and folder.is_dir() and any(folder.iterdir()) and not (folder / DVC_CONFIG).is_file():
        raise ParamsError(f"{folder}: must be an empty folder, a new one or a project, got a folder of other files")
    for name in LINKS:
        _link(folder / name, CODE / name)
    if not (folder / DVC_CONFIG).is_file():
        config = (CODE / DVC_CONFIG).read_text(encoding="utf-8")
        atomic_write_text(folder / DVC_CONFIG, config.replace("[core]\n", "[core]\n    no_scm = true\n"))
    if new:
        with atomic_path(folder / "params.yaml") as file:  # last: with it the folder is a project
            shutil.copyfile(known[preset], file)
    return new


def _link(place: Path, target: Path) -> None:
    """A relative link, so that projects inside the code's folder may be moved together with it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.path.relpath(target, place.parent.resolve())
    if place.is_symlink():
        if os.readlink(place) == wanted:
            return
        place.unlink()
    if place.exists():
        raise ParamsError(f"{place}: must be a link to {target}, got a file or folder; move it away")
    place.symlink_to(wanted)
