"""The report of a run: one HTML page that needs nothing beside itself, and its twin in Markdown.

Pictures travel inside the page. It follows the reader's light or dark setting and fits a phone. Nothing in it comes
from a clock or a machine, so the same run gives the same bytes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from ddpm_core.checks import Checks, Config
from ddpm_core.metrics.rules import RuleResult, number
from ddpm_core.metrics.verdict import Verdict
from pipelines.tools.source_facts import SourceFacts

FOLDER = Path(__file__).parent
TEMPLATE, MARKDOWN, COMPARISON, STYLE = (
    "report_page.html",
    "report_page.md.jinja",
    "compare_page.html",
    "page_style.css",
)


@dataclass(frozen=True)
class ReportConfig(Config):
    """What no program can know of a model: its title and the words of its card; null leaves it to the source."""

    title: str | None
    intended_use: str | None
    data_licence: str | None
    limits: str | None

    __checks__: ClassVar[Checks] = {
        name: (lambda v: v is None or bool(v.strip()), "null (the source's own words) or a text that is not empty")
        for name in ("title", "intended_use", "data_licence", "limits")
    }

    def beside(self, facts: SourceFacts) -> "ReportConfig":
        """These words, and the source's own where there are none; what neither says stays None."""
        return ReportConfig(
            **{
                field.name: getattr(facts, field.name) if (own := getattr(self, field.name)) is None else own
                for field in fields(self)
            }
        )

    @property
    def heading(self) -> str:
        return UNTITLED if self.title is None else self.title

    def said(self, name: str) -> str:
        """What the card says of `intended_use`, `data_licence` or `limits`."""
        words: str | None = getattr(self, name)
        return f"not stated (report.{name} in params.yaml says it)" if words is None else words


UNTITLED = "Untitled model"
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
        loader=FileSystemLoader(FOLDER),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    style = (FOLDER / STYLE).read_text(encoding="utf-8")
    return environment.get_template(template).render(page=page, style=style)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
