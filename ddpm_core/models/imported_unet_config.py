"""The parameters of the U-Net of imported_unet.py; without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Check, Checks, at_least_1, not_negative, positive
from ddpm_core.models.base import NetworkConfig, check_halved, check_label_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.imported_unet import ImportedUNet

LEVELS: Check = (
    lambda v: len(set(v)) == len(v) and all(level >= 0 for level in v),
    "different numbers of 0 or more (0 is the finest level)",
)


@dataclass(frozen=True)
class ImportedUNetConfig(NetworkConfig):
    """The U-Net of Ho et al. 2020 with the details in which other libraries' differ from `unet`.

    For weights of theirs: diffusers' UNet2DModel, and the UNetModel of improved-diffusion and guided-diffusion. They
    number the levels from 0, so the network subtracts 1 from the time. `widths` and `heads` are those of each level; at
    `resblock_levels` a residual block halves and doubles, elsewhere a convolution.
    """

    kind: Literal["imported_unet"]
    widths: tuple[int, ...]
    blocks: int
    attention_levels: tuple[int, ...]
    heads: tuple[int, ...]
    norm_groups: int
    norm_eps: float
    middle_norm_groups: int
    dropout: float
    scale_shift: bool
    resblock_levels: tuple[int, ...]
    padding: Literal["both", "end"]
    cosines_first: bool
    frequency_shift: float
    time_scale: float

    __checks__: ClassVar[Checks] = {
        "widths": (
            lambda v: len(v) >= 1 and all(w >= 1 for w in v) and v[0] >= 4 and v[0] % 2 == 0,
            "one or more numbers of at least 1, the first even and at least 4",
        ),
        "blocks": at_least_1,
        "attention_levels": LEVELS,
        "resblock_levels": LEVELS,
        "heads": (lambda v: all(h >= 1 for h in v), "numbers of at least 1"),
        "norm_groups": at_least_1,
        "norm_eps": positive,
        "middle_norm_groups": not_negative,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "frequency_shift": (lambda v: 0 <= v <= 1, "between 0 and 1"),
        "time_scale": positive,
    }

    def faults(self) -> list[str]:
        levels = range(len(self.widths))
        lines = [
            f"{key}: {len(self.widths)} widths give the levels 0 to {levels[-1]}, got {level}"
            for key, given in (("attention_levels", self.attention_levels), ("resblock_levels", self.resblock_levels))
            for level in given
            if level not in levels
        ]
        if len(self.heads) != len(self.widths):
            return [*lines, f"heads: must be one number for each of {len(self.widths)} levels, got {len(self.heads)}"]
        lines += [
            f"widths: must be multiples of norm_groups {self.norm_groups}, got {width}"
            for width in self.widths
            if width % self.norm_groups
        ]
        lines += [
            f"heads: must divide the {self.widths[level]} channels of level {level}, got {self.heads[level]}"
            for level in sorted({*self.attention_levels, levels[-1]} & set(levels))
            if self.widths[level] % self.heads[level]
        ]
        if self.middle_norm_groups and self.widths[-1] % self.middle_norm_groups:
            lines.append(f"middle_norm_groups: must be 0 or divide {self.widths[-1]}, got {self.middle_norm_groups}")
        return lines

    def check(self, spec: DataSpec) -> None:
        check_label_alone(spec, self.kind)
        check_halved(spec, self.kind, len(self.widths) - 1, "widths")

    def build(self, spec: DataSpec, learned_variance: bool) -> "ImportedUNet":
        from ddpm_core.models.imported_unet import ImportedUNet

        self.check(spec)
        channels, height, width = spec.shape
        return ImportedUNet(self, (channels, height, width), len(spec.classes), learned_variance)
