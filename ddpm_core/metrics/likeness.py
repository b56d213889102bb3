"""How much samples look like the data, on a scale that means the same on every data set.

Three measures, each with its interval: the energy distance e (fidelity and diversity), the share of the data in regions
that samples hardly reach (diversity), and the share of samples that are rougher or smoother than real pictures
(faults that features of networks hardly see). A `judge` is an extractor of features by its name.
"""

from dataclasses import dataclass

import numpy as np

from ddpm_core.metrics.energy import Against, against, energy
from ddpm_core.metrics.intervals import around, detectable, wilson
from ddpm_core.metrics.labels import Labels
from ddpm_core.metrics.measure import Features, Found, Images, RealFeatures, Trust
from ddpm_core.metrics.regions import Regions, lost, make_regions
from ddpm_core.metrics.roughness import outside, roughness, usual_range

_FEWEST_OF_A_CLASS = 10


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

    def measure(self, samples: Features, asked: Labels, trust: Trust) -> tuple[Found, tuple[int, ...]]:
        """energy_NAME and lost_NAME with their intervals; and the lost regions, the fullest first."""
        apart = energy(samples, asked, self.against, trust.rounds, trust.seed)
        gone = lost(samples, self.real.test_rows, self.regions, trust.rounds, trust.seed)
        found = Found.none()
        for name, measured in ((f"energy_{self.name}", apart), (f"lost_{self.name}", gone)):
            ends = around(measured.value, measured.replicates, trust.confidence)
            if measured is gone:
                ends = ends.at_least_0()
            found.replicates[name] = measured.replicates
            found.metrics.update(
                {
                    name: measured.value,
                    f"{name}_low": ends.low,
                    f"{name}_high": ends.high,
                    f"{name}_detectable": detectable(measured.replicates.spread, trust.confidence),
                }
            )
        return found, gone.regions

    def by_class(self, samples: Features, asked: Labels, classes: int) -> np.ndarray:
        """e of each class's samples beside its unseen images; NaN where either has fewer than ten."""
        found = np.full(classes, np.nan)
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
            found[label] = energy(mine, free, held, 1, 0).value
        return found


@dataclass(frozen=True)
class Grain:
    """How rough real pictures are, prepared so that many sets of samples can be held against them."""

    top: int
    usual: tuple[float, float]  # the roughness between which 98 % of training pictures lie
    heldout: float  # the share of unseen pictures that lie outside

    @classmethod
    def of(cls, unseen: Images, training: Images, top: int) -> "Grain":
        usual = usual_range(roughness(training, top))
        return cls(top, usual, float(outside(roughness(unseen, top), usual).mean()))

    def measure(self, images: Images, confidence: float) -> dict[str, float]:
        """The share of samples that lie outside, with its interval, beside that of unseen pictures."""
        rough = outside(roughness(images, self.top), self.usual)
        ends = wilson(int(rough.sum()), len(rough), confidence)
        return {
            "rough_share": float(rough.mean()),
            "rough_share_low": ends.low,
            "rough_share_high": ends.high,
            "rough_share_heldout": self.heldout,
        }
