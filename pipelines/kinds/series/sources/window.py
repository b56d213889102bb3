"""What windows are cut from a series: of a past and a future to forecast, or of a stretch to fill."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, fraction

_STRIDES: Checks = {"stride": at_least_1, "test_stride": at_least_1, "max_missing": fraction}


@dataclass(frozen=True)
class ForecastWindow(Config):
    """A history that the network is told, and the horizon behind it that it answers."""

    kind: Literal["forecast"]
    history: int
    horizon: int
    stride: int
    test_stride: int
    max_missing: float

    __checks__: ClassVar[Checks] = {"history": at_least_1, "horizon": at_least_1, **_STRIDES}

    @property
    def steps(self) -> int:
        return self.history + self.horizon

    @property
    def told(self) -> int:
        """So many of the first steps are no target."""
        return self.history


@dataclass(frozen=True)
class ImputeWindow(Config):
    """A stretch of which some values are told, and the network answers the others."""

    kind: Literal["impute"]
    window: int
    stride: int
    test_stride: int
    max_missing: float

    __checks__: ClassVar[Checks] = {"window": (lambda v: v >= 2, "at least 2"), **_STRIDES}

    @property
    def steps(self) -> int:
        return self.window

    @property
    def told(self) -> int:
        return 0


Window = ForecastWindow | ImputeWindow
