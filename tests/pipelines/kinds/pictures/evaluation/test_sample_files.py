"""out/samples: of all samples those nearest to a training picture are shown beside it, the nearest first."""

import json
from pathlib import Path

import numpy as np

from ddpm_core.metrics.memorisation import Nearest
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.evaluation.panels import SampleSet
from pipelines.kinds.pictures.evaluation.sample_files import sample_files
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.measured import EVALUATE
from tests.support.tiny_bundle import tiny_bundle

SPEC = labelled((1, 8, 8), (-1.0, 1.0), 256, ("a",))


def test_the_samples_nearest_to_a_training_picture_are_shown_the_nearest_first(tmp_path: Path) -> None:
    images, labels = np.zeros((9, 1, 8, 8), np.uint8), np.zeros(9, np.int64)
    train = ImageSplit(images[:4], labels[:4], ["k0", "k1", "k2", "k3"])
    first = np.array([7.0, 3.0, 9.0, 1.0, 8.0, 2.0, 6.0, 5.0, 4.0])
    copied = Nearest(first, first + 1, np.arange(9) % 4)
    sampler = Sampler(tiny_bundle(tmp_path / "bundle"), "cpu")
    made = SampleSet(sampler, sampler.recipe(), images, labels, np.arange(100, 109), {"label": labels})
    shown = json.loads(sample_files(made, train, copied, SPEC, EVALUATE, {})["neighbours.json"])
    assert [(each["distance"], each["seed"], each["key"]) for each in shown] == [
        (1.0, 103, "k3"),
        (2.0, 105, "k1"),
        (3.0, 101, "k1"),
        (4.0, 108, "k0"),
        (5.0, 107, "k3"),
    ]
