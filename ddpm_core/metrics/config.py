"""What stage evaluate is asked to measure: of data of every kind, and of pictures."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, not_negative, open_fraction


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """How many samples of which seeds, and how far numbers can be trusted. A kind of data adds its own keys."""

    n: int | Literal["test"]
    n_most: int | None
    seed: int
    batch_size: int
    engine: Literal["onnxruntime", "torch"]
    steps: int | None
    guidance: float | None
    floor_draws: int
    resamples: int
    confidence: float

    __checks__: ClassVar[Checks] = {
        "n": (lambda v: v == "test" or (isinstance(v, int) and v >= 2), "`test` or at least 2"),
        "n_most": (lambda v: v is None or v >= 2, "null (no such limit) or at least 2"),
        "seed": not_negative,
        "batch_size": at_least_1,
        "steps": (lambda v: v is None or v >= 1, "null (the bundle's own) or at least 1"),
        "guidance": (lambda v: v is None or v >= 0, "null (the bundle's own) or 0 or more"),
        "floor_draws": at_least_1,
        "resamples": (lambda v: v >= 20, "at least 20"),
        "confidence": (lambda v: 0.5 <= v < 1, "at least 0.5 and below 1"),
    }
    not_compared: ClassVar[tuple[str, ...]] = ("n_most",)  # two models may be compared whatever these say

    def samples(self, unseen: int) -> int:
        """How many samples to make beside so many unseen data; `n_most` limits `test` and no number."""
        if self.n != "test":
            return self.n
        return unseen if self.n_most is None else min(unseen, self.n_most)

    def compared(self) -> dict[str, Any]:
        """What must be equal for two measurements to be compared."""
        return {name: value for name, value in asdict(self).items() if name not in self.not_compared}


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
class PictureEvaluateConfig(EvaluateConfig):
    """The settings of each measure of pictures. Comments in params.yaml say it in words."""

    kid_subsets: int
    kid_subset_size: int
    is_splits: int
    copy_quantile: float
    copy_ratio: float
    copy_shift: int
    coverage_k: int
    bits_images: int
    bits_levels: int
    grid_columns: int
    neighbours: int
    panels: PanelsConfig

    __checks__: ClassVar[Checks] = {
        **EvaluateConfig.__checks__,
        "kid_subsets": at_least_1,
        "kid_subset_size": (lambda v: v >= 2, "at least 2"),
        "is_splits": at_least_1,
        "copy_quantile": open_fraction,
        "copy_ratio": open_fraction,
        "copy_shift": not_negative,
        "coverage_k": at_least_1,
        "bits_images": not_negative,
        "bits_levels": (lambda v: v >= 2, "at least 2"),
        "grid_columns": at_least_1,
        "neighbours": at_least_1,
    }
    not_compared: ClassVar[tuple[str, ...]] = (*EvaluateConfig.not_compared, "panels")
