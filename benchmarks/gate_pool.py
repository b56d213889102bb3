"""For benchmarks/gate_trial.py: pictures of a data set with what every extractor makes of them, judged by the gate.

The gate's own functions measure and judge. Only where they ask for the distance of two pictures, or for the region of
one, the answer is looked up: it was worked out once for all pictures of the set, by the same functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gate_controls import ALIKE
from gate_data import DataSet
from gate_features import EXTRACTORS, changed, seen_file

from ddpm_core.gate.rules import Evidence, RuleResult, overall, samples_rule
from ddpm_core.metrics import energy as energies
from ddpm_core.metrics import intervals
from ddpm_core.metrics import regions as clusterings
from ddpm_core.metrics.accuracy import accuracy_metric, asked_accuracy
from ddpm_core.metrics.energy import against
from ddpm_core.metrics.frechet import RealFeatures
from ddpm_core.metrics.intervals import RESAMPLING, Resampling, wilson
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.pixels import CONSTANT, DUPLICATE, duplicate_share
from ddpm_core.metrics.regions import Regions, make_regions
from ddpm_core.metrics.roughness import ROUGH, outside, roughness, usual_range

_SIDE = 1_000_000  # a picture's number is its side times this and its place there


@dataclass(frozen=True, eq=False)
class _LookedUp(Regions):
    """Regions of pictures by their row, [clusterings, rows]."""

    known: np.ndarray

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(each[rows[:, 0].astype(np.int64)] for each in self.known)


@contextmanager
def _distances_of(apart: np.ndarray) -> Iterator[None]:
    """While this lasts, rows given to the energy distance are numbers of rows of this table."""

    def of(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows[:, 0].astype(np.int64))

    def sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        columns, times = np.unique(of(b), return_counts=True)
        return np.asarray(apart[np.ix_(of(a), columns)] @ times.astype(apart.dtype))

    def cross_means(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sums(a, b) / len(b), sums(b, a) / len(a)

    def row_means(rows: np.ndarray) -> np.ndarray:
        return sums(rows, rows) / (len(rows) - 1)

    def distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        yield 0, apart[np.ix_(of(a), of(b))]

    mine = {"cross_means": cross_means, "row_means": row_means, "_distances": distances}
    before = {name: getattr(energies, name) for name in mine}
    try:
        for name, function in mine.items():
            setattr(energies, name, function)
        yield
    finally:
        for name, function in before.items():
            setattr(energies, name, function)


# Which rows each round draws is a function of these arguments alone, and takes most of the time to make.
clusterings._drawn = lru_cache(64)(clusterings._drawn)
intervals.resampled = energies.resampled = lru_cache(512)(intervals.resampled)


@dataclass(frozen=True, eq=False)
class View:
    """All pictures of a set in one extractor's eyes; `places` is where the rows of each side begin, and how many."""

    name: str
    rows: np.ndarray
    places: Mapping[str, tuple[int, int]]
    apart: np.ndarray
    regions: _LookedUp

    @classmethod
    def of(cls, extractor: str, sides: Mapping[str, np.ndarray]) -> "View":
        counts = np.array([len(rows) for rows in sides.values()])
        starts, rows = np.cumsum(counts) - counts, np.concatenate(list(sides.values()))
        places = {side: (int(start), int(count)) for side, start, count in zip(sides, starts, counts, strict=True)}
        apart = np.concatenate([block for _, block in energies._distances(rows, rows)])
        np.fill_diagonal(apart, 0.0)
        regions = make_regions(sides["train"])
        return cls(extractor, rows, places, apart, _LookedUp(regions.centres, np.stack(regions.of(rows))))

    def real(self) -> "View":
        """Training and held-out pictures alone, in a table small enough for a processor's cache."""
        n = self.has("train") + self.has("held")
        places = {side: self.places[side] for side in ("train", "held")}
        return View(self.name, self.rows[:n], places, np.ascontiguousarray(self.apart[:n, :n]), self.regions)

    def of_side(self, side: str) -> np.ndarray:
        start, count = self.places[side]
        return self.rows[start : start + count]

    def has(self, side: str) -> int:
        return self.places[side][1] if side in self.places else 0

    def numbered(self, pictures: np.ndarray, sides: Sequence[str]) -> np.ndarray:
        """Of pictures by their numbers the rows here, as the features that `_distances_of` takes."""
        starts = np.array([self.places[side][0] if side in self.places else -1 for side in sides])
        return (starts[pictures // _SIDE] + pictures % _SIDE).astype(np.float32)[:, None]


class Pool:
    """A data set: real, changed and made pictures by number."""

    def __init__(self, folder: Path, name: str, params: Any, models: Mapping[str, Path]) -> None:
        self.data = DataSet.load(folder, name)
        self.gate, self.settings = params.gate, params.evaluate
        self.how = Resampling(self.settings.resamples, self.settings.seed, self.settings.confidence)
        pictures: dict[str, np.ndarray] = {"train": self.data.train, "held": self.data.held}
        called: dict[str, np.ndarray] = {}
        self.views: list[View] = []
        self.asked = {"train": self.data.train_labels, "held": self.data.held_labels}
        for model, path in models.items():
            with np.load(path) as arrays:
                pictures[model], self.asked[model] = arrays["images"], arrays["labels"]
        for extractor in EXTRACTORS:
            sides: dict[str, np.ndarray] = {}
            if (path := seen_file(folder / f"{name}.npz", extractor)).is_file():
                with np.load(path) as arrays:
                    sides = {key: arrays[key] for key in arrays.files}
                for model, made in models.items():
                    if seen_file(made, extractor).is_file():
                        with np.load(seen_file(made, extractor)) as arrays:
                            sides |= {model if key == "features" else f"{model} called": arrays[key] for key in arrays}
                called |= {
                    key.removesuffix(" called"): sides.pop(key) for key in list(sides) if key.endswith(" called")
                }
                self.views.append(View.of(extractor, {name: sides[name] for name in ("train", "held", *sides)}))
        for change in {key for view in self.views for key in view.places} - set(pictures):
            most = max(view.has(change) for view in self.views)
            pictures[change] = changed(self.data, change, 1000 if change in ALIKE else most)[:most]
        self.sides, self.called = list(pictures), called
        self._held: dict[str, tuple[Any, Any]] = {}  # what unseen pictures were held against last, by extractor
        usual = usual_range(roughness(self.data.train, 255))
        self.rough = {side: outside(roughness(images, 255), usual) for side, images in pictures.items()}
        self.constant = {side: _constant(images) for side, images in pictures.items()}

    def numbers(self, side: str, rows: np.ndarray) -> np.ndarray:
        return self.sides.index(side) * _SIDE + rows

    def judges(self, n: int, *, held: int) -> list[View]:
        """The extractors that looked at so many held-out pictures."""
        return [view for view in self.views if view.has("held") >= held and view.has("train") >= min(n, 400)]

    def looked_at(self, side: str, views: Sequence[View]) -> int:
        return min(view.has(side) for view in views)

    def _of(self, table: Mapping[str, np.ndarray], pictures: np.ndarray) -> np.ndarray:
        found = np.empty(len(pictures), dtype=next(iter(table.values())).dtype)
        for side in np.unique(pictures // _SIDE):
            there = pictures // _SIDE == side
            found[there] = table[self.sides[side]][pictures[there] % _SIDE]
        return found

    def judged(
        self, samples: np.ndarray, asked: np.ndarray, unseen: np.ndarray, views: Sequence[View], *, labels: bool
    ) -> tuple[str, list[RuleResult], dict[str, float]]:
        """The outcome of the gate's rules on pictures by number, the rules, and the numbers that they looked at."""
        metrics = [Metric("n", "", value=len(samples)), Metric("n_heldout", "", value=len(unseen))]
        for view in views:
            metrics += self._measured(view, samples, asked, unseen)
        rough, constant = (float(self._of(table, samples).mean()) for table in (self.rough, self.constant))
        floors = {
            ROUGH.floor: self._of(self.rough, unseen).mean(),
            CONSTANT.floor: self._of(self.constant, unseen).mean(),
            DUPLICATE.floor: duplicate_share(unseen[:, None]),
        }
        metrics += [
            ROUGH.measured(rough, wilson(round(rough * len(samples)), len(samples), self.how.confidence)),
            CONSTANT.measured(constant),
            DUPLICATE.measured(duplicate_share(samples[:, None])),
            *(Metric(name, "", value=value) for name, value in floors.items()),
        ]
        if labels and self.called and "classifier" in {view.name for view in views}:
            called, own = self._of(self.called, samples), self._of(self.called, unseen)
            label = accuracy_metric(self.data.classes)
            metrics.append(asked_accuracy(label, asked, called, self.how))
            metrics.append(Metric(label.floor, "", value=float((own == self._of(self.asked, unseen)).mean())))
        numbers = {name: value for metric in metrics for name, value in metric.flat(self.how.confidence).items()}
        evidence = Evidence(numbers, self.gate, self.how.confidence, RESAMPLING, {})
        rules = [result for metric in metrics if (result := evidence.result(metric)) is not None]
        if labels:
            rules.append(samples_rule(numbers, self.gate, "samples"))
        return overall(rules), rules, numbers

    def _measured(self, view: View, samples: np.ndarray, asked: np.ndarray, unseen: np.ndarray) -> list[Metric]:
        train = np.arange(view.has("train"))
        mine, its, training = (
            view.numbered(numbers, self.sides) for numbers in (samples, unseen, self.numbers("train", train))
        )
        labels = self.data.train_labels[train]
        real = RealFeatures(None, training, labels, its, self._of(self.asked, unseen))  # type: ignore[arg-type]
        key = (view.name, its.tobytes(), asked.tobytes())
        with _distances_of(view.apart):
            if self._held.get(view.name, ((), None))[0] != key:
                made = against(its, training, labels, asked, self.settings.floor_draws, self.settings.seed)
                self._held[view.name] = key, made
            held = self._held[view.name][1]
            judge = Judge(view.name, real, held, view.regions)
            return [judge.energy(mine, asked, self.how), judge.lost(mine, self.how)]

    def check(self, view: View, n: int) -> None:
        """What is looked up gives what the features themselves give."""
        samples, unseen = self.numbers("train", np.arange(n)), self.numbers("held", np.arange(n))
        asked, train = self.data.train_labels[:n], view.of_side("train")
        labels = self.data.train_labels[: len(train)]
        real = RealFeatures(None, train, labels, view.of_side("held")[:n], self.data.held_labels[:n])  # type: ignore[arg-type]
        judge = Judge.of(view.name, real, asked, self.settings.floor_draws, self.settings.seed)
        truth = [judge.energy(train[:n], asked, self.how), judge.lost(train[:n], self.how)]
        for metric, wanted in zip(self._measured(view, samples, asked, unseen), truth, strict=True):
            for name, value in wanted.flat(self.how.confidence).items():
                np.testing.assert_allclose(metric.flat(self.how.confidence)[name], value, atol=1e-4, err_msg=name)


def _constant(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), images.shape[1], -1)
    return np.asarray((flat.max(axis=2) == flat.min(axis=2)).all(axis=1))
