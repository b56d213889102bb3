"""How much samples look like the data in the features of an extractor, on a scale that means the same on all data.

Two measures, each with its interval: the energy distance e (fidelity and diversity), and the share of the data in
regions that samples hardly reach (diversity). A `judge` is an extractor of features by its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.data import EvalData, Features
from ddpm_core.metrics.energy import Against, against, energy
from ddpm_core.metrics.frechet import RealFeatures
from ddpm_core.metrics.intervals import Resampling, around
from ddpm_core.metrics.labels import Labels
from ddpm_core.metrics.metric import Metric, Rule
from ddpm_core.metrics.regions import Regions, lost, make_regions

_FEWEST_OF_A_CLASS = 10


def likeness(data: EvalData) -> Iterator[Metric]:
    """In the features of each extractor; e of the worst class too, where classes were asked for."""
    for view in data.views:
        judge = view.judge
        for metric in (judge.energy(view.rows, data.asked, data.resampling), judge.lost(view.rows, data.resampling)):
            yield metric if view.judges else metric.without_rule()
        if data.labelled:
            name, words = f"energy_{judge.name}", "the same, in the class where it is highest"
            worst = Metric(f"{name}_class_max", words, "lower", by_class=name)
            yield worst.worst(judge.by_class(view.rows, data.asked, data.classes))


def energy_metric(judge: str) -> Metric:
    words = "e = {value:.4g} ({low:.4g} to {high:.4g}): {worth}"
    says = f"in the features of {judge} the samples are {{worth}}"
    return Metric(
        f"energy_{judge}", "distance to unseen data, 0 = real data, 1 = a single real example repeated", "lower",
        rule=Rule("interval", "max_energy", f"energy in {judge}", words, says=says, controls=True),
        champion="max_champion_loss", short=f"e in {judge}", features=judge,
        tile=(f"e in {judge}: 0 real, 1 one example repeated", ".3f"),
    )  # fmt: skip


def lost_metric(judge: str) -> Metric:
    words = (
        "{value:.1%} ({low:.1%} to {high:.1%}) of unseen examples lie in regions that samples fill less than a "
        "quarter as often"
    )
    return Metric(
        f"lost_{judge}", "unseen examples in regions that samples hardly reach", "lower",
        rule=Rule("interval", "max_lost", f"lost regions in {judge}", words, controls=True), short=f"lost in {judge}",
        features=judge, share=True,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Judge:
    """Real images in one extractor's features, prepared so that many sets of samples can be held against them."""

    name: str
    real: RealFeatures
    against: Against
    regions: Regions

    @classmethod
    def of(cls, name: str, real: RealFeatures, asked: Labels, draws: int, seed: int) -> "Judge":
        """`asked`: the labels that the samples are asked for, -1 for none."""
        held = against(real.test_rows, real.train_rows, real.train_labels, asked, draws, seed)
        return cls(name, real, held, make_regions(real.train_rows))

    def energy(self, samples: Features, asked: Labels, how: Resampling) -> Metric:
        """energy_NAME with its interval."""
        apart = energy(samples, asked, self.against, how.rounds, how.seed)
        ends = around(apart.value, apart.replicates, how.confidence)
        return energy_metric(self.name).measured(apart.value, ends, apart.replicates)

    def lost(self, samples: Features, how: Resampling) -> Metric:
        """lost_NAME with its interval."""
        gone = lost(samples, self.real.test_rows, self.regions, how.rounds, how.seed)
        ends = around(gone.value, gone.replicates, how.confidence).at_least_0()
        return lost_metric(self.name).measured(gone.value, ends, gone.replicates)

    def by_class(self, samples: Features, asked: Labels, classes: int) -> NDArray[np.float64]:
        """e of each class's samples beside its unseen images; NaN where either has fewer than ten."""
        values = np.full(classes, np.nan)
        for label in range(classes):
            mine, its, training = (
                rows[labels == label]
                for rows, labels in (
                    (samples, asked),
                    (self.real.test_rows, self.real.test_labels),
                    (self.real.train_rows, self.real.train_labels),
                )
            )
            if min(len(mine), len(its), len(training)) < _FEWEST_OF_A_CLASS:
                continue
            free = np.full(len(mine), -1)
            held = against(its, training, np.full(len(training), -1), free, 1, 0)
            values[label] = energy(mine, free, held, 1, 0).value
        return values
