"""One run held against another: the rules for a champion, and every number of both, as text and as parts of a page."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.gate.comparison import compare
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.rules import RuleResult, number, overall, rules_table
from ddpm_core.metrics.measurement import Measurement, refuse_unless_alike
from pipelines.evaluation.authenticity import METRICS, RECORD, SAMPLES, TEACHER, check_bundle
from pipelines.gate.record import read_measurement
from pipelines.paths import Paths
from pipelines.report.page import ComparisonPage, render_comparison
from pipelines.report.parts.section import (
    Figure,
    Figures,
    Heading,
    Paragraph,
    Part,
    Picture,
    Row,
    Section,
    Table,
    outcomes_table,
)


@dataclass(frozen=True, eq=False)
class NamedRun:
    """A run by the name that it was asked for with, and its picture of some samples where it is at hand."""

    name: str
    measured: Measurement
    grid: bytes | None


def read_run(name: str, folder: Path, samples: Path) -> NamedRun:
    """A run whose measurement lies in a folder and its samples in another; IntegrityError where they do not agree."""
    grid = samples / "grid.png"
    there = samples if samples.is_dir() else None
    measured = read_measurement(folder / METRICS, folder / RECORD, there, whole=False)
    if (folder / "bundle").is_dir():
        check_bundle(folder / "bundle", measured.bundle, folder / RECORD)
    return NamedRun(name, measured, grid.read_bytes() if grid.is_file() else None)


@dataclass(frozen=True, eq=False)
class Compared:
    """Run A held against run B by the rules for a champion, and every number of both."""

    runs: tuple[NamedRun, NamedRun]
    rules: tuple[RuleResult, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, runs: tuple[NamedRun, NamedRun], gate: GateConfig) -> "Compared":
        one, other = (run.measured for run in runs)
        refuse_unless_alike(one, other)
        return cls(runs, compare(one, other, gate), tuple(_rows(one, other)))

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
        runs = [(letter, run.name, run.measured.bundle) for letter, run in self._lettered()]
        sections = [Section(title, parts) for title, parts in self.titled()]
        return render_comparison(ComparisonPage(runs, self.summary, sections))

    def section(self, title: str) -> Section:
        """The same as one section of a page."""
        names = [f"{letter}: {run.name}, bundle {run.measured.bundle[:12]}." for letter, run in self._lettered()]
        parts: list[Part] = [Paragraph(f"{' '.join(names)} {self.summary}.")]
        for heading, found in self.titled():
            parts += [Heading(heading), *found]
        return Section(title, parts)

    def titled(self) -> Iterator[tuple[str, list[Part]]]:
        """The parts of the page under their titles."""
        grids = [
            Figure(Picture(f"grid_{letter}.png", words, run.grid), words)
            for letter, run in self._lettered()
            if run.grid is not None and (words := f"samples of {run.name}")
        ]
        judged = (
            "By the rules for a champion, A as the challenger. The interval is paired: both were sampled from the same "
            "seeds and labels."
        )
        if grids:
            yield "Samples", [Figures(grids, "pair")]
        yield "Is A worse than B?", [Paragraph(judged), outcomes_table(self.rules, "worse by", "allowed")]
        yield "All numbers", [Table(self.rows)]

    def _lettered(self) -> Iterator[tuple[str, NamedRun]]:
        return zip("AB", self.runs, strict=True)


def beside_teacher(paths: Paths, gate: GateConfig) -> list[Section]:
    """The project's student and its teacher, where stage evaluate measured both."""
    folder = paths.samples / TEACHER
    if not folder.is_dir():
        return []
    runs = (
        read_run("the student", paths.metrics.parent, paths.samples),
        read_run("its teacher", folder, folder / SAMPLES),
    )
    return [Compared.of(runs, gate).section("Student and teacher")]


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
