"""What measures look at: the samples, the real data beside them, and both in the features of each extractor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.intervals import Resampling

if TYPE_CHECKING:
    from ddpm_core.metrics.config import PictureEvaluateConfig
    from ddpm_core.metrics.likeness import Judge
    from ddpm_core.metrics.memorisation import Nearest
    from ddpm_core.metrics.roughness import Grain

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureView:
    """Samples and real images in the features of one extractor, with the names of what is taken in them."""

    judge: "Judge"
    judges: bool  # whether the gate has rules in these features
    rows: Features
    logits: Features
    unseen_logits: Features
    distance: str | None  # no distance and no score is taken where the extractor is a judge alone
    kernel: str | None
    score: str | None


@dataclass(frozen=True, eq=False)
class AskedAttribute:
    """An attribute that samples were asked for, -1 where not, and what the classifier calls it."""

    name: str
    classes: int
    asked: Labels
    classified: Labels | None  # None without a classifier
    unseen_known: int  # unseen images of which the attribute is known ...
    unseen_accuracy: float | None  # ... and the classifier's share of right ones among them


@dataclass(frozen=True, eq=False)
class EvalData:
    """Samples and what they are measured beside. Labels are -1 for none."""

    images: Images
    asked: Labels  # the labels that the samples were asked for
    unseen: Images
    training: Images
    top: int  # the highest level of a pixel
    classes: int
    conditional: bool  # whether the model takes labels
    views: tuple[FeatureView, ...]
    grain: "Grain"
    nearest: "Nearest"  # training images to the samples ...
    unseen_nearest: "Nearest"  # ... and to unseen images
    classified: Labels | None  # the samples as the classifier calls them; None without a classifier
    unseen_accuracy: float | None  # the classifier's own, on unseen images
    settings: "PictureEvaluateConfig"
    attributes: tuple[AskedAttribute, ...] = ()

    @property
    def resampling(self) -> Resampling:
        return Resampling(self.settings.resamples, self.settings.seed, self.settings.confidence)

    @property
    def labelled(self) -> bool:
        """Whether every sample was asked for a class."""
        return self.classes > 0 and bool((self.asked >= 0).all())
