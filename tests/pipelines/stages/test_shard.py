"""Stage shard: the prepared pictures, and no others, lie in the shards."""

from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import ContractFailed, IntegrityError
from ddpm_core.files import atomic_write_json
from pipelines.kinds.pictures.rows.decode import read_png
from pipelines.shards.archive import read_index, read_split
from tests.support.pictures import Project, png, write


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write(tmp_path / "raw", {f"{name}/{number}.png": png(number + ord(name)) for name in "ab" for number in range(15)})
    return Project(tmp_path)


def allow(project: Project, passed: bool = True) -> None:
    atomic_write_json(project.paths.contract, {"passed": passed})


def test_data_that_were_refused_or_not_judged_are_not_packed(project: Project) -> None:
    project.prepare()
    with pytest.raises(
        ContractFailed, match=r"contract\.json must say that the data keep the contract, .* `ddpm validate`"
    ):
        project.shard()
    allow(project, passed=False)
    with pytest.raises(ContractFailed, match="must say that the data keep the contract"):
        project.shard()
    assert not project.paths.shards.exists()


def test_every_prepared_picture_is_in_the_shard_of_its_split(project: Project) -> None:
    manifest = project.prepare()
    allow(project)
    project.shard()
    for split in ("train", "test"):
        rows, read = manifest.of_split(split), read_split(project.paths.shards, split)
        assert read.keys == [row.key for row in rows]
        assert read.cond["label"].tolist() == [row.label for row in rows]
        for row, image in zip(rows, read.x, strict=True):
            assert np.array_equal(image, read_png(project.paths.prepared / row.path))
    assert read_index(project.paths.shards).spec == manifest.spec


def test_a_picture_that_changed_after_prepare_is_told(project: Project) -> None:
    row = project.prepare().of_split("train")[0]
    allow(project)
    path = project.paths.prepared / row.path
    path.write_bytes(png(999))
    with pytest.raises(
        IntegrityError, match=r"its SHA-256 must be .*, as the manifest says, but it is .*`ddpm prepare`"
    ):
        project.shard()
    path.unlink()
    with pytest.raises(IntegrityError, match="the manifest lists this file, but it is missing; `dvc checkout"):
        project.shard()
