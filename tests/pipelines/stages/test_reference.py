"""Stage reference: the right extractor for the data, the same bytes twice, nothing taken on trust."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import DataError, IntegrityError
from pipelines.evaluation.reference import read_reference
from pipelines.kinds.pictures.reference.build import _nothing_to_classify
from pipelines.kinds.pictures.reference.store import real_features
from pipelines.kinds.pictures.reference.weights_files import INCEPTION_SHA256, ExtractorFile
from pipelines.paths import Paths
from pipelines.stages import reference
from pipelines.tracking.tracker import NullTracker
from tests.support.measured import REFERENCE, MeasuredParams, files_of, measured_project


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = measured_project(tmp_path_factory.mktemp("project"))
    reference.run(MeasuredParams(), paths, NullTracker())
    return paths


def weak(accuracy: float) -> MeasuredParams:
    classifier = replace(REFERENCE.classifier, steps=1, min_accuracy=accuracy)
    return MeasuredParams(reference=replace(REFERENCE, classifier=classifier))


def test_labelled_data_get_a_classifier_with_its_accuracy_and_floors(done: Paths):
    found = read_reference(done.reference)
    assert [extractor["name"] for extractor in found.content["extractors"]] == ["classifier", "efficientnet_lite0"]
    facts = found.content["classifier"]
    assert facts["used"]
    assert facts["accuracy"] >= 0.9
    assert found.content["floors"].keys() == {"fcd_floor_train", "fcd_floor_test"}
    real, logits = real_features(found, "classifier")
    assert (real.train.n, real.train_rows.shape, real.test_rows.shape) == (240, (150, 64), (90, 64))
    assert logits.shape == (90, 3)


def test_the_same_data_give_the_same_bytes(done: Paths):
    before = files_of(done.reference)
    reference.run(MeasuredParams(), done, NullTracker())
    assert files_of(done.reference) == before


def test_a_classifier_that_is_too_weak_gives_way_to_efficientnet(tmp_path: Path):
    paths = measured_project(tmp_path, train=60, test=30)
    reference.run(weak(0.99), paths, NullTracker())
    found = read_reference(paths.reference)
    assert [extractor["name"] for extractor in found.content["extractors"]] == ["efficientnet_lite0"]
    assert "below reference.classifier.min_accuracy = 99.00%" in found.content["classifier"]["reason"]
    assert not found.content["classifier"]["used"]
    assert "classifier.safetensors" in found.files  # it still says how weak it is at the asked labels


def test_data_without_labels_get_efficientnet_and_no_classifier(tmp_path: Path):
    paths = measured_project(tmp_path, labelled_data=False, train=60, test=30)
    reference.run(MeasuredParams(), paths, NullTracker())
    found = read_reference(paths.reference)
    assert [extractor["name"] for extractor in found.content["extractors"]] == ["efficientnet_lite0"]
    assert found.content["classifier"]["reason"] == "the data have no labels"
    assert set(found.files) == {"efficientnet_lite0.npz"}
    assert "fd_efficientnet_lite0_floor_train" in found.content["floors"]


def test_one_class_is_nothing_to_classify():
    from ddpm_core.spec import labelled
    from pipelines.kinds.pictures.reference.images import ImageSplit

    split = ImageSplit(np.zeros((2, 1, 8, 8), np.uint8), np.zeros(2, np.int64), ["a", "b"])
    assert _nothing_to_classify(labelled((1, 8, 8), (-1, 1), 256, ("a",)), split) == "the data have one class"


def test_an_inception_path_that_is_wrong_stops_the_stage(tmp_path: Path):
    paths = measured_project(tmp_path, train=30, test=20)
    (tmp_path / "weights.pth").write_bytes(b"not these")
    for path, error, message in (
        ("weights.pth", IntegrityError, "must have the SHA-256 6726825d"),
        ("absent.pth", DataError, "path of inception must name a file, there is none at"),
    ):
        listed = ExtractorFile(kind="inception", path=path, sha256=INCEPTION_SHA256, download=False)
        config = replace(weak(0.0).reference, extractors=(listed,))
        with pytest.raises(error, match=message):
            reference.run(MeasuredParams(reference=config), paths, NullTracker())
    assert not paths.reference.exists()


def test_a_split_of_one_image_is_refused(tmp_path: Path):
    paths = measured_project(tmp_path, train=30, test=1)
    with pytest.raises(DataError, match="at least 2 examples of each split, test has 1; give more"):
        reference.run(MeasuredParams(), paths, NullTracker())


def test_a_changed_or_absent_file_of_the_reference_is_told(done: Paths, tmp_path: Path):
    folder = tmp_path / "reference"
    folder.mkdir()
    with pytest.raises(DataError, match="there must be a reference; run `ddpm reference` first"):
        read_reference(folder)
    for name, data in files_of(done.reference).items():
        (folder / name).write_bytes(data)
    data = bytearray((folder / "classifier.npz").read_bytes())
    data[1000] ^= 1
    (folder / "classifier.npz").write_bytes(data)
    with pytest.raises(
        IntegrityError, match=r"classifier.npz: its SHA-256 must be .*`dvc repro reference` makes it anew"
    ):
        read_reference(folder)
    (folder / "classifier.npz").unlink()
    with pytest.raises(IntegrityError, match="lists this file, but it is missing"):
        read_reference(folder)
    (folder / "reference.json").write_text(json.dumps({"format": 9, "files": {}}))
    with pytest.raises(IntegrityError, match="must have the format 3, got 9"):
        read_reference(folder)
    (folder / "reference.json").write_text("[")
    with pytest.raises(IntegrityError, match="must be a list of the reference's files, but"):
        read_reference(folder)
