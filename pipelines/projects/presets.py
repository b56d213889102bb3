"""The presets: whole params files for an example each, in the package."""

from collections.abc import Mapping
from pathlib import Path

from ddpm_core.errors import ParamsError

FOLDER = Path(__file__).resolve().parents[1] / "presets"


def presets() -> Mapping[str, Path]:
    """The params.yaml of each preset, by its name; `digits` is the repository's own."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}


def preset(name: str) -> Path:
    """The params.yaml of one preset."""
    known = presets()
    if name not in known:
        raise ParamsError(f"--preset: must be one of {', '.join(known)}, got {name!r}")
    return known[name]
