"""What is kept of a data set to tell another one from it: counts, quantiles and the features of some of its data."""

import base64
import heapq
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_write_json
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest, Row

_FORMAT = 1
_SAMPLE = 500  # data whose features are kept
_QUANTILES = 257
_MOST_BYTES = 20_000_000

NOTHING = {"format": _FORMAT, "data": None}
"""What accepted.json says before any data were accepted."""


@dataclass(frozen=True, eq=False)
class DataSummary:
    """A data set in few numbers; equal data have equal summaries."""

    kind: str
    shape: tuple[int, ...]
    examples: int
    labels: Mapping[str, int]  # how many data each class has; empty where there are no labels
    values: Mapping[str, NDArray[np.float64]]  # quantiles from 0 to 1
    features: NDArray[np.float32]  # [at most 500, d]

    def to_dict(self) -> dict[str, Any]:
        name, kept = "float32", self.features.astype("<f4")
        if np.array_equal(_halved(self.features), self.features):
            name, kept = "float16", self.features.astype("<f2")
        data = {
            "kind": self.kind,
            "shape": list(self.shape),
            "examples": self.examples,
            "labels": dict(self.labels),
            "values": {name: _rounded(values) for name, values in self.values.items()},
            "features": {"shape": list(kept.shape), name: base64.b64encode(kept.tobytes()).decode()},
        }
        return {"format": _FORMAT, "data": data}


def summary_of(manifest: Manifest, folder: Path) -> DataSummary:
    """Of prepared data; `folder` is data/prepared. The features are those of `sample_of` the rows."""
    if not manifest.rows:
        raise DataError("a summary is of at least one example, got none")
    kind, spec = kind_of(manifest.spec.kind), manifest.spec
    counts = Counter(row.label for row in manifest.rows)
    steps = np.linspace(0, 1, _QUANTILES)
    values = {
        name: np.array(_rounded(np.quantile(np.asarray(numbers, dtype=np.float64), steps, method="inverted_cdf")))
        for name, numbers in kind.drift_values(manifest.rows).items()
    }
    x = np.stack([example.arrays["x"] for example in kind.examples(folder, sample_of(manifest), spec)])
    return DataSummary(
        kind=spec.kind,
        shape=tuple(spec.shape),
        examples=len(manifest.rows),
        labels={name: counts[label] for label, name in enumerate(spec.classes)},
        values=values,
        features=_rounded_features(kind.drift_features(x)),
    )


def sample_of(manifest: Manifest) -> list[Row]:
    """At most 500 rows, those of the least digests: a random sample that hardly changes when data are added."""
    return heapq.nsmallest(_SAMPLE, manifest.rows, key=lambda row: (row.content_sha256, row.key))


def write_summary(path: Path, summary: DataSummary) -> None:
    atomic_write_json(path, summary.to_dict())


def read_summary(path: Path) -> DataSummary | None:
    """What `write_summary` wrote; None where no data were accepted yet, or there is no such file."""
    mend = "`git checkout` brings the committed file back, and `ddpm data accept` writes it anew"
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_BYTES:
        raise IntegrityError(f"{path}: must have at most {_MOST_BYTES:,} bytes, got {path.stat().st_size:,}; {mend}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, and this version reads {_FORMAT}")
        return None if content["data"] is None else _from_dict(content["data"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path}: must be what `ddpm data accept` wrote, but {error!r}; {mend}") from error


def _from_dict(data: Mapping[str, Any]) -> DataSummary:
    name, type_ = ("float16", "<f2") if "float16" in data["features"] else ("float32", "<f4")
    features = np.frombuffer(base64.b64decode(data["features"][name], validate=True), dtype=type_)
    features = features.reshape(data["features"]["shape"]).astype(np.float32)
    values = {str(name): np.array(numbers, dtype=np.float64) for name, numbers in data["values"].items()}
    labels = {str(name): int(count) for name, count in data["labels"].items()}
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise ValueError("its features must be finite numbers [n, d]")
    if any(each.ndim != 1 or not len(each) or not np.isfinite(each).all() for each in values.values()):
        raise ValueError("its values must be lists of finite numbers")
    examples = int(data["examples"])
    if examples < 1 or min(labels.values(), default=0) < 0:
        raise ValueError("its counts must be 0 or more, and that of all examples at least 1")
    return DataSummary(str(data["kind"]), tuple(data["shape"]), examples, labels, values, features)


def _rounded_features(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """To 16 bits, where that moves no datum by more than a hundredth of how far the data lie from their mean; else as
    they are."""
    half, rows = _halved(features), features.astype(np.float64)
    spread = np.sqrt(np.square(rows - rows.mean(axis=0)).sum(axis=1).mean())
    return half if np.linalg.norm(half - rows, axis=1).max() <= spread / 100 else features


def _halved(features: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return features.astype("<f2").astype(np.float32)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """To six digits, which is what a person may want to read and more than a distribution needs."""
    return [float(f"{value:.6g}") for value in values]
