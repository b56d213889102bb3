"""The manifest: a round trip, equal bytes, and damage told."""

from pathlib import Path

import pytest

from ddpm_core.errors import IntegrityError
from ddpm_core.spec import labelled
from pipelines.kinds.manifest import Counts, Manifest, read_manifest, write_manifest
from pipelines.kinds.pictures.rows.row import PictureRow

ROW = PictureRow(
    key="k", path="0/k.png", label=0, class_name="猫", split="train", sha256="a" * 64, source_sha256="b" * 64,
    content_sha256="c" * 64, source="x\n.png", width=4, height=4, mode="L", mean=1.5, std=0.25, min=0, max=255,
    found_width=9, found_height=7, group="",
)  # fmt: skip
MANIFEST = Manifest([ROW], labelled((1, 4, 4), (-1.0, 1.0), 256, ("猫",)), Counts(3, 1, 2))


def test_a_manifest_comes_back_as_it_went_in(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.parquet", MANIFEST)
    assert read_manifest(tmp_path / "m.parquet") == MANIFEST


def test_equal_manifests_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_manifest(tmp_path / name, MANIFEST)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_its_columns_are_the_fields_of_a_row_of_its_kind(tmp_path: Path) -> None:
    import pandas as pd

    write_manifest(tmp_path / "m.parquet", MANIFEST)
    assert pd.read_parquet(tmp_path / "m.parquet").to_dict("records") == [ROW.plain()]


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        IntegrityError, match="there must be a manifest, but the file is missing; `dvc checkout --force"
    ):
        read_manifest(tmp_path / "none.parquet")


def test_what_is_no_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1 and words")
    with pytest.raises(IntegrityError, match="must be a manifest that prepare wrote, but"):
        read_manifest(tmp_path / "m.parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(IntegrityError, match="must be a manifest that prepare wrote, but KeyError"):
        read_manifest(tmp_path / "other.parquet")
