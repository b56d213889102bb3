"""What stage reference is asked for: which extractors there are, and how the in-domain classifier is trained."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, Config, at_least_1, fraction, not_negative, positive
from pipelines.kinds.pictures.reference.weights_files import ExtractorFile


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """How the in-domain classifier is trained, and the accuracy on unseen images below which it is not used."""

    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    width: int
    min_accuracy: float

    __checks__: ClassVar[Checks] = {
        "seed": not_negative,
        "steps": at_least_1,
        "batch_size": (lambda v: v >= 2, "at least 2"),
        "learning_rate": positive,
        "width": at_least_1,
        "min_accuracy": fraction,
    }


@dataclass(frozen=True)
class ReferenceConfig(Config):
    """Which extractors there are and how much of the training set's features is kept."""

    extractors: tuple[ExtractorFile, ...]
    efficientnet_side: int
    batch_size: int
    features_kept: int
    judge_images: int
    control_images: int
    classifier: ClassifierConfig

    __checks__: ClassVar[Checks] = {
        "extractors": (
            lambda v: len({each.family for each in v}) == len(v),
            "a list with inception at most once, and one DINOv2 at most",
        ),
        "efficientnet_side": (lambda v: v >= 32, "at least 32 pixels"),
        "batch_size": at_least_1,
        "features_kept": (lambda v: v >= 2, "at least 2"),
        "judge_images": (lambda v: v >= 32, "at least 32"),
        "control_images": (lambda v: v >= 20, "at least 20"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
