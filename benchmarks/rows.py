"""Results as they come, a row of a CSV each, so that a run that is cut short goes on where it was."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, str]]:
    """The rows so far; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """One row more, fractions with six digits; the columns first where the file is new."""
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: shown(value) for name, value in row.items()})


def shown(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
