"""Copies of training images among samples.

Averages miss a few copies, so two counts are taken that do not: the share of samples nearer to a training image than
a small quantile of the distances of unseen real images, and the share whose nearest training image is far nearer than
the second nearest. Both are taken of the unseen real images too, which have no copies. A copy may have been moved by
some pixels: then every such shift is tried, on the part of the picture that all of them leave in sight.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.intervals import Interval, clopper_pearson
from ddpm_core.metrics.metric import Metric, Rule

_BLOCK = 256  # rows compared at a time
_CANDIDATES = 4  # found in float32, then measured exactly


def copies(data: EvalData) -> Iterator[Metric]:
    """Suspected copies of training images among the samples and among unseen images."""
    of = data.settings
    yield from count_copies(data.nearest, data.unseen_nearest, of.copy_quantile, of.copy_ratio, of.confidence)


def copies_metric(kind: str, meaning: str, words: str) -> Metric:
    """A share of suspected copies, held against that of unseen images."""
    words = f"{{value:.2%}} of the samples are {words} {{floor:.2%}} of unseen examples are"
    return Metric(
        f"{kind}_share", meaning, "lower", floor=f"{kind}_share_heldout",
        rule=Rule("excess", "max_copy_excess", f"{kind} copies", words, controls=True, chance=f"{kind}_chance"),
        share=True, tile=("suspected copies of training examples", ".2%") if kind == "near" else None,
    )  # fmt: skip


NEAR = copies_metric(
    "near",
    "samples nearer to a training example than nearly all unseen ones are",
    "nearer to a training example than",
)
LONE = copies_metric(
    "lone",
    "samples with one training example far nearer than the next",
    "with one training example far nearer than the next, as",
)


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each query its nearest and second nearest reference row: Euclidean distances, and which the nearest is."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    index: NDArray[np.int64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Nearest through second nearest; 1 where both are 0 (the training set itself has the image twice)."""
        return np.divide(self.first, self.second, out=np.ones_like(self.first), where=self.second > 0)


def nearest(queries: NDArray[Any], references: NDArray[Any], shift: int = 0) -> Nearest:
    """The two nearest references of each query, in their units; a picture may be shifted by so many pixels."""
    if queries.shape[1:] != references.shape[1:]:
        raise DataError(f"both sides must have the same size, got {queries.shape[1:]} and {references.shape[1:]}")
    if len(references) < 2:
        raise DataError(f"the two nearest need at least 2 training examples, got {len(references)}")
    if shift == 0:
        return _nearest(_rows(queries), _rows(references))
    height, width = queries.shape[-2:]
    if 2 * shift >= min(height, width):
        raise DataError(
            f"evaluate.copy_shift: a shift must leave a part of the picture in sight, got {shift} pixels for pictures "
            f"of {height} x {width}; lower it"
        )
    moves = [(down, across) for down in range(2 * shift + 1) for across in range(2 * shift + 1)]
    inner = _rows(references[..., shift : height - shift, shift : width - shift])
    found = [
        _nearest(_rows(queries[..., down : down + height - 2 * shift, across : across + width - 2 * shift]), inner)
        for down, across in moves
    ]
    return _best(found)


def _best(found: list[Nearest]) -> Nearest:
    """The nearest over all shifts, and the nearest of another reference than that."""
    first = np.stack([each.first for each in found])
    best = first.argmin(axis=0)
    index = np.take_along_axis(np.stack([each.index for each in found]), best[None], axis=0)[0]
    others = np.stack([np.where(each.index == index, each.second, each.first) for each in found])
    return Nearest(first.min(axis=0), others.min(axis=0), index)


def _nearest(q: NDArray[Any], r: NDArray[Any]) -> Nearest:
    """Candidates by products, of bytes in float32; distances exact."""
    kept = min(_CANDIDATES, len(r))
    r_float = r.astype(np.result_type(r, np.float32))
    r_norm = (r_float * r_float).sum(axis=1)
    first, second, index = np.empty(len(q)), np.empty(len(q)), np.empty(len(q), dtype=np.int64)
    for start in range(0, len(q), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(q)))
        rough = r_norm - 2.0 * (q[rows].astype(r_float.dtype) @ r_float.T)
        candidates = np.sort(np.argpartition(rough, kept - 1, axis=1)[:, :kept], axis=1)
        gaps = q[rows, None, :].astype(np.float64) - r[candidates]
        exact = np.sqrt((gaps * gaps).sum(axis=2))
        order = np.argsort(exact, axis=1, kind="stable")[:, :2]
        first[rows], second[rows] = np.take_along_axis(exact, order, axis=1).T
        index[rows] = np.take_along_axis(candidates, order[:, :1], axis=1)[:, 0]
    return Nearest(first, second, index)


@dataclass(frozen=True)
class Copies:
    """The share of samples that look copied, the same share of unseen images, and how often chance alone does it."""

    share: float
    heldout: float
    chance: float


def near_copies(samples: Nearest, heldout: Nearest, quantile: float) -> Copies:
    """Samples nearer to a training image than the quantile of the unseen images' distances."""
    threshold = float(np.quantile(heldout.first, quantile, method="lower"))
    return _compared(samples.first, heldout.first, threshold)


def lone_copies(samples: Nearest, heldout: Nearest, ratio: float) -> Copies:
    """Samples whose nearest training image is nearer than `ratio` times the second nearest."""
    return _compared(samples.ratio, heldout.ratio, ratio)


def count_copies(
    samples: Nearest, unseen: Nearest, quantile: float, ratio: float, confidence: float
) -> Iterator[Metric]:
    """Both counts, of samples and of unseen examples, and how often chance alone gives so many."""
    near, lone = near_copies(samples, unseen, quantile), lone_copies(samples, unseen, ratio)
    n = len(samples.first)
    for metric, found in ((NEAR, near), (LONE, lone)):
        most = clopper_pearson(round(found.share * n), n, confidence).high
        yield metric.measured(found.share, Interval(-inf, most))
        yield Metric(metric.floor, "the same of unseen examples", value=found.heldout)
        if metric.rule is not None:
            yield Metric(metric.rule.chance, "how often chance alone gives so many", value=found.chance)


def _compared(samples: NDArray[np.float64], heldout: NDArray[np.float64], threshold: float) -> Copies:
    suspects, unseen = int((samples < threshold).sum()), int((heldout < threshold).sum())
    return Copies(
        share=suspects / len(samples),
        heldout=unseen / len(heldout),
        chance=chance(suspects, len(samples), unseen, len(heldout)),
    )


def chance(suspects: int, samples: int, unseen: int, heldout: int) -> float:
    """How often so many suspects or more come among the samples when samples and unseen images are alike.

    Were they alike, every order of their pooled values would be as likely. With `unseen` of the held-out values below
    the threshold, the number of samples below the next held-out value is negative hypergeometric.
    """
    if suspects == 0:
        return 1.0
    # P(count >= k) = P(of the k + unseen smallest values at most `unseen` are held-out ones), summed over how many are.
    drawn, pool = suspects + unseen, samples + heldout
    logs = [
        _log_choose(heldout, h) + _log_choose(samples, drawn - h) - _log_choose(pool, drawn)
        for h in range(min(unseen, heldout) + 1)
        if drawn - h <= samples
    ]
    return float(min(1.0, np.exp(logs).sum())) if logs else 0.0


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _rows(data: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(data.reshape(len(data), -1))
