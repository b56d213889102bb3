"""The presets: whole params files for an example each, in the package."""

from collections.abc import Mapping
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.projects.own_presets import own_presets

FOLDER = Path(__file__).resolve().parents[1] / "presets"


def presets() -> Mapping[str, Path]:
    """The params.yaml of each preset, by its name; `digits` is the repository's own."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}


def preset(name: str) -> Path:
    """The params.yaml of one preset."""
    known, own = presets(), list(own_presets())
    if name in own:
        raise ParamsError(f"--preset {name}: must come with --data PATH, your own pictures or the root of the data set")
    if name not in known:
        raise ParamsError(
            f"--preset: must be one of {', '.join(known)}, or with --data PATH one of {', '.join(own)}, got {name!r}"
        )
    return known[name]
