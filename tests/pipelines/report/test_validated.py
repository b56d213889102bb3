"""The report's sections about drift and about examples to look at."""

from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.report.parts.section import Figures, Table
from pipelines.report.validated import validated_sections
from tests.support.drift import write_validation
from tests.support.measured import DRIFT_ROW, SHOWN


def test_data_that_were_never_accepted_and_have_nothing_to_show_have_no_section(tmp_path: Path) -> None:
    write_validation(tmp_path, [], [], b"")
    assert list(validated_sections(tmp_path)) == []


def test_drift_has_a_row_a_distance_with_its_levels_and_what_came_of_it(tmp_path: Path) -> None:
    rows = [DRIFT_ROW, {**DRIFT_ROW, "measure": "contrast", "above_breach": True}]
    write_validation(tmp_path, [*rows, {**DRIFT_ROW, "above_warning": False}], [], b"")
    (section,) = validated_sections(tmp_path)
    table = section.parts[1]
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows[1:]] == ["warning", "breach", "kept"]
    last = ("0.400 [0.300, 0.500]", "0.2, 0.5", "median 10; now median 20")
    assert table.rows[1] == ("brightness", "warning", *last)


def test_examples_are_pictures_with_why_they_are_shown_and_their_names(tmp_path: Path) -> None:
    write_validation(tmp_path, [], [SHOWN], b"PNG")
    (section,) = validated_sections(tmp_path)
    figures = section.parts[1]
    assert isinstance(figures, Figures)
    assert figures.figures[0].caption == "Near duplicates, group 1 of 1: a.png, b <i>.png"
    assert section.pictures[0].png == b"PNG"
    (tmp_path / SHOWN["file"]).unlink()  # type: ignore[operator]
    with pytest.raises(DataError, match="the report shows this file, but it is missing"):
        list(validated_sections(tmp_path))
