"""The sections about what stage validate found: drift from the accepted data, and examples to look at."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.report.parts.files import read_bytes
from pipelines.report.parts.section import Figure, Figures, Paragraph, Picture, Row, Section, Table
from pipelines.validation.files import outcome, read_drift, read_examples

_DRIFT = (
    "Distances to the data that were accepted last, from 0 (equal) to 1, with their 99 % interval. A distance warns, "
    "or breaks the contract, where all of its interval lies above the level."
)
_NEAR = "Of each figure the names are in the order of its pictures, row by row."


def validated_sections(folder: Path) -> Iterator[Section]:
    """`folder` is out/validation."""
    if measures := read_drift(folder):
        rows: list[Row] = [("measure", "outcome", "distance", "warning, breach", "accepted, now")]
        rows += [
            (
                row["measure"],
                outcome(row),
                f"{row['distance']:.3f} [{row['at_least']:.3f}, {row['at_most']:.3f}]",
                f"{row['warning_level']:g}, {row['breach_level']:g}",
                f"{row['accepted']}; now {row['now']}",
            )
            for row in measures
        ]
        yield Section("Drift", [Paragraph(_DRIFT), Table(rows, "rules")])
    if shown := read_examples(folder):
        figures = [
            Figure(
                Picture(each.file, each.title, read_bytes(folder / each.file)), f"{each.title}: {', '.join(each.names)}"
            )
            for each in shown
        ]
        yield Section("Examples to look at", [Paragraph(_NEAR, soft=True), Figures(figures)])
