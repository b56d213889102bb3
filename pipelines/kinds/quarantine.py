"""The quarantine: what a source holds and cannot be used, each with the reason why."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm_core.files import atomic_write_text, sha256_bytes

_KEPT_BYTES = 1_000_000  # what is no larger is copied into the quarantine
KEPT_FILES = 1_000
_LINES = "quarantine.jsonl"


@dataclass(frozen=True)
class Rejected:
    """What cannot be used, and why. The digest is None where its bytes could not be read."""

    name: str
    reason: str
    source_sha256: str | None = None
    data: bytes | None = None  # for the quarantine, where it is small

    @classmethod
    def of(cls, name: str, reason: str, data: bytes) -> "Rejected":
        """With what its source gave."""
        return cls(name, reason, sha256_bytes(data), data if len(data) <= _KEPT_BYTES else None)


def write_quarantine(folder: Path, rejected: Sequence[Rejected]) -> None:
    """quarantine.jsonl with a line for each, and copies of the small ones, named by their digest."""
    lines = []
    kept = 0
    for each in rejected:
        copy = None
        if each.data is not None and kept < KEPT_FILES:
            copy = f"{each.source_sha256}.bin"
            (folder / copy).write_bytes(each.data)
            kept += 1
        line = {"source": each.name, "sha256": each.source_sha256, "reason": each.reason, "copy": copy}
        lines.append(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
    atomic_write_text(folder / _LINES, "".join(lines))


def read_quarantine(folder: Path) -> list[dict[str, Any]]:
    """The lines that `write_quarantine` wrote."""
    lines = (folder / _LINES).read_bytes().splitlines()  # of text they would end at U+2028 and the like too
    return [json.loads(line) for line in lines]


def shown_name(name: str) -> str:
    """A name as text that every file format can hold: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
