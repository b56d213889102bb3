"""The report of a run: one HTML page that needs nothing beside itself, and its twin in Markdown.

Pictures travel inside the page. It follows the reader's light or dark setting and fits a phone. Nothing in it comes
from a clock or a machine, so the same run gives the same bytes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.gate.rules import RuleResult, number
from ddpm_core.gate.verdict import Verdict
from pipelines.report.config import ReportConfig

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE, MARKDOWN, COMPARISON, STYLE = (
    "report_page.html",
    "report_page.md.jinja",
    "compare_page.html",
    "page_style.css",
)


Row = tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A PNG with its name in the folder, what it shows, and its dark twin where it is a plot."""

    name: str
    alt: str
    png: bytes
    dark: bytes | None = None

    @property
    def uri(self) -> str:
        return _uri(self.png)

    @property
    def dark_uri(self) -> str:
        return "" if self.dark is None else _uri(self.dark)


@dataclass(frozen=True)
class Captioned:
    """A picture and the words that belong to it."""

    picture: Picture
    caption: str


@dataclass(frozen=True)
class Differences:
    """Samples beside real pictures: in a sentence, in a table, and by the levels of their pixels."""

    summary: str
    rows: Sequence[Row]
    plot: Picture | None


@dataclass(frozen=True)
class Steps:
    """The same seeds at several numbers of steps; without strips where that was not asked for."""

    images: int
    rows: Sequence[Row]
    strips: Sequence[Captioned]
    plot: Picture | None

    @classmethod
    def none(cls) -> "Steps":
        return cls(0, (), (), None)


@dataclass(frozen=True)
class Page:
    """All that the page says. Tables are rows of text; the first row of each is its head."""

    config: ReportConfig
    verdict: Verdict
    headline: Sequence[Row]
    samples: Picture
    real: Picture
    classes: Sequence[str]
    rulers: Sequence[Picture]
    controls: Sequence[Row]
    lost: Sequence[Captioned]
    roughness: Picture
    differences: Differences
    steps: Steps
    trajectory: Captioned | None
    curves: Sequence[Picture]
    by_level: Sequence[Picture]
    by_level_words: str
    distances: Sequence[Row]
    measures: Sequence[Row]
    by_class: Sequence[Row]
    left_out: Mapping[str, str]
    neighbours_closest: Picture
    neighbours_first: Picture
    neighbour_rows: Sequence[Row]
    data: Sequence[Row]
    classes_plot: Picture | None
    contract_passed: bool
    contract: Sequence[Row]
    card: Sequence[Row]
    digests: Sequence[Row]

    @property
    def pictures(self) -> list[Picture]:
        """Every picture, for the files that the Markdown twin links to."""
        found = (
            self.samples,
            self.real,
            *self.rulers,
            *(each.picture for each in self.lost),
            self.roughness,
            self.differences.plot,
            *(strip.picture for strip in self.steps.strips),
            self.steps.plot,
            None if self.trajectory is None else self.trajectory.picture,
            *self.curves,
            *self.by_level,
            self.neighbours_closest,
            self.neighbours_first,
            self.classes_plot,
        )
        return [picture for picture in found if picture is not None]


@dataclass(frozen=True)
class ComparisonPage:
    """Two runs beside each other: (letter, name, bundle) of each, the rules, every number."""

    runs: Sequence[Row]
    summary: str
    rules: Sequence[RuleResult]
    rows: Sequence[Row]
    grids: Sequence[Picture]


def render_comparison(page: ComparisonPage) -> str:
    """The page of `ddpm compare`, one HTML file."""
    return _render(COMPARISON, page, autoescape=True)


def render_html(page: Page) -> str:
    """The page as one HTML file."""
    return _render(TEMPLATE, page, autoescape=True)


def render_markdown(page: Page) -> str:
    """The same content as Markdown, its pictures beside it."""
    return _render(MARKDOWN, page, autoescape=False)


def _render(template: str, page: Page | ComparisonPage, autoescape: bool) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    style = (TEMPLATES / STYLE).read_text(encoding="utf-8")
    return environment.get_template(template).render(page=page, style=style)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
