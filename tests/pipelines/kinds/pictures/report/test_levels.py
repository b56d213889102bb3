"""The levels of pixels: a background that is a level too bright is said plainly."""

from pipelines.kinds.pictures.report.levels import level_differences, levels_plot
from pipelines.report.parts.contrasts import difference_parts
from pipelines.report.parts.section import Paragraph, Table

CLEAN = [0.8] + [0.2 / 255] * 255
DIRTY = [0.2, 0.3, 0.3] + [0.2 / 253] * 253


def test_a_background_a_level_too_bright_is_said_plainly() -> None:
    words, rows = difference_parts(level_differences(DIRTY, CLEAN), "real pictures")
    assert isinstance(words, Paragraph)
    assert isinstance(rows, Table)
    assert "values at level 0 (20.0% against 80.0%)" in words.text
    table = {row[0]: row[1:4] for row in rows.rows}
    assert table["values at level 0"] == ("20.0%", "80.0%", "0.25 x")
    assert table["values at most 8"] == ("80.5%", "80.6%", "1.00 x")


def test_equal_shares_are_alike_and_no_shares_are_nothing() -> None:
    assert all(one.is_alike for one in level_differences(CLEAN, CLEAN))
    assert level_differences((), ()) == []
    assert levels_plot((), ()) is None
