"""What is known of a picture besides its class: the same columns in every form give the same conditions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.manifest import read_manifest
from pipelines.kinds.pictures.sources import Several
from pipelines.kinds.pictures.sources.several import Classes
from pipelines.shards.archive import read_split
from tests.support.picture_sources import HUGGING_FACE, SHARDS, TABLE, save_parquet, tar_bytes
from tests.support.pictures import Project, png, write

COLUMNS = {"colour": "c", "size": "s"}
# What the rows say of picture, label, colour, size and glasses; the third has no colour, the last a list for one.
ROWS: list[tuple[int, str, Any, Any, Any]] = [
    (1, "cat", "red", 10, True),
    (2, "cat", "blue", 2, False),
    (3, "dog", None, 2, None),
    (4, "dog", "blue", 10, True),
]
Make = Callable[[Path], Any]


def pictures() -> dict[str, bytes]:
    return {f"{number}.png": png(number) for number, *_ in ROWS}


def csv(root: Path) -> Any:
    lines = ["file,what,c,s,g", *(f"{n}.png,{what},{c or ''},{s},{'' if g is None else str(g).lower()}" for n, what, c, s, g in ROWS)]  # fmt: skip  # noqa: E501
    write(root / "raw", {**pictures(), "labels.csv": "\n".join(lines).encode()})
    return TABLE


def json_lines(root: Path) -> Any:
    lines = [json.dumps({"file": f"{n}.png", "what": what, "c": c, "s": s, "g": g}) for n, what, c, s, g in ROWS]
    write(root / "raw", {**pictures(), "labels.jsonl": "\n".join(lines).encode()})
    return replace(TABLE, table="labels.jsonl")


def columns() -> dict[str, Any]:
    _, what, c, s, g = zip(*ROWS, strict=True)
    return {"what": what, "c": c, "s": s, "g": g}


def parquet(root: Path) -> Any:
    save_parquet(root / "raw" / "all.pq", pa.table({"file": list(pictures().values()), **columns()}))
    return replace(TABLE, table="all.pq")


def hugging_face(root: Path) -> Any:
    """The colour as a ClassLabel with an order of its own."""
    table = pa.table({"image": list(pictures().values()), **columns()})
    at = table.schema.names.index("c")
    table = table.set_column(at, "c", pa.array([0, 1, None, 1]))
    features = {"c": {"names": ["red", "blue", "never"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    save_parquet(root / "raw" / "train.parquet", table)
    return replace(HUGGING_FACE, label_column="what")


def shards(root: Path) -> Any:
    members: dict[str, bytes] = {}
    for n, what, c, s, g in ROWS:
        members[f"{n}.png"] = png(n)
        members[f"{n}.json"] = json.dumps({"what": what, "c": c, "s": s, "g": g}).encode()
    write(root / "raw", {"0.tar": tar_bytes(members)})
    return replace(SHARDS, labels="json", json_key="what")


def several(root: Path) -> Any:
    """Two sources with columns of their own: what one calls c the other calls farbe, and it knows no size."""
    csv(root)
    (root / "raw").rename(root / "a")
    lines = ["bild,art,farbe", "5.png,dog,red"]
    write(root / "raw" / "b", {"5.png": png(5), "mehr.csv": "\n".join(lines).encode()})
    (root / "a").rename(root / "raw" / "a")
    first = replace(TABLE, path="a", attributes=COLUMNS)
    other = replace(
        TABLE, path="b", table="mehr.csv", picture_column="bild", label_column="art", attributes={"colour": "farbe"}
    )
    return Several("several", "raw", "refuse", Classes(None, {}), (first, other))


MAKERS: dict[str, Make] = {"csv": csv, "jsonl": json_lines, "parquet": parquet, "hugging face": hugging_face, "webdataset": shards}  # fmt: skip  # noqa: E501


def prepared(root: Path, source: Any) -> Project:
    project = Project(root)
    project.source = source
    project.prepare()
    return project


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_attributes_in_every_form_are_the_same_conditions(name: str, tmp_path: Path) -> None:
    source = replace(MAKERS[name](tmp_path), attributes={**COLUMNS, "glasses": "g"})
    project = prepared(tmp_path, source)
    manifest = read_manifest(project.paths.manifest)
    colours = ("red", "blue") if name == "hugging face" else ("blue", "red")
    assert {name: of.classes for name, of in manifest.spec.attributes.items()} == {
        "colour": colours, "size": ("2", "10"), "glasses": ("false", "true")
    }  # fmt: skip
    assert manifest.spec.classes == ("cat", "dog")
    said = {
        (row.class_name, *(None if row.told[key] < 0 else of.classes[row.told[key]]
                           for key, of in manifest.spec.attributes.items()))
        for row in manifest.rows
    }  # fmt: skip
    order = list(manifest.spec.attributes)
    told = [{"colour": c, "size": str(s), "glasses": None if g is None else str(g).lower()} for _, _, c, s, g in ROWS]
    assert said == {(what, *(of[key] for key in order)) for (_, what, *_), of in zip(ROWS, told, strict=True)}


def test_shards_hold_each_attribute_and_what_is_not_known_is_not_told(tmp_path: Path) -> None:
    project = prepared(tmp_path, replace(csv(tmp_path), attributes=COLUMNS))
    project.validate()
    project.shard()
    manifest = read_manifest(project.paths.manifest)
    for split in ("train", "test"):
        rows, found = manifest.of_split(split), read_split(project.paths.shards, split)
        assert found.keys == [row.key for row in rows]
        for name, of in manifest.spec.attributes.items():
            assert found.cond[name].tolist() == [
                len(of.classes) if row.told[name] < 0 else row.told[name] for row in rows
            ]


def test_a_source_without_attributes_writes_the_manifest_that_it_always_wrote(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    project = prepared(tmp_path, csv(tmp_path))
    names = pq.read_schema(project.paths.manifest).names
    assert not [name for name in names if name.startswith("told")]
    assert names[:9] == ["key", "path", "label", "class_name", "split", "sha256", "source_sha256", "content_sha256", "source"]  # fmt: skip  # noqa: E501


def test_sources_with_columns_of_their_own_are_one_data_set(tmp_path: Path) -> None:
    project = prepared(tmp_path, several(tmp_path))
    manifest = read_manifest(project.paths.manifest)
    assert manifest.spec.attributes["colour"].classes == ("blue", "red")
    (last,) = [row for row in manifest.rows if row.source == "b/mehr.csv:1"]
    assert last.class_name == "dog"
    assert last.told == {"colour": 1, "size": -1}


def test_a_cell_that_is_no_class_puts_its_row_into_quarantine(tmp_path: Path) -> None:
    lines = [json.dumps({"file": f"{n}.png", "what": "cat", "c": c}) for n, c in ((1, "red"), (2, 1.5), (3, ["red"]))]
    write(tmp_path / "raw", {**pictures(), "labels.jsonl": "\n".join(lines).encode()})
    project = prepared(tmp_path, replace(TABLE, table="labels.jsonl", attributes={"colour": "c"}))
    must = "attribute 'colour' must be text, a whole number, or true or false, got"
    assert project.reasons() == {
        "labels.jsonl:2": f"{must} '1.5' in its row",
        "labels.jsonl:3": f"""{must} "['red']" in its row""",
    }


def test_a_number_that_is_none_of_the_names_puts_its_row_into_quarantine(tmp_path: Path) -> None:
    source = hugging_face(tmp_path)
    path = tmp_path / "raw" / "train.parquet"
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    save_parquet(path, table.set_column(table.schema.names.index("c"), "c", pa.array([0, 1, None, 3])))
    project = prepared(tmp_path, replace(source, attributes=COLUMNS))
    assert project.reasons() == {"train.parquet:4": "label 3 is none of 3"}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"colour": "nowhere"}, r"source\.attributes\.colour: must be a column of .*, got 'nowhere'"),
        ({"colour": "empty"}, r"source\.attributes\.colour: must be known of some pictures, but no row says it"),
    ],
)
def test_a_column_that_is_not_there_or_says_nothing_is_refused_by_name(
    attributes: dict[str, str], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "raw", {**pictures(), "labels.csv": b"file,what,empty\n1.png,cat,\n2.png,dog,\n"})
    with pytest.raises(DataError, match=message):
        replace(TABLE, attributes=attributes).listing(tmp_path)


@pytest.mark.parametrize("name", ["label", "Colour", "a b", "x", "", "2nd", "present", "a.b"])
def test_a_name_that_cannot_be_a_condition_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="attributes: must be columns by a name of your own"):
        replace(TABLE, attributes={name: "c"})


def test_attributes_need_a_label_and_in_shards_json() -> None:
    with pytest.raises(ParamsError, match="label_column: must be given where there are attributes"):
        replace(TABLE, label_column=None, attributes=COLUMNS)
    with pytest.raises(ParamsError, match="attributes: must be none unless labels is json"):
        replace(SHARDS, attributes=COLUMNS)


def test_the_contract_counts_the_classes_of_each_attribute(tmp_path: Path) -> None:
    project = prepared(tmp_path, replace(csv(tmp_path), attributes=COLUMNS))
    project.validate()
    record = json.loads(project.paths.contract.read_bytes())
    counted = {row["class_name"]: row["train"] + row["test"] for row in record["classes"]}
    assert counted == {"cat": 2, "dog": 2, "colour=blue": 2, "colour=red": 1, "size=2": 2, "size=10": 2}
