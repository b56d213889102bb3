"""The report of a run: one HTML page that needs nothing beside itself, and its twin in Markdown.

Pictures travel inside the page. It follows the reader's light or dark setting and fits a phone. Nothing in it comes
from a clock or a machine, so the same run gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.gate.verdict import Verdict
from pipelines.report.config import ReportConfig
from pipelines.report.parts.section import Picture, Row, Section

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """All that the page says: the verdict, the tiles of the headline, then section by section."""

    config: ReportConfig
    verdict: Verdict
    headline: Sequence[Row]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """Every picture, for the files that the Markdown twin links to."""
        return [picture for section in self.sections for picture in section.pictures]


@dataclass(frozen=True)
class ComparisonPage:
    """Two runs beside each other: (letter, name, bundle) of each, a sentence, then section by section."""

    runs: Sequence[Row]
    summary: str
    sections: Sequence[Section]


def render_comparison(page: ComparisonPage) -> str:
    """The page of `ddpm compare`, one HTML file."""
    return _render("compare_page.html", page, autoescape=True)


def render_html(page: Page) -> str:
    """The page as one HTML file."""
    return _render("report_page.html", page, autoescape=True)


def render_markdown(page: Page) -> str:
    """The same content as Markdown, its pictures beside it."""
    return _render("report_page.md.jinja", page, autoescape=False)


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
    environment.filters["macro"] = lambda part: type(part).__name__.lower()
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(template).render(page=page)
