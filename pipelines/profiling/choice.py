"""A value for a key of params.yaml, and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.projects.own_presets import OwnPreset

_SOURCES = Path(__file__).resolve().parent / "sources"


def source_text(name: str) -> str:
    """A section source with comments, to be filled in."""
    return (_SOURCES / f"{name}.yaml").read_text(encoding="utf-8")


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

    def text(self) -> str:
        parts = ["Found\n", *(f"  {line}\n" for line in self.found)]
        parts += ["\nChosen\n", *(choice.line() for choice in self.choices if choice.why)]
        if self.warnings:
            parts += ["\nLook at this\n", *(f"  {line}\n" for line in self.warnings)]
        return "".join(parts)


def of_preset(preset: OwnPreset | None, values: Mapping[str, Any]) -> list[Setting]:
    """The values of a preset as choices."""
    return [Setting(key, value, f"preset {preset.name}") for key, value in values.items()] if preset else []


def words_of(preset: OwnPreset | None) -> tuple[str, ...]:
    return (f"taken as {preset.about}: preset {preset.name}",) if preset else ()


def gpu_words(preset: OwnPreset | None) -> tuple[str, ...]:
    """What is said of a preset that nobody should wait for on a CPU."""
    if preset is None or not preset.gpu:
        return ()
    return (
        f"preset {preset.name} has the network and the training of its paper and needs a GPU; it has not been trained "
        "to the end with this code",
    )
