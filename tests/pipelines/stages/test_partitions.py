"""Stages prepare and shard in partitions: the same data as in one piece, resumed, and only what changed done again."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from ddpm_core.files import sha256_file
from pipelines.kinds import kind_of, partitioned
from pipelines.kinds.manifest import HEAD, manifest_digest, part_file, read_manifest, read_partition
from pipelines.kinds.pictures.rows import partition
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.kinds.pictures.rows.rules import SourcePicture
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.series import Series
from pipelines.partitions.runner import Runner
from pipelines.shards.archive import read_split
from tests.support.partitioned import EACH, MEAN, described, files, packed, project_of
from tests.support.pictures import Project, png, write


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions in this process: a worker takes a second to start."""

    def mapped(self: Runner, work: Callable[[Any], Any], items: Any, what: str) -> list[Any]:
        return [work(item) for item in items]

    monkeypatch.setattr(Runner, "map", mapped)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that were decoded."""
    names: list[str] = []
    whole = partition.outcome_of

    def noted(found: SourcePicture, *rest: Any) -> Accepted | Rejected:
        names.append(found.name)
        return whole(found, *rest)

    monkeypatch.setattr(partition, "outcome_of", noted)
    return names


HOSTILE = {
    **files(),
    "b/copy.png": png(ord("a")),  # of a/0000.png, with a label of its own
    "a/words.png": b"a text",
    "b/empty.png": b"",
    "stray.png": png(5),
}


def test_partitions_give_the_same_rows_as_one_piece(tmp_path: Path) -> None:
    whole, parts = project_of(tmp_path / "1", HOSTILE, None), project_of(tmp_path / "2", HOSTILE)
    one, many = whole.prepare(), parts.prepare()
    assert len(many.partitions) > 5
    assert (one.counts, one.spec, one.empty_folders) == (many.counts, many.spec, many.empty_folders)
    assert whole.reasons() == parts.reasons()
    keys_of_copies = {"0000.png", "copy.png"}  # which of two copies is the first may differ
    rest = [{row for row in described(each) if row[4].split("/")[1] not in keys_of_copies} for each in (one, many)]
    assert rest[0] == rest[1]
    assert len({row.key for row in many.rows}) == len(many.rows)


def test_equal_contents_lie_on_one_side_whatever_their_partition(tmp_path: Path) -> None:
    copies = {f"a/{number:04d}.png": png(number % 7) for number in range(80)}
    manifest = project_of(tmp_path, {**copies, "b/1.png": png(99)}).prepare()
    sides: dict[str, set[str]] = {}
    for row in manifest.rows:
        sides.setdefault(row.content_sha256, set()).add(row.split)
    assert len(manifest.partitions) > 3
    assert all(len(each) == 1 for each in sides.values())
    assert len({row.key for row in manifest.rows}) == 81


def test_every_example_is_in_a_shard_of_its_split(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    manifest = project.prepare()
    project.validate()
    project.shard()
    for split in ("train", "test"):
        rows = {row.key: row for row in manifest.of_split(split)}
        read = read_split(project.paths.shards, split)
        assert sorted(read.keys) == sorted(rows)
        for key, label, image in zip(read.keys, read.cond["label"], read.x, strict=True):
            row = rows[key]
            tar, _, place = row.path.partition("#")
            start, size = map(int, place.split("+"))
            data = (project.paths.prepared / tar).read_bytes()[start : start + size]
            assert label == row.label
            assert np.array_equal(image, decode_png(data))


def test_classes_mix_in_every_partition(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    manifest = project.prepare()
    row_type = kind_of("pictures").row_type()
    parts = [read_partition(project.paths.manifest, name, row_type) for name in manifest.partitions]
    groups = [{row.label for row in rows} for rows in parts]
    assert groups.count({0, 1}) >= len(groups) - 2


def test_twice_the_same_bytes_and_nothing_decoded_again(tmp_path: Path, decoded: list[str]) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    shards, before = packed(project), manifest_digest(project.paths.manifest)
    assert len(decoded) == 2 * EACH
    project.prepare()
    assert (packed(project), manifest_digest(project.paths.manifest)) == (shards, before)
    assert len(decoded) == 2 * EACH


def test_a_store_of_its_own_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = project_of(tmp_path / "1", files()), project_of(tmp_path / "2", files())
    one.prepare()
    two.prepare()
    assert packed(one) == packed(two)
    assert manifest_digest(one.paths.manifest) == manifest_digest(two.paths.manifest)


def test_new_pictures_change_only_the_shards_they_fall_into(tmp_path: Path, decoded: list[str]) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    before, rows = packed(project), written(project)
    write(project.raw, files(EACH, EACH + 3))
    decoded.clear()
    project.prepare()
    after = packed(project)
    kept = set(before.items()) & set(after.items())
    assert len(kept) >= len(before) - 4
    assert len(set(rows.items()) - set(written(project).items())) <= 3  # two partitions and what holds for all
    assert len(decoded) < 4 * MEAN
    fresh = project_of(tmp_path / "fresh", files(0, EACH + 3))
    fresh.prepare()
    assert packed(fresh) == after  # no history in the bytes


def test_a_run_that_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = project_of(tmp_path / "1", files())
    undisturbed.prepare()
    project = project_of(tmp_path / "2", files())
    decoded.clear()
    whole = partition.write_partition

    def ending(*arguments: Any) -> None:
        if len(decoded) > EACH:
            raise KeyboardInterrupt
        whole(*arguments)

    monkeypatch.setattr(partition, "write_partition", ending)
    with pytest.raises(KeyboardInterrupt):
        project.prepare()
    assert not project.paths.manifest.exists()
    finished = len(decoded)
    monkeypatch.setattr(partition, "write_partition", whole)
    project.prepare()
    assert len(decoded) == 2 * EACH > finished
    assert manifest_digest(project.paths.manifest) == manifest_digest(undisturbed.paths.manifest)


def test_a_picture_of_new_bytes_under_an_old_name_is_seen(tmp_path: Path, decoded: list[str]) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    picture = project.raw / "a" / "0030.png"
    before = picture.stat()
    picture.write_bytes(png(9_999)[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    decoded.clear()
    project.prepare()
    assert "a/0030.png" in decoded
    assert len(decoded) < 4 * MEAN


def test_a_picture_that_moves_to_another_class_has_its_label_in_the_shard(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    before = packed(project)
    (project.raw / "a" / "0030.png").rename(project.raw / "b" / "0030x.png")
    row = next(row for row in project.prepare().rows if row.source == "b/0030x.png")
    assert packed(project) != before
    read = read_split(project.paths.shards, row.split)
    assert read.cond["label"][read.keys.index(row.key)] == 1


def test_pieces_and_partitions_take_each_others_place(tmp_path: Path) -> None:
    project, rows = project_of(tmp_path, files(0, 20)), []
    for mean in (MEAN, None, MEAN):
        project.examples = mean
        manifest = project.prepare()
        assert bool(manifest.partitions) == (mean is not None) == project.paths.manifest.is_dir()
        rows.append(described(manifest))
    assert rows[0] == rows[1] == rows[2]


def test_a_manifest_without_one_of_its_files_is_told(tmp_path: Path) -> None:
    project = project_of(tmp_path, files(0, 20))
    name = project.prepare().partitions[0]
    part_file(project.paths.manifest, name).unlink()
    with pytest.raises(IntegrityError, match=rf"must be a manifest that prepare wrote, but .*{name}"):
        read_manifest(project.paths.manifest)


def damaged(place: Path) -> None:
    data = place.read_bytes()
    place.write_bytes(data[:60] + bytes(100) + data[160:])


def without_labels(place: Path) -> None:
    pq.write_table(pq.read_table(place).drop_columns(["label"]), place)


@pytest.mark.parametrize("harm", [damaged, without_labels])
def test_a_file_of_a_manifest_that_is_not_what_prepare_wrote_is_told(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    project = project_of(tmp_path, files(0, 20))
    name = project.prepare().partitions[0]
    harm(part_file(project.paths.manifest, name))
    for stage in (project.validate, lambda: packed(project)):
        with pytest.raises(IntegrityError, match=rf"{name}.parquet: must be a manifest that prepare wrote"):
            stage()


@pytest.mark.parametrize("head", ["[" * 100_000, '{"spec": SPEC, "counts": COUNTS, "empty_folders": null}'])
def test_what_holds_for_all_rows_of_a_manifest_must_be_what_prepare_wrote(tmp_path: Path, head: str) -> None:
    project = project_of(tmp_path, files(0, 5))
    project.prepare()
    place = project.paths.manifest / HEAD
    about = json.loads(place.read_bytes())
    for name in ("spec", "counts"):
        head = head.replace(name.upper(), json.dumps(about[name]))
    place.write_text(head)
    with pytest.raises(IntegrityError, match="must be a manifest that prepare wrote"):
        read_manifest(project.paths.manifest)


def test_a_folder_in_the_folder_of_a_manifest_counts_by_its_files(tmp_path: Path) -> None:
    project = project_of(tmp_path, files(0, 5))
    project.prepare()
    before = manifest_digest(project.paths.manifest)
    inner = project.paths.manifest / ".ipynb_checkpoints"
    inner.mkdir()
    assert manifest_digest(project.paths.manifest) == before
    (inner / "1").touch()
    assert manifest_digest(project.paths.manifest) != before


def test_other_programs_read_the_folder_as_one_table(tmp_path: Path) -> None:
    project = project_of(tmp_path, files(0, 20))
    keys = [row.key for row in project.prepare().rows]
    assert sorted(pq.read_table(project.paths.manifest)["key"].to_pylist()) == sorted(keys)


def written(project: Project) -> dict[str, str]:
    """The manifest's files, each with its digest."""
    return {place.name: sha256_file(place) for place in project.paths.manifest.iterdir()}


