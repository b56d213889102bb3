"""What depends on all pictures, near duplicates and attributes, is the same in partitions as in one piece."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddpm_core.files import sha256_bytes
from pipelines.kinds.manifest import Manifest
from pipelines.kinds.pictures.rows.likeness import first_alike
from pipelines.kinds.split import PictureSplit
from pipelines.kinds.together import together
from pipelines.shards.archive import read_split
from tests.support.partitioned import described, files, packed, project_of
from tests.support.picture_sources import TABLE
from tests.support.pictures import Project, brighter, png, write

ALONE = files(0, 40)
# Copies far from their like, the second one of another class and a copy of a copy; flat ones are like nothing.
LIKE = {
    **{f"a/9{number:03d}.png": brighter(ALONE[f"a/{number:04d}.png"], 7) for number in range(20)},
    **{f"b/8{number:03d}.png": brighter(ALONE[f"a/{number:04d}.png"], 12) for number in range(0, 20, 2)},
    **{f"b/7{number:03d}.png": brighter(png(number), 99) for number in range(5)},
}


def prepared(root: Path, pictures: dict[str, bytes], mean: int | None, look: str = "together") -> Project:
    project = project_of(root, pictures, mean)
    project.split = replace(project.split, near_duplicates=look)
    project.prepare()
    return project


def groups(manifest: Manifest) -> dict[str, str]:
    return {row.source: row.group for row in manifest.rows}


def test_near_duplicates_have_the_groups_and_sides_of_one_piece(tmp_path: Path) -> None:
    one, many = (prepared(tmp_path / str(mean), ALONE | LIKE, mean).manifest for mean in (None, 10))
    assert len(many.partitions) > 5
    assert groups(many) == groups(one)
    assert sum(bool(group) for group in groups(many).values()) == 50
    assert described(many) == described(one)
    sides: dict[str, set[str]] = {}
    for row in many.rows:
        sides.setdefault(row.group, set()).add(row.split)
    assert all(len(each) == 1 for group, each in sides.items() if group)


def test_the_contract_finds_what_it_finds_in_one_piece(tmp_path: Path) -> None:
    """Copies of near duplicates too, of which those of one content can lie between those of another."""
    copies = {f"{name[0]}/6{name[3:]}": data for name, data in (ALONE | LIKE).items() if name[2] in "89"}
    found = []
    for mean in (None, 4):
        project = prepared(tmp_path / str(mean), ALONE | LIKE | copies, mean)
        project.contract = replace(project.contract, max_near_duplicate_share=0.0)
        project.validate()
        judged = json.loads(project.paths.contract.read_bytes())["expectations"]
        found.append([(each["column"], each["found"], each["breaches"]) for each in judged])
    assert found[1] == found[0]


def test_ignored_near_duplicates_have_no_group(tmp_path: Path) -> None:
    assert set(groups(prepared(tmp_path, ALONE | LIKE, 10, "ignore").manifest).values()) == {""}


def test_a_near_duplicate_that_comes_changes_its_like_and_no_other_shard(tmp_path: Path) -> None:
    project = prepared(tmp_path, ALONE, 10)
    before = packed(project)
    write(project.raw, {"a/9000.png": LIKE["a/9000.png"]})
    manifest = project.prepare()
    assert sum(bool(group) for group in groups(manifest).values()) == 2
    assert len(set(before.items()) - set(packed(project).items())) <= 6  # two partitions and what a cut moves


def test_a_side_that_the_source_names_holds_for_the_group(tmp_path: Path) -> None:
    """One of a group in train takes all of it there."""
    project = prepared(tmp_path, ALONE | LIKE, 10)
    tables = [place / "rows.parquet" for place in (project.paths.partitions / "prepare").iterdir() if place.is_dir()]
    known = together(tables, PictureSplit(0, 0.999999, "together"), first_alike)
    assert not known.train.any()
    _say(tables, 0, "train")
    told = together(tables, PictureSplit(0, 0.999999, "together"), first_alike)
    of_group = known.group == known.group[0] if known.group[0] else [True] + [False] * (len(known.train) - 1)
    assert told.train.tolist() == list(map(bool, of_group))


def test_no_data_are_none_together() -> None:
    known = together([], PictureSplit(0, 0.5, "together"), first_alike)
    assert not len(known.train) + len(known.copies) + len(known.group)


def with_colours(project: Project, colours: dict[int, int]) -> Manifest:
    """Prepared and packed: picture n has label n modulo 2, and a colour unless that is 0."""
    lines = ["file,what,c", *(f"{n}.png,{n % 2},{colour or ''}" for n, colour in colours.items())]
    write(project.raw, {**{f"{n}.png": png(n) for n in colours}, "labels.csv": "\n".join(lines).encode()})
    project.source = replace(TABLE, attributes={"colour": "c"})
    return project.prepare()


def colours_in_shards(project: Project) -> dict[str, int]:
    packed(project)
    read = [read_split(project.paths.shards, split) for split in ("train", "test")]
    return {key: int(colour) for each in read for key, colour in zip(each.keys, each.cond["colour"], strict=True)}


@pytest.mark.parametrize("mean", [None, 4])
def test_attributes_reach_the_shards(tmp_path: Path, mean: int | None) -> None:
    project, colours = project_of(tmp_path, {}, mean), {n: n % 3 for n in range(30)}
    keys = {n: sha256_bytes(png(n))[:16] for n in colours}
    manifest = with_colours(project, colours)
    assert manifest.spec.attributes["colour"].classes == ("1", "2")
    assert {row.key: row.label for row in manifest.rows} == {keys[n]: n % 2 for n in colours}
    assert colours_in_shards(project) == {keys[n]: (c or 3) - 1 for n, c in colours.items()}  # 2 stands for none
    colours[7] = 2
    with_colours(project, colours)
    assert colours_in_shards(project)[keys[7]] == 1  # though its bytes are as before


def _say(tables: list[Path], row: int, side: str) -> None:
    """Let the source name the side of a row of the first table."""
    table = pq.read_table(tables[0])
    said = table["side"].to_pylist()
    said[row] = side
    pq.write_table(table.set_column(table.schema.get_field_index("side"), "side", pa.array(said)), tables[0])
