"""The report of a run: one HTML page that needs nothing beside itself, and its twin in Markdown.

Pictures travel inside the page. It follows the reader's light or dark setting and fits a phone. Nothing in it comes
from a clock or a machine, so the same run gives the same bytes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ddpm_core.checks import Checks, run_checks
from ddpm_core.metrics.verdict import RuleResult, Verdict, number
from pipelines.tools.plots import THEMES, png, small_figure

TEMPLATE = Path(__file__).with_name("report_page.html")
MARKDOWN = Path(__file__).with_name("report_page.md.jinja")
COMPARISON = Path(__file__).with_name("compare_page.html")
STYLE = Path(__file__).with_name("page_style.css")


@dataclass(frozen=True)
class ReportConfig:
    """What no program can know of a model: its title and the words of its card."""

    title: str
    intended_use: str
    data_licence: str
    limits: str

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    __checks__: ClassVar[Checks] = {
        name: (lambda v: bool(v.strip()), "a text that is not empty")
        for name in ("title", "intended_use", "data_licence", "limits")
    }

    def __post_init__(self) -> None:
        run_checks(self)


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
class Page:
    """All that the page says. Tables are rows of text; the first row of each is its head."""

    config: ReportConfig
    verdict: Verdict
    headline: Sequence[Row]
    samples: Picture
    real: Picture
    classes: Sequence[str]
    curves: Picture | None
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
            self.curves,
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


def _render(template: Path, page: Page | ComparisonPage, autoescape: bool) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    style = STYLE.read_text(encoding="utf-8")
    return environment.from_string(template.read_text(encoding="utf-8")).render(page=page, style=style)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


# ---- plots


def curves_picture(columns: Mapping[str, Sequence[float]]) -> Picture | None:
    """The loss (with a running mean), the gradient's norm and the learning rate over the updates."""
    wanted = [name for name in ("loss", "grad_norm", "lr") if name in columns]
    steps = np.asarray(columns.get("step", ()), dtype=float)
    if len(steps) < 2 or not wanted:
        return None
    light, dark = (_curves(steps, columns, wanted, theme) for theme in ("light", "dark"))
    return Picture("curves.png", "loss, norm of the gradient and learning rate over the updates", light, dark)


def _curves(steps: Any, columns: Mapping[str, Sequence[float]], wanted: Sequence[str], theme: str) -> bytes:
    figure, axes = small_figure(len(wanted), theme)
    _, grid, line = THEMES[theme]
    titles = {"loss": "loss", "grad_norm": "norm of the gradient", "lr": "learning rate"}
    for ax, name in zip(axes, wanted, strict=True):
        values = np.asarray(columns[name], dtype=float)
        if name == "lr":
            ax.plot(steps, values, color=line, linewidth=1.5)
        else:
            ax.plot(steps, values, color=grid, linewidth=1.0)
            ax.plot(steps, _smooth(values), color=line, linewidth=1.8)
            if (values > 0).all():
                ax.set_yscale("log")
        ax.set_title(titles[name], fontsize=10)
        ax.set_xlabel("update", fontsize=9)
    return png(figure)


def _smooth(values: Any) -> Any:
    """A running mean over a twentieth of the curve, shorter at its ends."""
    width = max(1, len(values) // 20)
    kernel = np.ones(2 * width + 1)
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones_like(values), kernel, mode="same")


def classes_picture(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Picture | None:
    """How many images each class has in each split."""
    if not names or len(names) > 60:
        return None
    light, dark = (_classes(names, counts, theme) for theme in ("light", "dark"))
    return Picture("classes.png", "images of each class in each split", light, dark)


def _classes(names: Sequence[str], counts: Mapping[str, Sequence[int]], theme: str) -> bytes:
    figure, (ax,) = small_figure(1, theme)
    _, grid, line = THEMES[theme]
    places = np.arange(len(names))
    width = 0.8 / len(counts)
    for number_, (split, heights) in enumerate(counts.items()):
        shift = (number_ - (len(counts) - 1) / 2) * width
        ax.bar(places + shift, heights, width, label=split, color=(line, grid)[number_ % 2])
    ax.set_xticks(places, names, rotation=0 if max(map(len, names)) < 4 else 60, fontsize=8)
    ax.legend(
        frameon=False,
        fontsize=8,
        labelcolor=THEMES[theme][0],
        ncols=len(counts),
        loc="upper right",
        bbox_to_anchor=(1, 1.18),
    )
    ax.set_title("images of each class", fontsize=10, loc="left", color=THEMES[theme][0])
    return png(figure)
