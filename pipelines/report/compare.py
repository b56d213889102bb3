"""Two runs beside each other: found by folder, MLflow run or model version, and refused unless measured alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError, TrackingError
from ddpm_core.gate.comparison import compare
from ddpm_core.gate.rules import RuleResult, number, overall, rules_table
from ddpm_core.metrics.measurement import Measurement, refuse_unless_alike
from pipelines.evaluation.authenticity import check_bundle
from pipelines.gate.record import read_measurement
from pipelines.kinds.facts import registered_name
from pipelines.paths import Paths
from pipelines.report.page import ComparisonPage, render_comparison
from pipelines.report.parts.section import Figure, Figures, Paragraph, Picture, Row, Section, Table, outcomes_table
from pipelines.tracking.journal import StoreDown

if TYPE_CHECKING:
    from pipelines.params import Params

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True, eq=False)
class NamedRun:
    """A run by the name that it was asked for with, and its picture of some samples where it is at hand."""

    name: str
    measured: Measurement
    grid: bytes | None


@contextmanager
def open_runs(names: tuple[str, str], params: "Params", paths: Paths) -> Iterator[tuple[NamedRun, NamedRun]]:
    """Both runs; what had to be fetched for them goes when the block ends."""
    with TemporaryDirectory(prefix="compare-") as scratch:
        first, second = (_open(name, params, paths, Path(scratch) / str(place)) for place, name in enumerate(names))
        yield first, second


def _open(name: str, params: "Params", paths: Paths, scratch: Path) -> NamedRun:
    folder = Path(name)
    if folder.is_dir():
        inner = folder if (folder / "metrics.json").is_file() else folder / "out"
        return _read(name, inner, inner / "samples")
    version, run_id = _version(name, params, paths), _RUN_ID.fullmatch(name)
    if version is None and run_id is None:
        raise ParamsError(
            "a run must be a folder with metrics.json and record.json, an MLflow run id (32 hex digits), a version of "
            f"{registered_name(params.gate, paths)} (a number, or {', '.join(_ALIASES)}) or models:/NAME/VERSION, got "
            f"{name!r}"
        )
    scratch.mkdir()
    return _fetched(name, version, paths, scratch)


def _version(name: str, params: "Params", paths: Paths) -> tuple[str, str] | None:
    """(model, version or alias) that a word means, if it means one."""
    if name.startswith("models:/") and name.count("/") == 2:
        _, model, version = name.split("/")
        return model, version
    return (registered_name(params.gate, paths), name) if name in _ALIASES or name.isdecimal() else None


def _fetched(name: str, version: tuple[str, str] | None, paths: Paths, scratch: Path) -> NamedRun:
    from pipelines.tracking.tracker import connect

    try:
        from pipelines.tracking.mlflow_registry import Registry, fetch_run

        store = connect(paths.home)
        if version is None:
            fetched = fetch_run(store, name, scratch)
            return _read(name, fetched / "evaluate", fetched / "samples")
        registry = Registry(store, version[0])
        held = registry.named(version[1])
        if held is None:
            raise ParamsError(f"{name}: {version[0]} must have such a version, and the registry has none")
        files = registry.fetch(held, scratch)
        return _read(f"{version[0]} version {held.number}", files, files)
    except StoreDown as error:
        raise TrackingError(f"{error} Start it, or compare two folders.") from error


def _read(name: str, folder: Path, samples: Path) -> NamedRun:
    grid = samples / "grid.png"
    there = samples if samples.is_dir() else None
    measured = read_measurement(folder / "metrics.json", folder / "record.json", there, whole=False)
    if (folder / "bundle").is_dir():
        check_bundle(folder / "bundle", measured.bundle, folder / "record.json")
    return NamedRun(name, measured, grid.read_bytes() if grid.is_file() else None)


@dataclass(frozen=True, eq=False)
class Compared:
    """Run A held against run B by the rules for a champion, and every number of both."""

    runs: tuple[NamedRun, NamedRun]
    rules: tuple[RuleResult, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, runs: tuple[NamedRun, NamedRun], params: "Params") -> "Compared":
        one, other = (run.measured for run in runs)
        refuse_unless_alike(one, other)
        return cls(runs, compare(one, other, params.gate), tuple(_rows(one, other)))

    @property
    def summary(self) -> str:
        outcome = overall(self.rules)
        words = {
            "pass": "A is not worse than B by more than the gate allows",
            "fail": "A is worse than B by more than the gate allows",
        }
        return words.get(outcome, f"whether A is worse than B is not shown ({outcome})")

    def text(self) -> str:
        """For a terminal."""
        names = [f"{letter}: {run.name} (bundle {run.measured.bundle[:12]})" for letter, run in self._lettered()]
        return "\n".join([*names, "", _aligned(self.rows), "", rules_table(self.rules), self.summary, ""])

    def html(self) -> str:
        """For a browser, as one file."""
        grids = [
            Figure(Picture(f"grid_{letter}.png", words, run.grid), words)
            for letter, run in self._lettered()
            if run.grid is not None and (words := f"samples of {run.name}")
        ]
        judged = (
            "By the rules for a champion, A as the challenger. The interval is paired: both were sampled from the same "
            "seeds and labels."
        )
        sections = [
            *([Section("Samples", [Figures(grids, "pair")])] if grids else []),
            Section("Is A worse than B?", [Paragraph(judged), outcomes_table(self.rules, "worse by", "allowed")]),
            Section("All numbers", [Table(self.rows)]),
        ]
        runs = [(letter, run.name, run.measured.bundle) for letter, run in self._lettered()]
        return render_comparison(ComparisonPage(runs, self.summary, sections))

    def _lettered(self) -> Iterator[tuple[str, NamedRun]]:
        return zip("AB", self.runs, strict=True)


def _rows(one: Measurement, other: Measurement) -> Iterator[Row]:
    """Every metric of both, with the interval of the difference where it is known."""
    yield ("measure", "A", "B", "A - B", "interval of the difference")
    for name in sorted({metric.name for metric in (*one.listed, *other.listed)}):
        mine, its = one.metrics.get(name), other.metrics.get(name)
        if mine is None and its is None:
            continue
        difference = None if mine is None or its is None else mine - its
        interval = ""
        if difference is not None and one.replicates(name) is not None and other.replicates(name) is not None:
            ends = one.difference(name, other)
            interval = f"{number(ends.low)} to {number(ends.high)}"
        yield (name, number(mine), number(its), number(difference), interval)


def _aligned(rows: tuple[Row, ...]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
