"""A feature extractor: a network to look at pictures through, what identifies it, and what its measures are called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from pipelines.runtime.progress import tracked

if TYPE_CHECKING:
    import torch

    Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

COLOURS = (1, 3)  # channels that a network trained on photographs takes
DTYPE = "float32"  # what all of them compute in (benchmarks/feature_speed.py counts what bfloat16 would change)


class Names(NamedTuple):
    """What an extractor's Fréchet distance, kernel distance and score are called; no score where it has no logits."""

    distance: str
    kernel: str
    score: str | None


NAMES = {
    "inception": Names("fid", "kid", "is"),
    "classifier": Names("fcd", "kcd", "cis"),
    "efficientnet_lite0": Names("fd_efficientnet_lite0", "kd_efficientnet_lite0", "score_efficientnet_lite0"),
    "dinov2": Names("fd_dinov2", "kd_dinov2", None),
}
JUDGES = ("classifier", "efficientnet_lite0")


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that turns uint8 pictures into (features, logits), and what identifies it.

    Of more pictures than `at_once` the activations leave a CPU's cache, and each takes up to twice as long.
    """

    name: str
    digest: str
    preprocess: str
    network: "Network"
    at_once: int
    judge_alone: bool = False  # gives the gate's measures, but no distance or score of its own

    @property
    def judges(self) -> bool:
        """Whether the gate has rules in these features."""
        return self.name in JUDGES

    @property
    def names(self) -> Names:
        return NAMES[self.name]

    @property
    def distance(self) -> str | None:
        """The Fréchet distance taken in these features, if one is."""
        return None if self.judge_alone else self.names.distance

    def identity(self) -> dict[str, str]:
        """What two measurements must have in common to be compared."""
        return {"name": self.name, "sha256": self.digest, "preprocess": self.preprocess, "dtype": DTYPE}


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor made of some pictures, both float32: features [n, D] and logits [n, K]."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]


def extract(
    extractor: Extractor, images: NDArray[np.uint8], batch_size: int, device: "torch.device", what: str
) -> Features:
    """Run the extractor over pictures, [n, C, H, W]."""
    import torch

    size = min(batch_size, extractor.at_once) if device.type == "cpu" else batch_size
    starts = range(0, len(images), size)
    rows, scores = [], []
    with torch.inference_mode():
        for start in tracked(starts, f"{extractor.name}: {what}", "batches", total=len(starts), leave=False):
            batch = torch.from_numpy(np.array(images[start : start + size])).to(device)
            features, logits = extractor.network(batch)
            rows.append(features.float().cpu().numpy())
            scores.append(logits.float().cpu().numpy())
    return Features(np.concatenate(rows), np.concatenate(scores))


def in_colour(images: "torch.Tensor") -> "torch.Tensor":
    """Pictures of one channel as three equal ones; those of three as they are."""
    channels = images.shape[1]
    if channels not in COLOURS:
        raise DataError(
            f"a network trained on photographs takes pictures of 1 or 3 channels, got {channels}; convert the source, "
            "or give labels, so that a classifier of these data can be trained"
        )
    return images.expand(-1, 3, -1, -1) if channels == 1 else images


def laid_on(extractor: Extractor, background: Sequence[int]) -> Extractor:
    """The same extractor, to which pictures with transparency, colours times alpha, are shown on a background."""
    import torch

    def network(images: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        ground = torch.tensor(background, dtype=torch.int32, device=images.device)[:, None, None]
        behind = (ground * (255 - images[:, 3:].int()) + 127) // 255
        return extractor.network((images[:, :3].int() + behind).clamp(max=255).to(torch.uint8))

    where = ", ".join(map(str, background))
    return replace(extractor, preprocess=f"laid on {where}; {extractor.preprocess}", network=network)


def ready(model: Any, device: "torch.device") -> Any:
    """A network to look through: weights in channels_last, which on a CPU is two to three times as fast."""
    import torch

    return model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
