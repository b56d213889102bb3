"""out/reference: the extractors' identities, the classifier, and what the extractors made of the real images.

reference.json           which extractors, with digests; the classifier's accuracy; the floors; the data's digest
classifier.safetensors   where the data have labels of two classes or more
<extractor>.npz          features and labels of the real images, the training split's mean and covariance, the controls
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import npz_bytes
from ddpm_core.metrics.frechet import Gaussian, RealFeatures
from ddpm_core.metrics.labels import Labels, Rows, even_order, rows_like
from pipelines.evaluation.reference import Reference

_CONTROL = "control "


def real_features(reference: Reference, extractor: str) -> tuple[RealFeatures, NDArray[np.float32]]:
    """Real images in an extractor's eyes, and the logits of the test split."""
    with np.load(io.BytesIO(reference.files[f"{extractor}.npz"]), allow_pickle=False) as arrays:
        train = Gaussian(int(arrays["train_n"]), arrays["train_mean"], arrays["train_cov"])
        sides = (arrays[f"{split}_{what}"] for split in ("train", "test") for what in ("rows", "labels"))
        return RealFeatures(train, *sides), arrays["test_logits"]


def controls(reference: Reference, extractor: str) -> tuple[Rows, dict[str, NDArray[np.float32]]]:
    """Which training images the training rows are, and features of the controls that change pictures, by name."""
    with np.load(io.BytesIO(reference.files[f"{extractor}.npz"]), allow_pickle=False) as arrays:
        names = [name for name in arrays.files if name.startswith(_CONTROL)]
        return arrays["train_index"], {name.removeprefix(_CONTROL): arrays[name] for name in names}


def kept_rows(labels: Labels, test_labels: Labels, kept: int) -> Rows:
    """Which training images' features are kept: all, or so many at random, in the shares of the test split's labels."""
    if len(labels) <= kept:
        return np.arange(len(labels))
    asked = np.resize(test_labels[even_order(test_labels)], kept)
    return rows_like(asked, labels, np.random.Generator(np.random.Philox(key=[kept, len(labels)])))


def features_file(
    real: RealFeatures,
    test_logits: NDArray[np.float32],
    train_index: Rows,
    controls: Mapping[str, NDArray[np.float32]],
) -> bytes:
    """An extractor's .npz; numpy gives each member one fixed date, so the bytes repeat."""
    arrays: dict[str, Any] = {
        "train_n": np.int64(real.train.n),
        "train_mean": real.train.mean,
        "train_cov": real.train.cov,
        "train_rows": real.train_rows,
        "train_labels": real.train_labels,
        "train_index": train_index,
        "test_rows": real.test_rows,
        "test_labels": real.test_labels,
        "test_logits": test_logits,
        **{f"{_CONTROL}{name}": features for name, features in controls.items()},
    }
    return npz_bytes(arrays)
