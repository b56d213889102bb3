"""What stage evaluate is asked to measure."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, not_negative, open_fraction


@dataclass(frozen=True)
class PanelsConfig(Config):
    """What is made for the report alone; no verdict looks at it, and two models are compared whatever it says."""

    steps: tuple[int, ...]
    images: int
    trajectories: int

    __checks__: ClassVar[Checks] = {
        "steps": (lambda v: len(set(v)) == len(v) and all(k >= 1 for k in v), "numbers of 1 or more, each once"),
        "images": (lambda v: v >= 2, "at least 2"),
        "trajectories": not_negative,
    }


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """How many samples, of which seeds, and the settings of each measure. Comments in params.yaml say it in words."""

    n: int | Literal["test"]
    n_most: int | None
    seed: int
    batch_size: int
    engine: Literal["onnxruntime", "torch"]
    steps: int | None
    guidance: float | None
    floor_draws: int
    kid_subsets: int
    kid_subset_size: int
    is_splits: int
    copy_quantile: float
    copy_ratio: float
    copy_shift: int
    coverage_k: int
    bits_images: int
    bits_levels: int
    resamples: int
    confidence: float
    grid_columns: int
    neighbours: int
    panels: PanelsConfig

    __checks__: ClassVar[Checks] = {
        "n": (lambda v: v == "test" or (isinstance(v, int) and v >= 2), "`test` or at least 2"),
        "n_most": (lambda v: v is None or v >= 2, "null (no such limit) or at least 2"),
        "seed": not_negative,
        "batch_size": at_least_1,
        "steps": (lambda v: v is None or v >= 1, "null (the bundle's own) or at least 1"),
        "guidance": (lambda v: v is None or v >= 0, "null (the bundle's own) or 0 or more"),
        "floor_draws": at_least_1,
        "kid_subsets": at_least_1,
        "kid_subset_size": (lambda v: v >= 2, "at least 2"),
        "is_splits": at_least_1,
        "copy_quantile": open_fraction,
        "copy_ratio": open_fraction,
        "copy_shift": not_negative,
        "coverage_k": at_least_1,
        "bits_images": not_negative,
        "bits_levels": (lambda v: v >= 2, "at least 2"),
        "resamples": (lambda v: v >= 20, "at least 20"),
        "confidence": (lambda v: 0.5 <= v < 1, "at least 0.5 and below 1"),
        "grid_columns": at_least_1,
        "neighbours": at_least_1,
    }

    def samples(self, unseen: int) -> int:
        """How many samples to make beside so many unseen pictures; `n_most` limits `test` and no number."""
        if self.n != "test":
            return self.n
        return unseen if self.n_most is None else min(unseen, self.n_most)
