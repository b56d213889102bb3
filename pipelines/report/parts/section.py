"""A section of a page and the parts that it holds: text, pictures and tables.

The macro with the name of a part, in templates/page_parts.html and templates/page_parts.md.jinja, prints it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ddpm_core.gate.rules import RuleResult, number

Row = tuple[str, ...]
Style = Literal["sharp", "strip", "plot"]


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
class Figure:
    """A picture under its caption: enlarged without a blur (`sharp`), a row of such samples (`strip`) or a `plot`."""

    picture: Picture
    caption: str = ""
    style: Style = "sharp"


@dataclass(frozen=True)
class Figures:
    """Figures below each other, in a pair side by side, or as plots that flow."""

    figures: Sequence[Figure]
    layout: Literal["", "pair", "plots"] = ""


@dataclass(frozen=True)
class Paragraph:
    """Text; soft text is small and grey."""

    text: str
    soft: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading inside a section; `outcome` follows it in green or red."""

    text: str
    outcome: str = ""
    passed: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of text, the first of which is the head; `outcomes` says that the second cell of the others is one.

    On a phone `noted` and `rules` show the last cell, which holds words, below the others. Where there is a `summary`,
    the table is folded away under it.
    """

    rows: Sequence[Row]
    style: Literal["", "noted", "rules"] = ""
    outcomes: bool = False
    bold_first: bool = True
    summary: str = ""


@dataclass(frozen=True)
class Facts:
    """Names, each with what it is; `code` is for digests."""

    rows: Sequence[Row]
    code: bool = False


Part = Figures | Paragraph | Heading | Table | Facts


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]

    @property
    def pictures(self) -> list[Picture]:
        return [figure.picture for part in self.parts if isinstance(part, Figures) for figure in part.figures]


def plots(*pictures: Picture | None) -> list[Part]:
    """Those plots that there are, as one part; no part where there is none."""
    drawn = [Figure(picture, style="plot") for picture in pictures if picture is not None]
    return [Figures(drawn, "plots")] if drawn else []


def outcomes_table(results: Sequence[RuleResult], value: str = "measured", limit: str = "limit") -> Table:
    """What each rule of the gate said."""
    rows = [(each.rule, each.outcome, number(each.value), number(each.limit), each.text) for each in results]
    return Table([("rule", "outcome", value, limit, ""), *rows], "rules", outcomes=True)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
