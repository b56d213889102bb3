"""The keys that every source of one's own pictures has: by which rules pictures become equal in size and colour."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Check, Checks, Config, at_least_1, positive
from pipelines.kinds.pictures.rows.rules import Channels, Filter, Fit, Rules

_MEGABYTE = 1_000_000

text: Check = (lambda v: bool(v.strip()), "not empty")
text_or_none: Check = (lambda v: v is None or bool(v.strip()), "null or not empty")


def sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


@dataclass(frozen=True)
class PictureRules(Config):
    """Size, colour and limits, as in image_folder."""

    resolution: int | tuple[int, int]
    channels: Channels
    fit: Fit
    filter: Filter
    background: tuple[int, int, int]
    min_side: int
    max_megapixels: float
    max_megabytes: float
    clusters: int | None

    __checks__: ClassVar[Checks] = {
        "resolution": (lambda v: min(sides(v)) >= 1, "at least 1, or [width, height] of at least 1 each"),
        "background": (lambda v: all(0 <= level <= 255 for level in v), "three levels of 0 to 255 (red, green, blue)"),
        "min_side": at_least_1,
        "max_megapixels": positive,
        "max_megabytes": positive,
        "clusters": (lambda v: v is None or 2 <= v <= 256, "null or a number from 2 to 256"),
    }

    def rules(self) -> Rules:
        return Rules(
            size=sides(self.resolution),
            channels=self.channels,
            fit=self.fit,
            filter=self.filter,
            background=self.background,
            min_side=self.min_side,
            max_pixels=int(self.max_megapixels * 1_000_000),
            max_bytes=int(self.max_megabytes * _MEGABYTE),
            clusters=self.clusters,
        )
