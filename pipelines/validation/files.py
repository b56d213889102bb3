"""The files of out/validation, for those who read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUMMARY, DRIFT, EXAMPLES = "summary.json", "drift.json", "examples.json"


@dataclass(frozen=True)
class Shown:
    """Some examples as one PNG: why they are shown, and their names in the order of the picture."""

    file: str
    title: str
    names: Sequence[str]


def read_examples(folder: Path) -> list[Shown]:
    return [Shown(**each) for each in json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))]


def read_drift(folder: Path) -> list[dict[str, Any]]:
    """A row a distance; none where no data were accepted yet."""
    rows: list[dict[str, Any]] = json.loads((folder / DRIFT).read_text(encoding="utf-8"))["measures"]
    return rows


def outcome(row: Mapping[str, Any]) -> str:
    """What became of a row of drift."""
    return "breach" if row["above_breach"] else "warning" if row["above_warning"] else "kept"
