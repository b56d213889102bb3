"""The U-Net's parameters; without torch, so that they are checked before torch is imported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from numpy.typing import NDArray

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.base import NetworkConfig, check_classes_alone
from ddpm_core.models.refining import refined_channels
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.unet import UNet


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """The U-Net of Ho et al. 2020, with the choices of Nichol & Dhariwal 2021 and a patch stem."""

    kind: Literal["unet"]
    patch: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention_levels: tuple[int, ...]
    heads: int
    norm_groups: int
    dropout: float
    scale_shift: bool
    resblock_updown: bool
    refine: int | Literal["auto"]

    __checks__: ClassVar[Checks] = {
        "patch": at_least_1,
        "channels": (lambda v: v >= 2 and v % 2 == 0, "an even number of at least 2"),
        "multipliers": (lambda v: len(v) >= 1 and all(m >= 1 for m in v), "one or more numbers of at least 1"),
        "blocks": at_least_1,
        "attention_levels": (
            lambda v: len(set(v)) == len(v) and all(level >= 0 for level in v),
            "different numbers of 0 or more (0 is the finest level)",
        ),
        "heads": at_least_1,
        "norm_groups": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "refine": (lambda v: v == "auto" or (not isinstance(v, str) and v >= 0), "auto, or 0 or more"),
    }

    def faults(self) -> list[str]:
        lines = []
        if self.channels % self.norm_groups:
            lines.append(
                f"channels: must be a multiple of norm_groups, got channels={self.channels}, "
                f"norm_groups={self.norm_groups}"
            )
        coarsest = len(self.multipliers) - 1
        lines += [
            f"attention_levels: {coarsest + 1} multipliers give the levels 0 to {coarsest}, got {level}"
            for level in self.attention_levels
            if level > coarsest
        ]
        attended = {level for level in self.attention_levels if level <= coarsest} | {coarsest}
        widths = {level: self.channels * self.multipliers[level] for level in sorted(attended)}
        lines += [
            f"heads: must divide the {width} channels of level {level}, got {self.heads}"
            for level, width in widths.items()
            if width % self.heads
        ]
        return lines

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """An older version had no `refine`, which is 0."""
        return {"refine": 0, **kept}

    @property
    def stride(self) -> int:
        """Each side of a picture must be a multiple of this."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    def resolved(self, spec: DataSpec, examples: Callable[[], NDArray[Any]]) -> tuple[Self, str | None]:
        """`refine: auto` as a number."""
        if self.refine != "auto":
            return self, None
        refine, why = refined_channels(self.patch, spec.channels, examples)
        return replace(self, refine=refine), f"model.refine: auto is {refine} here, for {why}"

    def build(self, spec: DataSpec, learned_variance: bool) -> "UNet":
        from ddpm_core.models.unet import UNet

        self.check(spec)
        channels, height, width = spec.shape
        attributes = {name: len(each.classes) for name, each in spec.attributes.items()}
        return UNet(self, (channels, height, width), len(spec.classes), learned_variance, attributes)

    def check(self, spec: DataSpec) -> None:
        """Requires pictures whose sides are multiples of `stride`, with classes or no condition."""
        self.check_shape(spec.shape)
        check_classes_alone(spec, self.kind)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape of data that this network cannot take."""
        if len(shape) != 3 or not 1 <= shape[0] <= 4:
            raise DataError(f"a U-Net takes pictures of shape (1 to 4 channels, height, width), got {tuple(shape)}")
        if any(side % self.stride for side in shape[1:]):
            raise ParamsError(
                f"model: height and width must be multiples of {self.stride} (patch {self.patch}, halved "
                f"{len(self.multipliers) - 1} times), got {shape[1]} x {shape[2]}; "
                f"resize the pictures, or give a smaller model.patch or fewer model.multipliers"
            )
