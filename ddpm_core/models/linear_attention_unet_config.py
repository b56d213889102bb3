"""The parameters of the U-Net of linear_attention_unet.py; without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.models.base import NetworkConfig, check_halved, check_label_alone
from ddpm_core.models.imported_unet_config import LEVELS
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.linear_attention_unet import LinearAttentionUNet


@dataclass(frozen=True)
class LinearAttentionUNetConfig(NetworkConfig):
    """The U-Net of denoising-diffusion-pytorch: RMS norms, and attention at every level, linear but for some.

    For weights of that library, which numbers the levels of noise from 0, so the network subtracts 1 from the time.
    `heads` and `head_width` are those of each level; `memory` is the number of learned keys and values.
    """

    kind: Literal["linear_attention_unet"]
    channels: int
    stem: int
    multipliers: tuple[int, ...]
    full_attention_levels: tuple[int, ...]
    heads: tuple[int, ...]
    head_width: tuple[int, ...]
    memory: int
    dropout: float

    __checks__: ClassVar[Checks] = {
        "channels": (lambda v: v >= 4 and v % 2 == 0, "an even number of at least 4"),
        "stem": at_least_1,
        "multipliers": (lambda v: len(v) >= 1 and all(m >= 1 for m in v), "one or more numbers of at least 1"),
        "full_attention_levels": LEVELS,
        "heads": (lambda v: all(h >= 1 for h in v), "numbers of at least 1"),
        "head_width": (lambda v: all(h >= 1 for h in v), "numbers of at least 1"),
        "memory": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def faults(self) -> list[str]:
        levels = len(self.multipliers)
        lines = [
            f"full_attention_levels: {levels} multipliers give the levels 0 to {levels - 1}, got {level}"
            for level in self.full_attention_levels
            if level >= levels
        ]
        return lines + [
            f"{key}: must be one number for each of {levels} levels, got {len(given)}"
            for key, given in (("heads", self.heads), ("head_width", self.head_width))
            if len(given) != levels
        ]

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the stem, then of what each level gives."""
        return (self.stem, *(self.channels * each for each in self.multipliers))

    def check(self, spec: DataSpec) -> None:
        check_label_alone(spec, self.kind)
        check_halved(spec, self.kind, len(self.multipliers) - 1, "multipliers")

    def build(self, spec: DataSpec, learned_variance: bool) -> "LinearAttentionUNet":
        from ddpm_core.models.linear_attention_unet import LinearAttentionUNet

        self.check(spec)
        channels, height, width = spec.shape
        return LinearAttentionUNet(self, (channels, height, width), len(spec.classes), learned_variance)
