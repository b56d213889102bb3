"""Data sets of Hugging Face on disk: names of classes, splits, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddpm_core.errors import DataError
from tests.support.picture_sources import HUGGING_FACE, hugging_face_table, save_parquet, save_to_disk
from tests.support.pictures import Project, png, write

NAMES = ("zebra", "ant")
ROWS = [(png(1), 0), (png(2), 1), (png(3), -1), (png(4), 2), (png(5), None), (None, 0)]


@pytest.mark.parametrize("saved", [False, True])
def test_labels_are_the_names_in_the_metadata_and_other_labels_are_refused(tmp_path: Path, saved: bool) -> None:
    table = hugging_face_table(ROWS, NAMES)
    if saved:
        save_to_disk(tmp_path / "raw", table)
    else:
        save_parquet(tmp_path / "raw" / "all.parquet", table)
    project = Project(tmp_path)
    project.source = HUGGING_FACE
    manifest = project.prepare()
    assert manifest.spec.classes == NAMES
    assert {row.source.split(":")[1]: row.class_name for row in manifest.rows} == {"1": "zebra", "2": "ant"}
    reasons = {name.split(":")[1]: reason for name, reason in project.reasons().items()}
    assert reasons == {
        "3": "label -1 is none of 2",
        "4": "label 2 is none of 2",
        "5": "no label in its row",
        "6": "no picture in its row",
    }


def test_a_class_without_a_picture_is_told_and_is_none(tmp_path: Path) -> None:
    save_parquet(tmp_path / "raw" / "a.parquet", hugging_face_table([(png(1), 2)], ("a", "b", "c")))
    listing = HUGGING_FACE.listing(tmp_path)
    assert (listing.classes, listing.empty) == (("c",), ("a", "b"))


def test_the_names_of_files_and_folders_are_splits_where_that_is_asked_for(tmp_path: Path) -> None:
    save_parquet(tmp_path / "raw" / "train-00000-of-00001.parquet", hugging_face_table([(png(1), 0)], NAMES))
    save_parquet(tmp_path / "raw" / "validation-00000-of-00001.parquet", hugging_face_table([(png(2), 0)], NAMES))
    official = replace(HUGGING_FACE, split="official")
    assert [found.split for found in official.listing(tmp_path).found] == ["train", "test"]
    assert [found.split for found in HUGGING_FACE.listing(tmp_path).found] == [None, None]
    save_parquet(tmp_path / "raw" / "other.parquet", hugging_face_table([(png(3), 0)], NAMES))
    with pytest.raises(DataError, match=r"source\.split: official needs .*other\.parquet is not; set `split: digest`"):
        official.listing(tmp_path)


def test_a_dict_of_data_sets_is_read_with_its_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        save_to_disk(tmp_path / "raw" / split, hugging_face_table([(png(number), 0)], NAMES))
    (tmp_path / "raw" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = replace(HUGGING_FACE, split="official").listing(tmp_path).found
    assert [(each.name.split("/")[0], each.split) for each in found] == [("train", "train"), ("test", "test")]


def test_a_path_in_place_of_bytes_is_followed_inside_of_the_folder_only(tmp_path: Path) -> None:
    write(tmp_path, {"secret.png": png(9), "raw/data/1.png": png(1)})
    image = pa.array(
        [{"bytes": None, "path": "1.png"}, {"bytes": None, "path": "../../secret.png"}],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    save_parquet(tmp_path / "raw" / "data" / "a.parquet", pa.table({"image": image}))
    project = Project(tmp_path)
    project.source = replace(HUGGING_FACE, label_column=None)
    assert [row.source for row in project.prepare().rows] == ["data/a.parquet:1"]
    assert project.reasons()["data/a.parquet:2"].startswith("a path that leads out of source.path")


@pytest.mark.parametrize("twice", ["image", "label"])
def test_a_column_that_comes_twice_is_told(tmp_path: Path, twice: str) -> None:
    """Arrow allows two columns of one name, as a join of tables leaves them; which is meant nobody knows."""
    table = hugging_face_table([(png(1), 0)], NAMES)
    save_parquet(tmp_path / "raw" / "a.parquet", table.append_column(twice, table.column(twice)))
    with pytest.raises(
        DataError, match=rf"source\.{twice}_column: must be one column of .*, got '{twice}', .* comes 2 times"
    ):
        HUGGING_FACE.listing(tmp_path)
    save_parquet(
        tmp_path / "raw" / "a.parquet",
        table.append_column("more", table.column(0)).append_column("more", table.column(0)),
    )
    assert len(HUGGING_FACE.listing(tmp_path).found) == 1


def test_files_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    save_parquet(tmp_path / "raw" / "a.parquet", hugging_face_table([(png(1), 0)], NAMES))
    save_parquet(tmp_path / "raw" / "b.parquet", hugging_face_table([(png(1), 0)], NAMES[::-1]))
    with pytest.raises(DataError, match=r"all files in .* must name the same classes, but .*b\.parquet has"):
        HUGGING_FACE.listing(tmp_path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("[]", r"state\.json must be a JSON object, got list"),
        ("{", r"state\.json must be JSON, but"),
        ('{"_data_files": [{"filename": "../x.arrow"}]}', r"must name files in it, but it names '\.\./x\.arrow'"),
        (
            '{"_data_files": [{"filename": "x.arrow"}]}',
            r"x\.arrow must be a file of the data set, but the file was not",
        ),
        ("{}", "has neither Parquet files nor a state"),
    ],
)
def test_a_state_that_leads_nowhere_is_told(tmp_path: Path, state: str, message: str) -> None:
    write(tmp_path / "raw", {"state.json": state.encode()})
    with pytest.raises(DataError, match=message):
        HUGGING_FACE.listing(tmp_path)


def test_a_damaged_file_is_refused_whole_and_damaged_rows_by_themselves(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "raw" / "a.parquet", hugging_face_table([(png(n), 0) for n in range(4)], NAMES))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"a\.parquet must be a Parquet or Arrow file that can be read"):
        HUGGING_FACE.listing(tmp_path)
    first = pq.ParquetFile(pa.BufferReader(whole)).metadata.row_group(0).column(0)
    damaged = bytearray(whole)
    start = first.dictionary_page_offset or first.data_page_offset
    damaged[start : start + 8] = b"\xff" * 8
    path.write_bytes(damaged)
    project = Project(tmp_path)
    project.source = HUGGING_FACE
    assert len(project.prepare().rows) == 2
    assert sorted(project.reasons()) == ["a.parquet:1", "a.parquet:2"]
    assert all(reason.startswith("damaged inside a.parquet: ") for reason in project.reasons().values())
