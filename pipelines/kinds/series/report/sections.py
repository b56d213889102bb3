"""The sections of the report about series, from the tables and fan charts of out/samples."""

from collections.abc import Sequence
from typing import Any

from ddpm_core.gate.rules import number
from pipelines.kinds.series.rows.fan import draw_on
from pipelines.kinds.series.rows.sample_files import (
    BINS,
    BY_COLUMN,
    BY_STEP,
    COVERAGE,
    FANS,
    FORECASTERS,
    MODEL,
    PIT,
    read_fan,
)
from pipelines.report.parts.chart import SERIES, THEMES, legend, plot
from pipelines.report.parts.files import ReportInput, TableRows
from pipelines.report.parts.section import Heading, Paragraph, Part, Picture, Row, Section, Table, plots

_FAN = (
    "Black: what was told. Blue: the median of the samples and their central 50 % and 90 %. Orange: what came. Where "
    "the spread is right, half of what came lies in the darker part, and nine tenths in both."
)
_BASELINES = (
    "Every measure of the model beside those of forecasters that need no network, on the same windows and with as many "
    "samples. CRPS, MAE and RMSE are in standard deviations of each column; wQL, SQL and MASE as leaderboards define "
    "them."
)
_SPREAD = (
    "Left: of the central so much of the samples, how much of what came lies in it. Right: in which twentieth of the "
    "samples it lies; level where the spread is right, high at both ends where it is too small, in the middle where it "
    "is too large."
)
_WORDS = {"ordinary": "Ordinary windows", "worst": "The worst windows"}


def sections(given: ReportInput) -> list[Section]:
    impute = given.spec.about["task"] == "impute"
    return [
        Section("Gaps and what filled them" if impute else "Forecasts", [Paragraph(_FAN, soft=True), *_fans(given)]),
        Section(
            "The model beside baselines",
            [
                Paragraph(_BASELINES),
                Table(_turned(given.samples.table(FORECASTERS)), "noted"),
                Heading("In each column's own unit"),
                Paragraph("The CRPS of each forecaster, and the model's errors.", soft=True),
                Table(_rows(given.samples.table(BY_COLUMN))),
                *plots(_by_step(given.samples.table(BY_STEP), impute)),
            ],
        ),
        Section(
            "Whether the spread is right",
            [
                Paragraph(_SPREAD),
                *plots(_coverage(given.samples.table(COVERAGE)), _pit(given.samples.table(PIT))),
            ],
        ),
    ]


def data_facts(given: ReportInput) -> list[tuple[str, str]]:
    about, scaling = given.spec.about, given.spec.scaling
    lengths = (
        f"{about['window']} steps, some of them told"
        if about["task"] == "impute"
        else f"{about['history']} steps of history, {about['horizon']} to forecast"
    )
    missing = sum(row.missing for row in given.rows) / max(1, len(given.rows))
    facts = [
        ("window", lengths),
        ("one step", str(about["frequency"])),
        ("calendar", ", ".join(about["calendar"]) or "none"),
        ("static features", ", ".join(about.get("static", {}).get("columns", [])) or "none"),
        ("missing values", f"{missing:.1%} of all windows"),
        ("test from", str(about["test_from"])),
        ("season", f"{given.record['conditions']['season']} steps"),
    ]
    if scaling is not None:
        facts += [
            (str(name), f"mean {mean:.4g}, standard deviation {std:.4g} of the training part")
            for name, mean, std in zip(about["columns"], scaling.mean, scaling.std, strict=True)
        ]
    return facts


def _fans(given: ReportInput) -> list[Part]:
    parts: list[Part] = []
    for sort, shown in given.samples.json(FANS).items():
        parts += [Heading(_WORDS[sort]), *plots(*(_fan(f"fan_{sort}_{nth}.png", fan) for nth, fan in enumerate(shown)))]
    return parts


def _fan(name: str, plain: Any) -> Picture:
    fan = read_fan(plain)

    def draw(ax: Any, theme: str) -> None:
        draw_on(ax, fan, THEMES[theme][0], *SERIES[theme][:2])

    return plot(name, fan.title, f"fan chart of {fan.title}", draw)


def _turned(table: TableRows) -> list[Row]:
    """A row a measure, a column a forecaster."""
    names = [name for name in table[0] if name != "forecaster"]
    head = ("measure", *(row["forecaster"] for row in table))
    return [head, *((name, *(_number(row[name]) for row in table)) for name in names)]


def _rows(table: TableRows) -> list[Row]:
    return [tuple(table[0]), *((*list(row.values())[:1], *map(_number, list(row.values())[1:])) for row in table)]


def _number(cell: str) -> str:
    return number(float(cell)) if cell else "-"


def _by_step(table: TableRows, impute: bool) -> Picture:
    """The CRPS of each forecaster over the steps."""
    forecasters = [name for name in table[0] if name not in ("step", "values", "coverage_50", "coverage_90")]
    steps = [int(row["step"]) for row in table]

    def draw(ax: Any, theme: str) -> None:
        for nth, name in enumerate(forecasters):
            style, width = ("-", 1.8) if name == MODEL else ("--", 1.2)
            colour = SERIES[theme][nth % len(SERIES[theme])]
            values = [float(row[name]) for row in table]
            ax.plot(steps, values, style, color=colour, linewidth=width, label=name)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("steps to the nearest told value" if impute else "step of the horizon", fontsize=9)
        legend(ax, theme)

    where = "distance from told values" if impute else "step of the horizon"
    return plot("crps_by_step.png", f"CRPS by {where}", f"CRPS of each forecaster by {where}", draw)


def _sides(table: TableRows) -> Sequence[str]:
    return list(table[0])[1:]


def _coverage(table: TableRows) -> Picture:
    levels = [float(row["level"]) for row in table]

    def draw(ax: Any, theme: str) -> None:
        ink, _, line = THEMES[theme]
        ax.plot([0, 1], [0, 1], color=ink, linewidth=0.8, linestyle=":")
        for name, colour, style in zip(_sides(table), (line, SERIES[theme][1]), ("-", "--"), strict=True):
            shares = [float(row[name]) for row in table]
            ax.plot(levels, shares, style, color=colour, linewidth=1.5, marker=".", label=name)
        ax.set_xlabel("central share of the samples", fontsize=9)
        legend(ax, theme)

    return plot("coverage.png", "share of what came that lies in it", "coverage over the nominal level", draw)


def _pit(table: TableRows) -> Picture:
    edges = [nth / BINS for nth in range(BINS + 1)]

    def draw(ax: Any, theme: str) -> None:
        ink, _, line = THEMES[theme]
        for name, colour, style in zip(_sides(table), (line, SERIES[theme][1]), ("-", "--"), strict=True):
            heights = [float(row[name]) for row in table]
            ax.stairs(heights, edges, color=colour, linestyle=style, linewidth=1.5, label=name)
        ax.axhline(1.0, color=ink, linewidth=0.8, linestyle=":")
        ax.set_ylim(bottom=0)
        ax.set_xlabel("where in the samples what came lies", fontsize=9)
        legend(ax, theme)

    return plot("pit.png", "PIT histogram", "histogram of where in the samples what came lies", draw)
