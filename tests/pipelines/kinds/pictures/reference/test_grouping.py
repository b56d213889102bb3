"""Pictures without labels in pseudo-classes: the shards have them; manifest, contract and measures do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_write_json
from ddpm_core.pseudo_classes import SHARES
from pipelines.kinds import kind_of
from pipelines.kinds.pictures.reference import grouping
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.shards.archive import read_index, read_split
from tests.support.pictures import Project, file_bytes, png, write


def mean_colours(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pictures.mean(axis=(2, 3)).astype(np.float32)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """40 dark and 20 bright pictures, told apart by their mean colour."""
    monkeypatch.setattr(grouping, "_efficientnet", lambda: mean_colours)
    rng = np.random.default_rng(0)
    levels = [rng.integers(low, low + 40, (12, 12, 3), dtype=np.uint8) for low in [10] * 40 + [200] * 20]
    files = {f"{i}.png": file_bytes(Image.fromarray(each), "PNG") for i, each in enumerate(levels)}
    write(tmp_path / "raw", files)
    return Project(tmp_path, labels="none", clusters=2)


def shards(project: Project) -> dict[str, Any]:
    atomic_write_json(project.paths.contract, {"passed": True})
    project.shard()
    return {split: read_split(project.paths.shards, split) for split in ("train", "test")}


def test_pictures_that_look_alike_have_one_and_the_spec_says_how_often_each_comes(project: Project) -> None:
    manifest = project.prepare()
    splits, spec = shards(project), read_index(project.paths.shards).spec
    for split in splits.values():
        assert split.cond["label"].tolist() == [int(x.mean() > 128) for x in split.x]
    dark = (splits["train"].cond["label"] == 0).mean()
    assert spec.about[SHARES] == pytest.approx([dark, 1 - dark])
    assert manifest.spec.conditions == {}
    assert {row.label for row in manifest.rows} == {-1}


def test_centres_come_from_training_pictures_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    whole = grouping.Clusters.of
    monkeypatch.setattr(grouping.Clusters, "of", lambda rows, k: fitted.append(len(rows)) or whole(rows, k))
    manifest = project.prepare()
    shards(project)
    assert fitted == [len(manifest.of_split("train"))]


def test_to_measures_they_are_no_labels_and_nothing_is_asked_of_the_test_split(project: Project) -> None:
    project.prepare()
    splits, spec = shards(project), read_index(project.paths.shards).spec
    assert set(ImageSplit.of(splits["train"], spec).labels.tolist()) == {-1}

    class Config:
        seed = 0

        def samples(self, unseen: int) -> int:
            return unseen

    asked = kind_of("pictures").asked_of_test(splits["test"], spec, Config())
    assert dict(asked.cond) == {}
    assert sorted(asked.rows) == list(range(len(splits["test"])))


def test_beside_labels_they_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"a/1.png": png(1), "b/1.png": png(2)})
    with pytest.raises(ParamsError, match=r"source\.clusters: must be null where the pictures have labels, got 3"):
        Project(tmp_path, clusters=3).prepare()


def test_without_them_the_shards_have_no_label(project: Project) -> None:
    project.source = Project(project.paths.root, labels="none").source
    project.prepare()
    assert shards(project)["train"].cond == {}
