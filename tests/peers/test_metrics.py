"""Our FID, KID and IS against torch-fidelity's command line, torchmetrics and pytorch-fid, on the same pictures.

Inception's weights are not at hand offline, so all sides see through one small network of ours: a classifier with
random weights. What is compared is everything from its features on (and, on the command line, from the files on).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ddpm_core.metrics.frechet import distance, gaussian_of
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.reference.classifier import FEATURES, Classifier
from pipelines.kinds.pictures.reference.extractor import Extractor, Features, extract
from pipelines.kinds.pictures.reference.inception import inception_score, kernel_distance
from tests.peers.peer import peer

N, SIDE, CLASSES, SUBSETS, SUBSET_SIZE, SPLITS = 240, 16, 8, 20, 100, 10
SPEC = labelled((3, SIDE, SIDE), (-1.0, 1.0), 256, tuple(str(label) for label in range(CLASSES)))


def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(SPEC, 8).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two sets of coloured blobs, the second one brighter."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 160, (2, N, 3, 4, 4), dtype=np.uint8).repeat(4, axis=3).repeat(4, axis=4)
    return coarse[0], coarse[1] + np.uint8(60)


@pytest.fixture(scope="module")
def seen(pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> tuple[Features, Features]:
    extractor = Extractor("classifier", "none", "none", network(), at_once=16)
    a, b = (extract(extractor, side, 64, torch.device("cpu"), "test") for side in pictures)
    return a, b


def ours(a: Features, b: Features) -> dict[str, float]:
    kid, kid_std = kernel_distance(a.features, b.features, SUBSETS, SUBSET_SIZE, 2020)
    score, score_std = inception_score(a.logits, SPLITS, 2020)
    return {
        "frechet_inception_distance": distance(gaussian_of(a.features), gaussian_of(b.features)),
        "kernel_inception_distance_mean": kid,
        "kernel_inception_distance_std": kid_std,
        "inception_score_mean": score,
        "inception_score_std": score_std,
    }


def test_torch_fidelity_from_the_command_line(
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    seen: tuple[Features, Features],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    peer("torch_fidelity")
    from torch_fidelity import fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class Ours(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_options: Any) -> None:
            super().__init__(name, features_list)
            self.network = network()

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            features, logits = self.network(images)
            named = {"features": features.double(), "logits": logits}  # in float32 its kernel sums keep 5 digits
            return tuple(named[name] for name in self.features_list)

    for name, images in zip(("a", "b"), pictures, strict=True):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / name / f"{number:04d}.png")
    words = ["--input1", str(tmp_path / "a"), "--input2", str(tmp_path / "b"), "--cpu", "--json", "--silent"]
    words += ["--save-cpu-ram"]  # no worker processes
    words += ["--fid", "--kid", "--isc", "--no-cache", "--feature-extractor", "ours", "--isc-splits", str(SPLITS)]
    words += ["--kid-subsets", str(SUBSETS), "--kid-subset-size", str(SUBSET_SIZE), "--rng-seed", "2020"]
    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "ours", Ours)
    monkeypatch.setattr(sys, "argv", ["fidelity", *words])
    fidelity.main()
    expected = json.loads(capsys.readouterr().out)
    assert expected == pytest.approx(ours(*seen), rel=1e-6)


class Passed(torch.nn.Module):
    """Takes features for pictures: torchmetrics is handed what we extracted."""

    num_features = FEATURES

    def forward(self, features: Tensor) -> Tensor:
        return features


def test_fid_of_torchmetrics(seen: tuple[Features, Features]) -> None:
    metric = peer("torchmetrics.image.fid").FrechetInceptionDistance(feature=Passed())
    for side, real in zip(seen, (False, True), strict=True):
        for part in np.array_split(side.features, 5):
            metric.update(torch.from_numpy(part).double(), real=real)
    # Its covariance is a difference of large sums; ours is not.
    assert ours(*seen)["frechet_inception_distance"] == pytest.approx(float(metric.compute()), rel=1e-3)
    assert ours(*seen)["frechet_inception_distance"] == pytest.approx(float(metric.compute()), rel=1e-6)


def test_kid_of_torchmetrics_where_the_subset_is_the_whole(seen: tuple[Features, Features]) -> None:
    metric = peer("torchmetrics.image.kid").KernelInceptionDistance(feature=Passed(), subsets=1, subset_size=N)
    for side, real in zip(seen, (False, True), strict=True):
        metric.update(torch.from_numpy(side.features).double(), real=real)
    mean, _std = kernel_distance(seen[0].features, seen[1].features, 1, N, 0)
    assert mean == pytest.approx(float(metric.compute()[0]), rel=1e-6)


@pytest.mark.parametrize("rows", [N, 5 * FEATURES])
def test_frechet_distance_of_pytorch_fid(rows: int) -> None:
    score = peer("pytorch_fid.fid_score")
    rng = np.random.default_rng(1)
    mix = rng.standard_normal((FEATURES, FEATURES)) / 8
    a, b = (gaussian_of(np.abs(rng.standard_normal((rows, FEATURES)) @ mix) + shift) for shift in (0.0, 0.1))
    expected = score.calculate_frechet_distance(a.mean, a.cov, b.mean, b.cov)
    assert distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_pytorch_fid_of_few_rows_is_ours_up_to_the_roots_of_its_round_off() -> None:
    # Fewer rows than features: the product has zero eigenvalues, which round-off makes small ones of either sign.
    score = peer("pytorch_fid.fid_score")
    rng = np.random.default_rng(2)
    a, b = (gaussian_of(rng.standard_normal((20, FEATURES)) * scale) for scale in (1.0, 1.5))
    expected = score.calculate_frechet_distance(a.mean, a.cov, b.mean, b.cov)
    assert distance(a, b) == pytest.approx(expected, rel=1e-4)
