"""Every part of a section is printed in both pages, and its pictures are known."""

from types import SimpleNamespace
from typing import Any

from pipelines.report.page import ComparisonPage, Page, render_comparison, render_markdown
from pipelines.report.parts.section import Facts, Figure, Figures, Heading, Paragraph, Picture, Section, Table

SECTIONS = [
    Section("Part one", [Paragraph("a <text> of words"), Heading("a heading", "kept", passed=True)]),
    Section(
        "Part two",
        [
            Figures([Figure(Picture(f"{name}.png", f"shows {name}", b"", dark=b"dark"), f"caption {name}")], layout)  # type: ignore[arg-type]
            for name, layout in (("alone", ""), ("side", "pair"), ("plot", "plots"))
        ],
    ),
    Section(
        "Part three",
        [
            Table([("head", "outcome"), ("cell|one", "not measured")], "rules", outcomes=True),
            Table([("folded",), ("cell two",)], summary="open me"),
            Facts([("a name", "a value")]),
        ],
    ),
]
TEXTS = ["Part one", "of words", "a heading", "caption alone", "caption side", "caption plot", "cell two", "a value"]


def html() -> str:
    return render_comparison(ComparisonPage([], "", SECTIONS))


def markdown(sections: Any = SECTIONS) -> str:
    verdict: Any = SimpleNamespace(outcome="pass", asks="looks like the data", looks="yes", because="", reasons=())
    return render_markdown(Page(SimpleNamespace(heading="Title"), verdict, (), sections))  # type: ignore[arg-type]


def test_every_part_is_in_both_pages_once() -> None:
    for page in (html(), markdown()):
        assert [page.count(text) for text in TEXTS] == [1] * len(TEXTS)


def test_html_escapes_and_colours_outcomes() -> None:
    page = html()
    assert "a &lt;text&gt; of words" in page
    assert '<span class="pass">kept</span>' in page
    assert 'class="word not-measured"' in page
    assert page.count("<details>") == page.count("open me") == page.count("</details>") == 1
    assert page.count('media="(prefers-color-scheme: dark)"') == 3


def test_markdown_parts_stand_apart_and_a_cell_stays_in_its_table() -> None:
    blocks = markdown().split("\n\n")
    assert "a <text> of words" in blocks
    assert "![shows side](side.png)" in blocks
    table = next(block for block in blocks if block.startswith("| head"))
    assert [line.strip() for line in table.splitlines()] == [
        "| head | outcome |", "|---|---|", r"| cell\|one | not measured |",
    ]  # fmt: skip


def test_pictures_of_a_page_are_those_of_its_figures() -> None:
    assert [picture.name for section in SECTIONS for picture in section.pictures] == [
        "alone.png", "side.png", "plot.png",
    ]  # fmt: skip
