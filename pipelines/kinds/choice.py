"""What `ddpm init` asks a kind of data: the parameters that fit some data and why, and what measuring them costs."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.kinds.place import inner_folder

if TYPE_CHECKING:
    from ddpm_core.spec import DataSpec
    from pipelines.kinds.table_profile import TableProfile
    from pipelines.projects.own_presets import OwnPreset
    from pipelines.shards.archive import Arrays

EXAMPLES = 256  # at most, to estimate a cost with

Timed = Callable[[Callable[[], Any], int], float]
"""(call, turns) -> the seconds that a call takes, the median of the turns after the first."""


class MeasuringSeconds(NamedTuple):
    """What measuring samples takes besides the network: nothing, unless a kind says otherwise."""

    looked: float = 0.0  # of the network that looks at samples and data, a datum
    classified: float = 0.0  # of a step of the classifier


@dataclass(frozen=True, eq=False)
class ProfileRequest:
    """The data that a project is to be made for. Several kinds look at them in turn."""

    data: Path
    folder: Path  # the project's
    device: Callable[[], str]
    preset: "OwnPreset | None"  # that was asked for
    preset_named: "Callable[[str], OwnPreset]"

    def path(self, place: Path) -> str:
        """A place among the data as params.yaml says it."""
        return path_from(self.folder, place)

    @property
    def place(self) -> Path:
        """Where tables lie in the data."""
        return inner_folder(self.data)

    @cached_property
    def table(self) -> "TableProfile | None":
        """The first table of the data, if they are tables."""
        from pipelines.kinds.table_profile import is_of_tables, profile

        place = self.place
        return profile(place) if is_of_tables(place) else None


def path_from(folder: Path, data: Path) -> str:
    """Relative where the data lie in the project or beside it, so that both can be moved together; else absolute."""
    root, real = folder.resolve(), data.resolve()
    return os.path.relpath(real, root) if real.is_relative_to(root.parent) else str(real)


def source_text(beside: str, name: str) -> str:
    """A section source with comments, to be filled in: the file of this name beside a module."""
    return Path(beside).with_name(f"{name}.yaml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Setting:
    """`why` is a plain sentence without a full stop; an empty one is not printed."""

    key: str
    value: Any
    why: str = ""

    def line(self) -> str:
        value = self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)
        return f"  {self.key}: {value}  ({self.why})\n"


@dataclass(frozen=True)
class Chosen:
    """All that was found out about some data: sentences, warnings, the file of section source and the values."""

    about: str
    template: str  # the preset whose params.yaml is changed
    source: str  # the text of section source
    found: tuple[str, ...]
    warnings: tuple[str, ...]
    choices: tuple[Setting, ...]
    train_count: int
    test_count: int
    prepare_seconds: float  # of reading and making equal, for all data
    examples: "Callable[[Any], tuple[DataSpec, Arrays]] | None" = None
    """Some prepared data by the parameters, to estimate a cost with. None: the data are few, and stage prepare's own
    way prepares them all."""

    def text(self) -> str:
        parts = ["Found\n", *(f"  {line}\n" for line in self.found)]
        parts += ["\nChosen\n", *(choice.line() for choice in self.choices if choice.why)]
        if self.warnings:
            parts += ["\nLook at this\n", *(f"  {line}\n" for line in self.warnings)]
        return "".join(parts)


def of_preset(preset: "OwnPreset | None", values: Mapping[str, Any]) -> list[Setting]:
    """The values of a preset as choices."""
    return [Setting(key, value, f"preset {preset.name}") for key, value in values.items()] if preset else []


def words_of(preset: "OwnPreset | None") -> tuple[str, ...]:
    return (f"taken as {preset.about}: preset {preset.name}",) if preset else ()


def gpu_words(preset: "OwnPreset | None") -> tuple[str, ...]:
    """What is said of a preset that nobody should wait for on a CPU."""
    if preset is None or not preset.gpu:
        return ()
    return (
        f"preset {preset.name} has the network and the training of its paper and needs a GPU; it has not been trained "
        "to the end with this code",
    )
