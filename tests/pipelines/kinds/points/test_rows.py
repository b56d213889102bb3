"""From a source to points.csv, its manifest and its examples: keys, sides, scaling, digests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.spec import DataSpec
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import read_manifest, write_manifest
from pipelines.kinds.points import Points
from pipelines.kinds.points.rows.table import TABLE, PointRow
from pipelines.kinds.points.sources import TwoMoons
from pipelines.kinds.prepared import Prepared
from pipelines.kinds.split import SplitConfig, split_of
from tests.pipelines.kinds.points.test_sources import MOONS, source

SPLIT = SplitConfig(0, 0.25)
POINTS = Points()


def prepared(folder: Path, of: Any = MOONS, root: Path = Path()) -> Prepared:
    return POINTS.prepare(of, SPLIT, folder, root, 1)


def of_text(folder: Path, text: str, **changes: Any) -> Prepared:
    (folder / "data.csv").write_text(text)
    return prepared(folder, source(**changes), folder)


def test_the_kind_is_known_by_its_name() -> None:
    assert isinstance(kind_of("points"), Points)


def test_in_is_accepted_and_quarantined(tmp_path: Path) -> None:
    found = of_text(tmp_path, "x,y\n1,2\n2,oops\n3,4\n5,6\nnan,1\n" + "".join(f"{x},{x % 7}\n" for x in range(20)))
    counts = found.manifest.counts
    assert (counts.found, counts.accepted, counts.quarantined) == (25, 23, 2)
    assert [each.name for each in found.rejected] == ["data.csv:3", "data.csv:6"]


def test_a_copy_has_the_key_of_the_first_with_a_number(tmp_path: Path) -> None:
    rows = of_text(tmp_path, "x,y\n1,2\n3,4\n1,2\n1.0,2.0\n").manifest.rows
    keys = sorted(row.key for row in rows if row.x == 1)
    assert keys == [keys[0], f"{keys[0]}-1", f"{keys[0]}-2"]
    assert len(keys[0]) == 16
    assert [row.key for row in rows] == sorted(row.key for row in rows)


def test_equal_points_lie_on_one_side_whatever_their_class_and_adding_points_moves_none(tmp_path: Path) -> None:
    lines = [f"{x},{x * x},{c}" for x in range(40) for c in "ab"]
    few = of_text(tmp_path, "\n".join(["x,y,c", *lines[:40]]), class_column="c").manifest.rows
    rows = of_text(tmp_path, "\n".join(["x,y,c", *lines]), class_column="c").manifest.rows
    sides = {(row.x, row.y): {other.split for other in rows if other.x == row.x} for row in rows}
    assert all(len(side) == 1 for side in sides.values())
    assert {row.split for row in rows} == {"train", "test"}
    assert {row.key: row.split for row in few}.items() <= {row.key: row.split for row in rows}.items()
    assert all(row.split == split_of(row.content_sha256, SPLIT) for row in rows)


def test_the_spec_scales_by_the_training_points_and_back(tmp_path: Path) -> None:
    manifest = prepared(tmp_path).manifest
    spec = manifest.spec
    assert (spec.shape, spec.range, spec.levels, spec.kind, spec.dtype) == ((2,), None, None, "points", "float32")
    assert spec.classes == ("lower", "upper")
    x = np.array([(row.x, row.y) for row in manifest.rows], dtype=np.float32)
    train = np.array([row.split == "train" for row in manifest.rows])
    seen = spec.encode(x)
    np.testing.assert_allclose(seen[train].mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(seen[train].std(axis=0), 1.0, atol=1e-6)
    assert abs(seen[~train].mean(axis=0)).max() > 1e-6  # unseen points take no part
    np.testing.assert_allclose(spec.decode(seen), x, rtol=1e-6, atol=1e-6)
    assert DataSpec.from_dict(spec.to_dict()) == spec


def test_points_without_classes_have_no_condition(tmp_path: Path) -> None:
    manifest = of_text(tmp_path, "x,y\n1,2\n2,3\n3,5\n4,1\n").manifest
    assert manifest.spec.conditions == {}
    assert {(row.label, row.class_name) for row in manifest.rows} == {(-1, "")}
    assert all(set(each.arrays) == {"x"} for each in POINTS.examples(tmp_path, manifest.rows, manifest.spec))


@pytest.mark.parametrize(("text", "axis"), [("x,y\n1,2\n1,3\n1,5\n", "x"), ("x,y\n1,2\n2,2\n3,2\n", "y")])
def test_a_column_of_one_value_is_refused_by_its_name(text: str, axis: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"source.{axis}: .* must differ along {axis}"):
        of_text(tmp_path, text)


def test_the_farthest_point_is_told_in_standard_deviations(tmp_path: Path) -> None:
    lines = [f"{x % 7},{x % 5}" for x in range(200)]
    rows = of_text(tmp_path, "\n".join(["x,y", *lines, "3,-9999"])).manifest.rows
    far = max(rows, key=lambda row: row.deviations)
    assert far.y == -9999
    assert far.deviations > 10
    assert sorted(row.deviations for row in rows)[-2] < 2


def test_the_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = prepared(tmp_path).manifest
    write_manifest(tmp_path / "manifest.parquet", manifest)
    again = read_manifest(tmp_path / "manifest.parquet")
    assert list(again.rows) == list(manifest.rows)
    assert again.spec == manifest.spec
    assert isinstance(again.rows[0], PointRow)


def test_examples_are_the_very_points_of_the_manifest(tmp_path: Path) -> None:
    manifest = prepared(tmp_path).manifest
    found = list(POINTS.examples(tmp_path, manifest.rows, manifest.spec))
    assert [each.key for each in found] == [row.key for row in manifest.rows]
    for each, row in zip(found, manifest.rows, strict=True):
        assert each.arrays["x"].dtype == np.float32
        assert tuple(each.arrays["x"].tolist()) == (row.x, row.y)
        assert each.arrays["label"] == row.label


def test_prepared_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        prepared(folder)
    assert (first / TABLE).read_bytes() == (second / TABLE).read_bytes()
    (second / "c").mkdir()
    prepared(second / "c", replace(MOONS, seed=1))
    assert (first / TABLE).read_bytes() != (second / "c" / TABLE).read_bytes()


def test_a_table_that_was_changed_or_is_gone_is_refused(tmp_path: Path) -> None:
    manifest = prepared(tmp_path).manifest
    path = tmp_path / TABLE
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(IntegrityError, match=rf"{TABLE}: its SHA-256 must be {manifest.rows[0].sha256}"):
        list(POINTS.examples(tmp_path, manifest.rows, manifest.spec))
    path.unlink()
    with pytest.raises(IntegrityError, match=rf"{TABLE}: the manifest lists this file"):
        list(POINTS.examples(tmp_path, manifest.rows, manifest.spec))


def test_a_first_batch_of_one_point_repeated_teaches_nothing(tmp_path: Path) -> None:
    spec = prepared(tmp_path).manifest.spec
    POINTS.check_batch({"x": np.array([[1, 2], [1, 3]], dtype=np.float32)}, spec, tmp_path)
    with pytest.raises(DataError, match=r"must differ, but all 4 lie at 1, 2"):
        POINTS.check_batch({"x": np.tile(np.float32([1, 2]), (4, 1))}, spec, tmp_path)


def test_augmentation_changes_nothing_and_picks_the_rows_asked_for(tmp_path: Path) -> None:
    spec = prepared(tmp_path).manifest.spec
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    changed = POINTS.augmenter(None, 0, spec)({"x": points, "label": np.arange(6)}, 5, slice(2, 4))
    assert np.array_equal(changed["x"], points[2:4])
    assert changed["label"].tolist() == [2, 3]


def test_a_preview_is_a_png(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, TwoMoons("two_moons", "x", 40, 0.1, 0)).manifest
    points = np.array([(row.x, row.y) for row in manifest.rows], dtype=np.float32)
    labels = {"label": np.arange(len(points)) % 2}
    assert POINTS.preview(points, labels, manifest.spec).startswith(b"\x89PNG")
    assert POINTS.preview(points[:1], {}, manifest.spec).startswith(b"\x89PNG")