def test_rules_that_change_make_all_anew(tmp_path: Path, decoded: list[str]) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    decoded.clear()
    project.source = replace(project.source, resolution=6)
    assert project.prepare().spec.shape == (3, 6, 6)
    assert len(decoded) == 2 * EACH


def test_a_finished_partition_that_was_damaged_is_made_anew(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    before = packed(project)
    for place in project.paths.partitions.rglob("*.tar"):
        data = bytearray(place.read_bytes())
        data[600] ^= 1
        place.unlink()
        place.write_bytes(bytes(data))
    project.prepare()
    assert packed(project) == before
    assert {name: sha256_file(project.paths.shards / name) for name in before} == before  # and not the index alone


def test_the_store_keeps_what_is_used_and_nothing_else(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    for mean in (MEAN, 3 * MEAN):
        project.examples = mean
        manifest = project.prepare()
        packed(project)
        for stage in ("prepare", "shard"):
            kept = [place for place in (project.paths.partitions / stage).iterdir() if place.name != ".lock"]
            assert len(kept) == len(manifest.partitions)


def test_data_that_are_damaged_after_prepare_are_told(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    project.prepare()
    place = next(iter(project.paths.prepared.glob("*.tar")))
    data = bytearray(place.read_bytes())
    data[600] ^= 1
    place.unlink()
    place.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"its SHA-256 must be .*, as the manifest says"):
        packed(project)
    place.unlink()
    with pytest.raises(IntegrityError, match="the manifest lists this file, but it is missing"):
        packed(project)


def test_bytes_of_refused_pictures_are_held_for_the_quarantine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioned, "KEPT_FILES", 7)
    project = project_of(tmp_path, {**files(0, 5), **{f"a/x{number:03d}.png": b"%d" % number for number in range(60)}})
    project.prepare()
    places = [place for place in (project.paths.partitions / "prepare").iterdir() if place.is_dir()]
    counts, rejected = partitioned.counted(places)
    assert counts.quarantined == len(rejected) == len(project.reasons()) == 60
    assert [each.data is not None for each in rejected] == [True] * 7 + [False] * 53


def test_pictures_that_cannot_be_used_at_all_are_an_error(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"a/1.png": b"words", "a/2.png": b"more"})
    with pytest.raises(DataError, match=r"at least one example .* all 2 were refused"):
        project.prepare()
    assert not project.paths.prepared.exists()
    assert not project.paths.manifest.exists()


def test_rows_are_read_by_place_and_by_slice(tmp_path: Path) -> None:
    rows = project_of(tmp_path, files()).prepare().rows
    every = list(rows)
    assert len(rows) == len(every) == 2 * EACH
    assert [rows[number] for number in (0, 57, -1)] == [every[0], every[57], every[-1]]
    assert rows[5:60:7] == every[5:60:7]


def test_a_kind_without_partitions_says_so() -> None:
    assert isinstance(kind_of("series"), Series)
    with pytest.raises(ParamsError, match=r"partition\.pictures: must be null for kind series"):
        kind_of("series").partition_plan(None, None, Path(), 10)


def test_clusters_are_of_all_pictures_so_partitions_refuse_them(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    project.source = replace(project.source, labels="none", clusters=4)
    with pytest.raises(ParamsError, match=r"source\.clusters: must be null .* \(partition\.pictures: 10\), got 4"):
        project.prepare()
