"""Points from CSV files and from the formula of two moons: what is read, what is quarantined, what is refused whole."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.points.sources import CsvFiles, SourceConfig, TwoMoons
from pipelines.kinds.points.sources.found import PointListing
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import Rejected
from pipelines.parsing import Faults, parse_value

MOONS = TwoMoons("two_moons", "pipelines/kinds/points/sources/two_moons.py", 400, 0.1, 0)


def source(path: str = "data.csv", **changes: Any) -> CsvFiles:
    value = {
        "kind": "csv", "path": path, "x": "x", "y": "y", "class_column": None, "classes": None, "delimiter": ",",
        "decimal": ".",
        "max_rows": 1000, "max_megabytes": 1.0,
    }  # fmt: skip
    return CsvFiles(**{**value, **changes})


def read(folder: Path, text: str | bytes, **changes: Any) -> PointListing:
    (folder / "data.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return source(**changes).listing(folder)


def used(found: PointListing) -> list[tuple[float, float]]:
    return [(each.columns["x"], each.columns["y"]) for each in found.outcomes if isinstance(each, Accepted)]


def reasons(found: PointListing) -> list[str]:
    return [each.reason for each in found.outcomes if isinstance(each, Rejected)]


def test_numbers_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    found = read(tmp_path, "id,y,x\n1,2.5,-1\n2, 1e3 ,0.5\n")
    assert used(found) == [(-1.0, 2.5), (0.5, 1000.0)]
    assert found.classes == ()
    assert [each.class_name for each in found.outcomes if isinstance(each, Accepted)] == [None, None]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("one,2", "'one' in column 'x' is not a number"),
        ("1_000,2", "is not a number"),
        ("nan,2", "finite"),
        ("1,inf", "finite"),
        ("1,-1e39", "finite as float32"),
        (",2", "nothing in column 'x'"),
        ("1", "1 cells where the header has 2"),
        ("1,2,3", "3 cells where the header has 2"),
        ('"1,2', "not a row of CSV"),
        ('"1"0,2', "not a row of CSV"),
        (b"\xff,2", "not UTF-8 at byte 1"),
        (b"x" * 200_000 + b",2", "not a row of CSV"),
    ],
)
def test_a_row_that_cannot_be_used_is_quarantined_alone_with_its_line(
    row: str | bytes, reason: str, tmp_path: Path
) -> None:
    data = row.encode() if isinstance(row, str) else row
    found = read(tmp_path, b"x,y\n0,0\n" + data + b"\n3,4\n")
    assert used(found) == [(0.0, 0.0), (3.0, 4.0)]
    assert len(found.outcomes) == 3
    (bad,) = (each for each in found.outcomes if isinstance(each, Rejected))
    assert reason in bad.reason
    assert bad.name == "data.csv:3"
    assert bad.data == data


def test_empty_lines_are_no_rows_and_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    assert used(read(tmp_path, b"\xef\xbb\xbfx,y\r\n\r\n1,2\r\n3,4")) == [(1.0, 2.0), (3.0, 4.0)]
    assert used(read(tmp_path, b"x,y\r1,2\r3,4\r")) == [(1.0, 2.0), (3.0, 4.0)]


def test_decimal_commas(tmp_path: Path) -> None:
    assert used(read(tmp_path, "x;y\n1,5;2\n", delimiter=";", decimal=",")) == [(1.5, 2.0)]


def test_another_delimiter(tmp_path: Path) -> None:
    assert used(read(tmp_path, "x;y\n1;2\n1,5;2\n", delimiter=";")) == [(1.0, 2.0)]
    assert used(read(tmp_path, "x\ty\n1\t2\n", delimiter="\t")) == [(1.0, 2.0)]


def test_classes_are_those_of_the_rows_that_can_be_used_in_the_order_of_their_names(tmp_path: Path) -> None:
    text = 'x,y,c\n1,2,b\n1,3, a \n2,2,"b,c"\noops,2,d\n3,3,\n'
    found = read(tmp_path, text, class_column="c")
    assert found.classes == ("a", "b", "b,c")
    assert [each.class_name for each in found.outcomes if isinstance(each, Accepted)] == ["b", "a", "b,c"]
    assert reasons(found)[1] == "nothing in column 'c'"


def test_named_classes_are_the_only_ones(tmp_path: Path) -> None:
    found = read(tmp_path, "x,y,c\n1,2,b\n1,3,z\n", class_column="c", classes=("b", "a"))
    assert found.classes == ("a", "b")
    assert reasons(found) == ["'z' in column 'c' is not in source.classes"]


def test_a_folder_gives_all_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, x in (("b.csv", 2), ("a.CSV", 1), ("deep/c.csv", 3), (".hidden/d.csv", 4), ("notes.txt", 5)):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(f"x,y\n{x},0\n")
    found = source("set").listing(tmp_path)
    assert [x for x, _ in used(found)] == [1, 2, 3]
    assert [each.name for each in found.outcomes] == ["a.CSV:2", "b.csv:2", "deep/c.csv:2"]


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("a,y\n1,2\n", {}, r"source.x: .* one column 'x', got 0 .* a, y"),
        ("x,y,y\n1,2,3\n", {}, r"source.y: .* one column 'y', got 2"),
        ("x,y\n1,2\n", {"class_column": "kind"}, r"source.class_column: .* 'kind', got 0"),
        ("", {}, r"source.x: .* got 0 .* none"),
        (b"\xff\xfex\x00,\x00y\x00\n\x00", {}, r"data.csv must begin .* UTF-8"),
        ("x,y\n" + "1,2\n" * 11, {"max_rows": 10}, r"at most source.max_rows = 10"),
        ("x,y\n" + "1,2\n" * 400, {"max_megabytes": 0.001}, r"at most 0.001 MB .* 1,604 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_and_takes_no_rows_along_silently(
    text: str | bytes, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, **changes)


@pytest.mark.parametrize(("make", "came"), [(lambda place: None, "nothing"), (Path.mkdir, "none in it")])
def test_a_place_without_files_is_refused(make: Any, came: str, tmp_path: Path) -> None:
    make(tmp_path / "data.csv")
    with pytest.raises(DataError, match=rf"source.path: .* must be a .csv file or a folder of them, .* {came}"):
        source().listing(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": "x"}, "different columns, got x, x"),
        ({"class_column": "y"}, "different columns, got x, y, y"),
        ({"classes": ("a",)}, "classes: must be null without a class_column"),
        ({"classes": ("a", "a"), "class_column": "c"}, "classes: must be .* different names"),
        ({"delimiter": ""}, "delimiter: must be one character"),
        ({"delimiter": '"'}, "delimiter: must be one character"),
        ({"max_rows": 0}, "max_rows: must be at least 1, got 0"),
        ({"x": " "}, "x: must be text"),
    ],
)
def test_parameters_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        source(**changes)


def test_params_yaml_chooses_a_source_by_kind() -> None:
    faults = Faults()
    value = {"kind": "two_moons", "path": "a.py", "points": 10, "noise": 0.0, "seed": 1}
    assert parse_value(SourceConfig, value, "source", faults) == TwoMoons("two_moons", "a.py", 10, 0.0, 1)


def test_a_file_names_its_model() -> None:
    assert source("my/Iris petals.csv").facts().model_name == "ddpm-iris-petals"


# ---- keys, contents


def test_equal_points_have_equal_contents_and_another_class_another_key(tmp_path: Path) -> None:
    found = read(tmp_path, "x,y,c\n1,2,a\n1.0,2e0,a\n1,2,b\n0,-0.0,a\n-0,0,a\n", class_column="c")
    a, same, other, zero, minus = (each for each in found.outcomes if isinstance(each, Accepted))
    assert a.source_sha256 == same.source_sha256 != other.source_sha256
    assert len({each.content_sha256 for each in (a, same, other)}) == 1
    assert zero.content_sha256 == minus.content_sha256


# ---- two moons


def test_two_moons_are_two_half_circles_of_the_same_points_each_time() -> None:
    found = TwoMoons("two_moons", "x", 400, 0.0, 3).listing(Path())
    points, names = np.array(used(found)), [each.class_name for each in found.outcomes if isinstance(each, Accepted)]
    assert found.classes == ("lower", "upper")
    assert Counter(names) == {"lower": 200, "upper": 200}
    for name, centre in (("upper", (0.0, 0.0)), ("lower", (1.0, 0.5))):
        mine = points[[each == name for each in names]] - centre
        np.testing.assert_allclose(np.hypot(*mine.T), 1.0, atol=1e-5)
        assert (mine[:, 1] >= -1e-6).all() == (name == "upper")
    assert used(TwoMoons("two_moons", "x", 400, 0.0, 3).listing(Path())) == used(found)
    assert used(TwoMoons("two_moons", "x", 400, 0.0, 4).listing(Path())) != used(found)


def test_the_noise_of_two_moons_is_as_wide_as_it_says() -> None:
    points, plain = (np.array(used(TwoMoons("two_moons", "x", 2000, noise, 0).listing(Path()))) for noise in (0.2, 0.0))
    assert (points - plain).std() == pytest.approx(0.2, rel=0.05)
