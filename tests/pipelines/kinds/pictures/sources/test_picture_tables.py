"""A table of pictures: what is a row, what is refused, and that nothing outside of the folder is read."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds import kind_of
from tests.support.picture_sources import TABLE, save_parquet
from tests.support.pictures import Project, png, write


def prepared(tmp_path: Path, lines: bytes, **changes: object) -> Project:
    write(tmp_path / "raw", {"1.png": png(1), "2.png": png(2), str(changes.get("table", "labels.csv")): lines})
    project = Project(tmp_path)
    project.source = replace(TABLE, **changes)  # type: ignore[arg-type]
    return project


def test_rows_that_cannot_be_used_say_why_each(tmp_path: Path) -> None:
    write(tmp_path, {"secret.png": png(9)})
    project = prepared(
        tmp_path,
        b"\xef\xbb\xbffile,what\n1.png,cat\n,cat\n2.png\n2.png,\n../secret.png,cat\n/etc/passwd,cat\nmissing.png,cat\n"
        b"\xff\xfe,cat\n" + b"x" * 300 + b",cat\n" + b'"2.png,dog\n',
    )
    (tmp_path / "raw" / "out.png").symlink_to(tmp_path / "secret.png")
    with (tmp_path / "raw" / "labels.csv").open("ab") as file:
        file.write(b"out.png,cat\n.,cat\n")
    manifest = project.prepare()
    assert [(row.source, row.class_name) for row in manifest.rows] == [("labels.csv:1", "cat")]
    reasons = project.reasons()
    assert (manifest.counts.found, len(reasons)) == (12, 11)
    assert reasons["labels.csv:2"] == "no path in its column 'file'"
    assert reasons["labels.csv:3"] == "1 cells in a table of 2 columns"
    assert reasons["labels.csv:4"] == "no label in its row"
    assert reasons["labels.csv:5"] == reasons["labels.csv:6"]
    assert reasons["labels.csv:6"].startswith("a path that leads out of source.path")
    assert reasons["labels.csv:7"] == "file not found"
    assert reasons["labels.csv:8"] == "not UTF-8 at byte 1"
    assert reasons["labels.csv:9"] == "file not found"
    assert reasons["labels.csv:10"].startswith("not a row of CSV")
    assert reasons["labels.csv:11"].startswith("a link that leads out of source.path")
    assert reasons["labels.csv:12"] == "no path of a picture in its row"


def test_rows_of_json_lines_that_cannot_be_used_say_why_each(tmp_path: Path) -> None:
    lines = [b'{"file": "1.png", "what": 7}', b"[1]", b"{", b"[" * 100_000, b'{"file": 3, "what": "cat"}',
             b'{"file": "2.png", "what": true}',
             b'{"file": "\\ud800.png", "what": "\\ud800"}', b'{"what": ' + b"9" * 5_000 + b"}"]  # fmt: skip
    project = prepared(tmp_path, b"\n\n".join(lines), table="labels.jsonl")
    manifest = project.prepare()
    assert ([row.class_name for row in manifest.rows], manifest.spec.classes) == (["7"], ("7", "\\ud800"))
    reasons = project.reasons()
    assert (manifest.counts.found, manifest.counts.quarantined) == (8, 7)
    assert reasons["labels.jsonl:2"] == "not a row of JSON lines: must be an object, got list"
    assert reasons["labels.jsonl:3"].startswith("not a row of JSON lines: Expecting property name")
    assert reasons["labels.jsonl:4"] == "not a row of JSON lines: nested too deeply"
    assert reasons["labels.jsonl:5"] == "no path in its column 'file'"
    assert reasons["labels.jsonl:6"] == "no label in its row"
    assert reasons["labels.jsonl:7"] == "file not found"
    assert reasons["labels.jsonl:8"].startswith("not a row of JSON lines: ")


def test_whole_numbers_are_classes_in_the_order_of_their_values(tmp_path: Path) -> None:
    project = prepared(tmp_path, b"file,what\n1.png,10\n2.png,9\n")
    assert project.prepare().spec.classes == ("9", "10")


def test_without_a_column_of_labels_there_are_none(tmp_path: Path) -> None:
    project = prepared(tmp_path, b"file;n\n1.png;1\n2.png;1\n", label_column=None, delimiter=";")
    assert {row.label for row in project.prepare().rows} == {-1}


def test_cells_of_parquet_without_a_picture_are_refused(tmp_path: Path) -> None:
    table = pa.table({"picture": pa.array([png(1), None, b"", bytes(2_000_000)], pa.large_binary())})
    save_parquet(tmp_path / "raw" / "all.parquet", table)
    project = Project(tmp_path)
    project.source = replace(TABLE, table="all.parquet", picture_column="picture", label_column=None)
    assert len(project.prepare().rows) == 1
    assert project.reasons() == {
        "all.parquet:2": "no picture in its row",
        "all.parquet:3": "an empty file",
        "all.parquet:4": "2000000 bytes, more than the 1000000 that max_megabytes allows",
    }


def test_rows_are_read_in_any_order_and_a_changed_file_is_told(tmp_path: Path) -> None:
    names = [png(seed) for seed in range(70)]
    path = save_parquet(tmp_path / "raw" / "all.parquet", pa.table({"picture": names}), rows=30)
    source = replace(TABLE, table="all.parquet", picture_column="picture", label_column=None)
    found = source.listing(tmp_path).found
    for row in (*range(70), 0, 69, 29, 30, 31, 5, 68):
        assert found[row].content.read(10_000) == names[row]  # type: ignore[union-attr]
    save_parquet(path, pa.table({"picture": names[::-1]}), rows=20)
    with pytest.raises(DataError, match="was changed while it was read"):
        found[0].content.read(10_000)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"", r"source\.picture_column: must be a column of .*, got 'file'; it has \[\]"),
        (b"name,what\n", r"source\.picture_column: .*'name', 'what'"),
        (b"file,file,what\n", r"source\.picture_column: "),
        (b"file,label\n", r"source\.label_column: "),
        (b"file,what\n", r"source\.table: .* must have a row"),
        (b"file,what\n" + b"x" * 10_000_001, r"source\.table: .*lines of at most 10000000 bytes"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path: Path, lines: bytes, message: str) -> None:
    project = prepared(tmp_path, lines)
    of_a_column = "column" in message
    with pytest.raises(ParamsError if of_a_column else DataError, match=message):
        project.prepare()
    if of_a_column:
        with pytest.raises(ParamsError, match=message):
            kind_of("pictures").check_source(project.source, tmp_path)


def test_a_table_that_is_not_there_is_a_bad_parameter(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(ParamsError, match=r"source\.table: .*labels.csv must be a table, but the file was not found"):
        kind_of("pictures").check_source(TABLE, tmp_path)


def test_a_column_of_another_type_is_told(tmp_path: Path) -> None:
    save_parquet(tmp_path / "raw" / "t.parquet", pa.table({"file": [1.5], "what": [[1]]}))
    with pytest.raises(DataError, match=r"source\.picture_column: must be a column of bytes.* of type double"):
        replace(TABLE, table="t.parquet").listing(tmp_path)


@pytest.mark.parametrize("table", ["labels.txt", "/labels.csv", "../labels.csv", "a/../../labels.csv"])
def test_a_table_outside_of_the_folder_is_refused(table: str) -> None:
    with pytest.raises(ParamsError, match=r"table: must be a path below source\.path"):
        replace(TABLE, table=table)
