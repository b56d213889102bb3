"""out/reference: the extractors' identities, the classifier, and what the extractors made of the real images.

reference.json           which extractors, with digests; the classifier's accuracy; the floors; the data's digest
classifier.safetensors   where the data have labels of two classes or more
<extractor>.npz          features and labels of the real images, the training split's mean and covariance, the controls
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_write_bytes, json_bytes, sha256_bytes
from ddpm_core.metrics.frechet import Gaussian, RealFeatures
from ddpm_core.metrics.labels import Labels, Rows, even_order, rows_like

REFERENCE_NAME = "reference.json"
_FORMAT = 3
_CONTROL = "control "
_MEND = "`dvc repro reference` makes it anew"


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference folder, read and verified. `digest` names all of it."""

    content: Mapping[str, Any]
    digest: str
    files: Mapping[str, bytes]

    def real(self, extractor: str) -> tuple[RealFeatures, NDArray[np.float32]]:
        """Real images in an extractor's eyes, and the logits of the test split."""
        with np.load(io.BytesIO(self.files[f"{extractor}.npz"]), allow_pickle=False) as arrays:
            train = Gaussian(int(arrays["train_n"]), arrays["train_mean"], arrays["train_cov"])
            sides = (arrays[f"{split}_{what}"] for split in ("train", "test") for what in ("rows", "labels"))
            return RealFeatures(train, *sides), arrays["test_logits"]

    def controls(self, extractor: str) -> tuple[Rows, dict[str, NDArray[np.float32]]]:
        """Which training images the training rows are, and features of the controls that change pictures, by name."""
        with np.load(io.BytesIO(self.files[f"{extractor}.npz"]), allow_pickle=False) as arrays:
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
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def write_reference(folder: Path, content: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Write the files into the folder and the list of them last; the digest of that list."""
    for name, data in sorted(files.items()):
        atomic_write_bytes(folder / name, data)
    digests = {name: sha256_bytes(data) for name, data in files.items()}
    listed = json_bytes({**content, "format": _FORMAT, "files": digests})
    atomic_write_bytes(folder / REFERENCE_NAME, listed)
    return sha256_bytes(listed)


def read_reference(folder: Path) -> Reference:
    """Read a reference folder; every file must have the digest that the list gives it."""
    path = folder / REFERENCE_NAME
    if not path.is_file():
        raise DataError(f"{path}: there must be a reference; run `ddpm reference` first")
    listed = path.read_bytes()
    try:
        content = json.loads(listed)
        digests = dict(content["files"])
        known = content["format"] == _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path}: must be a list of the reference's files, but {error}; {_MEND}") from error
    if not known:
        raise IntegrityError(f"{path}: must have the format {_FORMAT}, got {content['format']!r}; {_MEND}")
    files = {name: _verified(folder / name, digest) for name, digest in digests.items()}
    return Reference(content=content, digest=sha256_bytes(listed), files=files)


def _verified(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise IntegrityError(f"{path}: the reference lists this file, but it is missing; {_MEND}")
    data = path.read_bytes()
    if (found := sha256_bytes(data)) != digest:
        raise IntegrityError(f"{path}: its SHA-256 must be {digest}, it is {found}; {_MEND}")
    return data
