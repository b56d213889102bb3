"""Links between the pages: each names a file that exists, and a heading or an anchor in it."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.imports import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "infra" / "README.md"]
LINK = re.compile(r"\]\(([^()\s]+)\)")


def without_code(text: str) -> str:
    """The text without its blocks of code, where brackets are no links."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings, and those that it writes itself."""
    text = without_code(page.read_text(encoding="utf-8"))
    found: set[str] = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        same = sum(1 for each in found if re.fullmatch(rf"{re.escape(plain)}(-\d+)?", each))
        found.add(f"{plain}-{same}" if same else plain)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{target}: {place} does not exist"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{target}: no such heading in {place.name}"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target.partition("#")[0]).resolve()
        for target in LINK.findall(index.read_text(encoding="utf-8"))
    }
    pages = {page for page in PAGES if ROOT / "docs" in page.parents and page.parent.name != "decisions"}
    assert pages - linked <= {index}
