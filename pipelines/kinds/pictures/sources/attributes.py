"""What is known of a picture besides its class, such as a colour: columns of a table, each a condition by its name."""

import re
from collections.abc import Mapping
from typing import Any

from ddpm_core.checks import Check
from ddpm_core.errors import DataError
from pipelines.kinds.pictures.sources.contents import label_text

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN = frozenset(("label", "labels", "x", "t", "out", "present", "keys", "known", "self", "images", "seeds"))

columns_by_name: Check = (
    lambda v: all(_NAME.fullmatch(name) and name not in _TAKEN and column.strip() for name, column in v.items()),
    "columns by a name of your own: small letters, digits and _, a letter first, and none of "
    + ", ".join(sorted(_TAKEN)),
)


def needs_label(attributes: Mapping[str, str], label: str | None, key: str) -> list[str]:
    """The fault of attributes without a label: by the label a model is judged class by class."""
    if not attributes or label is not None:
        return []
    return [f"{key}: must be given where there are attributes; make the most telling one of them the label"]


def told_in(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """The class of each attribute in a row; none where its cell is empty. DataError where a cell is no class."""
    told = {}
    for name, column in columns.items():
        cell = row.get(column)
        if cell is None or cell == "":
            continue
        text = str(cell).lower() if isinstance(cell, bool) else label_text(cell)
        if text is None:
            raise DataError(f"attribute {name!r} must be text, a whole number, or true or false, got {_shown(cell)}")
        told[name] = text
    return told


def _shown(cell: Any) -> str:
    return f"{str(cell)[:60]!r} in its row"
