"""Reading what the stages before the report left: out/samples and the files beside it."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from ddpm_core.gate.config import GateConfig
from ddpm_core.metrics.metric import Metric
from ddpm_core.spec import DataSpec
from pipelines.report.parts.section import Figure, Picture, Style

TableRows = list[dict[str, str]]


def read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: the report shows this file, but it is missing; run `dvc repro report`")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    return json.loads(read_bytes(path))


def read_table(path: Path) -> TableRows:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(read_bytes(path).decode(), newline="")))


@dataclass(frozen=True)
class SampleFiles:
    """The files of out/samples by their names."""

    folder: Path

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def figure(self, name: str, alt: str, caption: str = "", style: Style = "sharp") -> Figure:
        return Figure(Picture(name, alt, read_bytes(self.folder / name)), caption, style)

    def json(self, name: str) -> Any:
        return read_json(self.folder / name)

    def table(self, name: str) -> TableRows:
        """The rows of a CSV file; none where stage evaluate was not asked for it."""
        return read_table(self.folder / name) if self.has(name) else []


@dataclass(frozen=True)
class ReportInput:
    """What the sections of a kind of data are made from."""

    metrics: Sequence[Metric]
    record: Mapping[str, Any]
    gate: GateConfig
    samples: SampleFiles
    spec: DataSpec
    rows: Sequence[Any]  # of the manifest
