"""The measures of points, of samples and of controls alike. All are taken of points as the network sees them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.accuracy import accuracy_metric, asked_accuracy
from ddpm_core.metrics.frechet import RealFeatures, gaussian_of
from ddpm_core.metrics.intervals import Resampling, clopper_pearson
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.memorisation import Nearest, count_copies, nearest
from ddpm_core.metrics.metric import Metric, Rule
from ddpm_core.metrics.sliced_wasserstein import sliced_metrics, unit_directions
from pipelines.kinds.points.evaluation.config import PointsEvaluateConfig

Points = NDArray[np.float32]
Labels = NDArray[np.int64]

OUTSIDE = Metric(
    "outside_share",
    "samples outside of the smallest box that holds all training points",
    "lower",
    floor="outside_share_heldout",
    rule=Rule(
        "excess",
        "max_broken_excess",
        "outside the range",
        "{value:.2%} of the samples, {floor:.2%} of unseen points lie outside of the training points' box",
        controls=True,
    ),
    contrast=("points outside the training points' box", ""),
    share=True,
)


@dataclass(frozen=True, eq=False)
class RealPoints:
    """Real points beside which any number of sets of samples are measured. Labels are -1 for none."""

    train: Points
    train_labels: Labels
    test: Points
    test_labels: Labels
    asked: Labels  # the labels that samples are asked for
    config: PointsEvaluateConfig

    @cached_property
    def judge(self) -> Judge:
        rows = RealFeatures(gaussian_of(self.train), self.train, self.train_labels, self.test, self.test_labels)
        return Judge.of("coordinates", rows, self.asked, self.config.floor_draws, self.config.seed)

    @cached_property
    def unseen_nearest(self) -> Nearest:
        return self.nearest(self.test)

    @property
    def how(self) -> Resampling:
        return Resampling(self.config.resamples, self.config.seed, self.config.confidence)

    def nearest(self, points: Points) -> Nearest:
        """The two nearest training points of each."""
        return nearest(points.astype(np.float64), self.train.astype(np.float64))

    def outside(self, points: Points) -> float:
        low, high = self.train.min(axis=0), self.train.max(axis=0)
        return float(((points < low) | (points > high)).any(axis=1).mean())

    def measures(self, points: Points, asked: Labels) -> Iterator[Metric]:
        """All that the gate may judge, of samples with these labels."""
        config, how = self.config, self.how
        energy = self.judge.energy(points, asked, how)
        if energy.rule is not None:
            yield replace(energy, rule=replace(energy.rule, says="by their coordinates the samples are {worth}"))
        yield self.judge.lost(points, how)
        directions = unit_directions(config.directions, points.shape[1], config.seed)
        training = (self.train, self.train_labels)
        yield from sliced_metrics(points, asked, self.test, training, directions, config.floor_draws, how)
        out = self.outside(points)
        yield OUTSIDE.measured(out, clopper_pearson(round(out * len(points)), len(points), how.confidence))
        yield Metric(OUTSIDE.floor, "the same of unseen points", value=self.outside(self.test))
        limits = config.copy_quantile, config.copy_ratio, config.confidence
        yield from count_copies(self.nearest(points), self.unseen_nearest, *limits)

    def of_classes(self, points: Points, asked: Labels, classes: int) -> Iterator[Metric]:
        """How often a sample's nearest training point has the class asked for, and the worst class by energy."""
        metric = accuracy_metric(classes)
        unseen = self.train_labels[self.unseen_nearest.index] == self.test_labels
        called = self.train_labels[self.nearest(points).index]
        yield asked_accuracy(metric, asked, called, self.how)
        yield Metric(
            metric.floor, "unseen points whose nearest training point has their class", value=float(unseen.mean())
        )
        words = "the same distance, in the class where it is highest"
        worst = Metric("energy_coordinates_class_max", words, "lower", by_class="energy_coordinates")
        yield worst.worst(self.judge.by_class(points, asked, classes))
