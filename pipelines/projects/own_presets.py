"""The presets for pictures of one's own: what differs from the digits, for a kind of pictures, a file each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ddpm_core.errors import ParamsError
from pipelines.params import read_yaml
from pipelines.parsing import Faults, parse_value

FOLDER = Path(__file__).resolve().parents[1] / "presets" / "own"


@dataclass(frozen=True)
class OwnPreset:
    """`values` are by the dotted keys of params.yaml. What they leave out is chosen by what is seen of the pictures, or
    is as the digits have it."""

    name: str
    about: str
    set: Literal["CIFAR10", "MNIST", "FashionMNIST"] | None
    labels: Literal["none", "use", "either"]
    size: int | None
    gpu: bool
    values: dict[str, Any]

    def valued(self, key: str, otherwise: Any) -> Any:
        return self.values.get(key, otherwise)


def own_presets() -> dict[str, OwnPreset]:
    """All of them by name."""
    return {file.stem: _read(file) for file in sorted(FOLDER.glob("*.yaml"))}


def own_preset(name: str) -> OwnPreset:
    known = own_presets()
    if name not in known:
        raise ParamsError(f"--preset: with --data must be one of {', '.join(known)}, got {name!r}")
    return known[name]


def _read(file: Path) -> OwnPreset:
    faults = Faults()
    found: OwnPreset = parse_value(OwnPreset, {**read_yaml(file), "name": file.stem}, "", faults)
    faults.raise_if_any(file.name)
    return found
